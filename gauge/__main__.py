"""The command line: `python -m gauge model=meta-llama/Llama-3.1-8B task=training batch_size=4`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from gauge.api import answer, answer_to
from gauge.report import csv_text, markdown, table

USAGE = """usage: python -m gauge key=value ... [--json | --markdown | --csv]
       python -m gauge --jsonl < requests.jsonl > answers.jsonl

Fields are those of the form, for example: model=meta-llama/Llama-3.1-8B task=training batch_size=4 device=h100-80gb
"""


def _json(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False)


SHOW: dict[str, Callable[[dict[str, Any]], str]] = {"--json": _json, "--markdown": markdown, "--csv": csv_text}


def stream() -> int:
    """One request a line from standard input, one answer a line to standard output, in the same order."""
    for line in sys.stdin:
        if line.strip():
            sys.stdout.write(answer(line) + "\n")
            sys.stdout.flush()
    return 0


def main(words: list[str]) -> int:
    """Answer one question and print it; the exit status is 2 where it cannot be answered."""
    if "--jsonl" in words:
        return stream()
    if not words or "--help" in words or "-h" in words:
        print(USAGE)
        return 0
    show = next((SHOW[w] for w in words if w in SHOW), table)
    pairs = [w for w in words if w not in SHOW]
    wrong = [w for w in pairs if "=" not in w]
    if wrong:
        print(f"{wrong[0]!r} is no key=value word\n\n{USAGE}", file=sys.stderr)
        return 2
    request = dict(w.split("=", 1) for w in pairs)
    found = answer_to(request)
    failed = "errors" in found
    print(show(found), file=sys.stderr if failed and show is table else sys.stdout)
    return 2 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
