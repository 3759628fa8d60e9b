"""What the README promises: its links lead somewhere, its commands run, its picture is what the code draws.

python -m tests.test_readme      draws the picture anew
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gauge.view import page, picture

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURE = ROOT / "site" / "picture.svg"
SHOWN = {"model": "llama-3.1-8b", "device": "rtx-4090", "sequence_length": "32k"}


def drawn() -> str:
    """The gauge of the README."""
    return str(picture.picture(page.reading(page.ask(SHOWN), page.VIEW))) + "\n"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_picture_is_what_the_code_draws() -> None:
    assert PICTURE.read_text(encoding="utf-8") == drawn()


@pytest.mark.parametrize("line", [c for c in re.findall(r"^python -m gauge .*$", README, re.M) if "jsonl" not in c])
def test_commands_run(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "GiB" in done.stdout, done.stderr


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
