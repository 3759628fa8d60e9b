"""CONTRIBUTING's recipes, followed word for word: each block is put into the file that its fence names, then used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(?:json|python) (?P<file>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
MOST_LINES = 10
KNOWN = '"config": {"model_type": "example", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, '
KNOWN += '"intermediate_size": 128, "vocab_size": 256}'
USES = {
    "A model": ('{"model": "tiny-1m"}', "1115264"),
    "A device": ('{"device": "example"}', str(24564 << 20)),
    "A family of models, or a new kind of layer": (
        "{" + KNOWN + "}",
        str(2 * 256 * 64 + 2 * (4 * 4096 + 3 * 64 + 3 * 8192 + 128) + 64),
    ),
    "A runtime": ('{"runtime": "example", "dtype": "bfloat16"}', "weights"),
}


def recipes() -> dict[str, str]:
    parts = re.split(r"^### (.+)$", TEXT.partition("## Recipes")[2], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the engine in which every recipe was followed."""
    place = tmp_path_factory.mktemp("recipes")
    shutil.copytree(ROOT / "gauge", place / "gauge", ignore=shutil.ignore_patterns("__pycache__"))
    for text in recipes().values():
        for found in FENCE.finditer(text):
            file = place / found["file"]
            assert file.parent.is_dir(), file
            if file.suffix == ".jsonl":
                with file.open("a", encoding="utf-8") as data:
                    data.write(found["text"])
            else:
                assert not file.exists(), file
                file.write_text(found["text"], encoding="utf-8")
    return place


def test_there_are_four_recipes() -> None:
    assert recipes().keys() == USES.keys()


@pytest.mark.parametrize("name", USES)
def test_a_recipe_is_short(name: str) -> None:
    text = recipes()[name]
    blocks = [m["text"] for m in FENCE.finditer(text)]
    prose = [line for line in FENCE.sub("", text).splitlines() if line.strip()]
    code = [line for block in blocks for line in block.splitlines() if line.strip() and not line.startswith(("from ", '"""'))]
    assert blocks
    assert len(prose) <= MOST_LINES
    assert len(code) <= MOST_LINES


@pytest.mark.parametrize("name", USES)
def test_a_recipe_works(name: str, followed: Path) -> None:
    request, expected = USES[name]
    code = "import sys; from gauge.api import answer; print(answer(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(followed)}
    done = subprocess.run(
        [sys.executable, "-c", code, request], cwd=followed, env=environment, capture_output=True, text=True, check=True
    )
    assert '"errors"' not in done.stdout, done.stdout
    assert expected in done.stdout


def test_the_tests_that_recipes_name_pass(followed: Path) -> None:
    """The schema and the totals hold with the new lines in place."""
    shutil.copytree(ROOT / "tests" / "catalogue", followed / "tests" / "catalogue", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(followed)}
    wanted = "tiny or example or Tiny or every_line or fields or instance or comes_last"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", wanted, "tests/catalogue/test_schema.py"],
        cwd=followed,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
