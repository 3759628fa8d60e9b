"""The workflows of continuous integration: what they run exists, what they use is pinned, what they may do is least."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in FILES}
# What each job may do; a job that is not named here may only read the code.
MAY = {
    "pages/deploy": {"pages": "write", "id-token": "write"},
    "release/publish": {"contents": "write"},
}


def read(name: str) -> dict[str, Any]:
    """A workflow; YAML 1.1 takes the key `on` for true, which is mended here."""
    found = yaml.safe_load(TEXTS[name])
    return {"on" if key is True else key: value for key, value in found.items()}


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in TEXTS:
        for job, body in read(name)["jobs"].items():
            yield f"{name}/{job}", body


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job["steps"]
    return found


def test_there_are_workflows() -> None:
    assert set(TEXTS) == {"pages", "release", "test"}


def test_nothing_is_allowed_that_is_not_needed() -> None:
    for name in TEXTS:
        assert read(name)["permissions"] == {}, name
        assert not set(read(name)["on"]) & {"pull_request_target", "workflow_run", "issue_comment"}, name
    for name, job in jobs():
        assert job["permissions"] == MAY.get(name, {"contents": "read"}), name
        assert 0 < job["timeout-minutes"] <= 60, name


def test_actions_are_pinned_to_a_commit_with_its_version_beside_it() -> None:
    used = [line.strip() for text in TEXTS.values() for line in text.splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.fullmatch(r"(- )?uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    actions = {line.split("uses: ")[1] for line in used}
    assert len(actions) == len({action.split("@")[0] for action in actions}), "one version of each action"


def test_a_checkout_leaves_no_credentials_behind() -> None:
    for name, job in jobs():
        for step in steps(job):
            if "actions/checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, name


def test_what_is_run_exists() -> None:
    """Every call of build.py has words that its parser takes, and nothing of an event is pasted into a command."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "build.py")
    assert spec and spec.loader
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    seen: Counter[str] = Counter()
    for name, job in jobs():
        for step in steps(job):
            command = step.get("run", "")
            assert "${{" not in command, f"{name}: expressions go through env"
            words = shlex.split(command)
            if "build.py" in words:
                at = words.index("build.py")
                assert build.parser().parse_args(words[at + 1 :]).verb, name
                seen[words[at + 1]] += 1
            elif words[:1] == ["bash"]:
                assert (ROOT / words[1]).exists(), name
                seen[words[1]] += 1
    assert seen == {".ci/run": 3, "archive": 1, "test": 1}


def test_conditions_and_needs_name_jobs_that_exist() -> None:
    for name in TEXTS:
        known = read(name)["jobs"]
        for job in known.values():
            needs = job.get("needs", [])
            assert set([needs] if isinstance(needs, str) else needs) <= set(known)


def test_the_tested_folder_is_what_is_deployed() -> None:
    """One job builds, tests and uploads; the other only deploys what it uploaded."""
    pages = read("pages")["jobs"]
    words = [step.get("run") or step["uses"].split("@")[0] for step in steps(pages["build"])]
    assert words[-2:] == ["bash .ci/run", "actions/upload-pages-artifact"]
    assert steps(pages["build"])[-1]["with"] == {"path": "dist"}
    assert pages["deploy"]["needs"] == "build"
    assert [step["uses"].split("@")[0] for step in steps(pages["deploy"])] == ["actions/deploy-pages"]
    assert pages["deploy"]["environment"]["url"] == "${{ steps.deployment.outputs.page_url }}"
    assert steps(pages["deploy"])[0]["id"] == "deployment"


def test_a_release_attaches_what_its_build_uploaded() -> None:
    release = read("release")["jobs"]
    made = steps(release["build"])
    words = [step.get("run", "").partition(" --tag")[0] for step in made]
    assert words.index("bash .ci/run") < words.index("python3 build.py archive")
    upload, download = made[-1]["with"], steps(release["publish"])[0]["with"]
    assert upload["name"] == download["name"]
    assert upload["path"] == ".build/release/"
    assert upload["include-hidden-files"] is True, "the folder's name begins with a dot"
    assert f"{download['path']}/*" in steps(release["publish"])[1]["run"]
    assert release["publish"]["needs"] == "build"


def test_the_packages_of_a_container_are_debians_own() -> None:
    """What `apt-get install` names in a job holds a Python with venv: all else the build brings itself."""
    for name, job in jobs():
        if "container" in job:
            assert job["container"] == "debian:12", name
            assert {"python3", "python3-venv", "git"} <= set(steps(job)[0]["run"].split()), name


def test_a_tag_that_is_not_the_version_makes_no_release() -> None:
    import pages
    from steps import BuildError

    with pytest.raises(BuildError, match=r"the tag v0\.0\.0 is not the version"):
        pages.archive("v0.0.0")
