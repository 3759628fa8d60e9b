"""What the README promises: its links lead somewhere, its commands run, its picture and figures are what the code makes.

python -m tests.test_readme      draws the picture and writes the figures anew
"""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from gauge.api import answer_to
from gauge.catalog import load_model
from gauge.units import format_bytes
from gauge.view import page, picture, plain
from tests.truth.scoring import Json, cases, gates

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURE = ROOT / "site" / "picture.svg"
SHOWN = {"model": "llama-3.1-8b", "device": "rtx-4090", "sequence_length": "32k"}


ACCURACY = (  # (what, how it was measured, suite, figure)
    ("parameters", "PyTorch's own classes", "pytorch-exact", "model.parameters"),
    ("weights", "PyTorch's own classes", "pytorch-exact", "gpu.weights"),
    ("optimizer states", "PyTorch's own classes", "pytorch-exact", "gpu.optimizer_states"),
    ("peak of a training step", "PyTorch's allocator", "pytorch-exact", "gpu.allocated"),
    ("size of a GGUF file", "llama.cpp's own quantizer", "gguf-size", "all.weights"),
    ("llama.cpp: cache", "its start-up logs", "llama.cpp", "gpu.kv_cache"),
    ("llama.cpp: compute buffers", "its start-up logs", "llama.cpp", "gpu.workspace"),
    ("vLLM: tokens of its cache", "its start-up logs", "vllm", "capacity.kv_pool_tokens"),
    ("transformers: peak of a generation", "published runs", "transformers-inference", "gpu.allocated"),
    ("fine-tuning: peak", "published runs", "fine-tuning", "gpu.allocated"),
    ("fine-tuning: what nvidia-smi shows", "published runs", "fine-tuning", "gpu.device"),
    ("pretraining on many GPUs: peak", "published runs", "pretraining", "gpu.allocated"),
)
TENTH = 1000  # errors are shown in tenths of a percent


def accuracy() -> str:
    """The README's table of errors, each rounded up, from the gates of the measured cases."""
    lines = ["| figure | measured by | figures | half are within | nine of ten within |", "| --- | --- | ---: | ---: | ---: |"]
    counts = Counter((case["suite"], e["of"]) for case in cases() for e in case["expect"])
    for what, how, suite, figure in ACCURACY:
        gate = gates()[f"{suite} {figure}"]
        shown = (f"{math.ceil(gate[key] * TENTH) / 10:.1f} %" for key in ("median", "p90"))
        lines.append(f"| {what} | {how} | {counts[suite, figure]} | {' | '.join(shown)} |")
    return "\n".join(lines)


def worked() -> str:
    """One row of the README's own question, opened to its formula."""
    found: Json = answer_to(SHOWN, deep=False)
    item = next(i for i in found["pools"][0]["items"] if i["label"] == "key cache")
    lines = [f"{item['label']} = {item['symbols']}"]
    lines += [f"{'':{len(item['label'])}} = {text}" for text in (item["substituted"], format_bytes(item["bytes"]))]
    return "\n".join(["```text", *lines, "```"])


def answered() -> str:
    """What the README's own question prints."""
    return "\n".join(["```text", plain.table(plain.read(answer_to(SHOWN))), "```"])


SECTIONS = {"answer": answered, "worked": worked, "accuracy": accuracy}


def section(name: str, text: str = README) -> str:
    """What stands between a section's marks."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


def percents(table: str) -> list[float]:
    return [float(p) for p in re.findall(r"([0-9.]+) %", table)]


def drawn() -> str:
    """The gauge of the README."""
    return str(picture.picture(page.reading(page.ask(SHOWN), page.VIEW))) + "\n"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_picture_is_what_the_code_draws() -> None:
    assert PICTURE.read_text(encoding="utf-8") == drawn()


@pytest.mark.parametrize("name", ["answer", "worked"])
def test_what_is_shown_is_what_the_engine_says(name: str) -> None:
    assert section(name) == SECTIONS[name]()


def test_the_accuracy_claimed_is_reached() -> None:
    """Rows and counts are those of the measured cases; no error is claimed smaller than it is."""
    plain = re.compile(r"[0-9.]+ %|\| [0-9]+ (?=\|)")
    assert plain.sub("", section("accuracy")) == plain.sub("", accuracy())
    assert all(claimed >= now for claimed, now in zip(percents(section("accuracy")), percents(accuracy()), strict=True))


COMMANDS = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^python -m gauge [^<\n]*$", README, re.M)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_run(words: list[str], tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(load_model("gpt2")["config"]), encoding="utf-8")
    words = [w.replace("@config.json", f"@{config}") for w in words]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert not any("=" in w for w in words) or "GiB" in done.stdout


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"python (build\.py|-m) ?([\w. /-]*)", README + CONTRIBUTING)))


@pytest.mark.parametrize(("how", "what"), NAMED, ids=map(" ".join, NAMED))
def test_commands_that_are_named_exist(how: str, what: str) -> None:
    """Verbs of the build are verbs, modules can be found, and folders to be tested are there."""
    first, *more = what.split()
    if how == "build.py":
        assert (
            subprocess.run([sys.executable, "build.py", first, "--help"], cwd=ROOT, capture_output=True, check=False).returncode
            == 0
        )
    else:
        assert find_spec(first) is not None
        assert first != "pytest" or all((ROOT / place).exists() for place in more if not place.startswith("--"))


def test_python_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_batch_example_reads_lines() -> None:
    request = json.dumps({"model": "gpt2"})
    done = subprocess.run(
        [sys.executable, "-m", "gauge", "--jsonl"], input=request, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout)["pools"]


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
    written = README
    for mark, made in SECTIONS.items():
        front, _, rest = written.partition(f"<!-- {mark} -->\n")
        written = f"{front}<!-- {mark} -->\n{made()}\n<!-- /{mark} -->{rest.partition(f'<!-- /{mark} -->')[2]}"
    (ROOT / "README.md").write_text(written, encoding="utf-8")
