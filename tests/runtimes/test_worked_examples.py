"""The worked examples beside the runtimes: every command prints what stands below it, measured constants apart.

`python -m tests.runtimes.test_worked_examples` writes them anew.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = Path(__file__).parents[2] / "gauge" / "runtimes" / "README.md"
BLOCK = re.compile(r"^```console\n\$ python -m (?P<command>.*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)


def printed(command: str) -> str:
    run = subprocess.run([sys.executable, "-m", *shlex.split(command)], capture_output=True, text=True, check=True)
    return run.stdout


MEASURED = ("  Framework", "  Communication", "  Total", "  Least certain", "Fits", "Tight", "Too large", "Needs", "Limits")


def derived(output: str) -> list[str]:
    """The lines that no measured constant moves."""
    return [line for line in output.splitlines() if not line.startswith(MEASURED)]


BLOCKS = list(BLOCK.finditer(TEXT.read_text(encoding="utf-8")))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b["command"].split()[1])
def test_the_command_prints_it(block: re.Match[str]) -> None:
    assert derived(printed(block["command"])) == derived(block["output"])


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 3


if __name__ == "__main__":
    text = TEXT.read_text(encoding="utf-8")
    renew = BLOCK.sub(lambda b: f"```console\n$ python -m {b['command']}\n{printed(b['command'])}```", text)
    TEXT.write_text(renew, encoding="utf-8")
