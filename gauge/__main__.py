"""The command line: `python -m gauge model=meta-llama/Llama-3.1-8B task=training batch_size=4`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from gauge import __version__, catalog
from gauge.api import answer, answer_text, given_twice
from gauge.fields import nearest, schema
from gauge.report import csv_text, failure, markdown, table, worked
from gauge.units import format_bytes, format_count

USAGE = """usage: python -m gauge key=value ... [--why | --json | --markdown | --csv]
       python -m gauge --jsonl < requests.jsonl > answers.jsonl
       python -m gauge models WORD ...      search the catalogue of models
       python -m gauge devices WORD ...     search the catalogue of devices
       python -m gauge help FIELD           one field, its default and its choices

for example: python -m gauge model=llama-3.1-8b device=rtx-4090 sequence_length=32k
"""
MOST_FOUND = 20

Json = dict[str, Any]


def _json(found: Json) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False)


SHOW: dict[str, Callable[[Json], str]] = {"--json": _json, "--markdown": markdown, "--csv": csv_text, "--why": worked}


def stream() -> int:
    """One request a line from standard input, one answer a line to standard output, in the same order."""
    for line in sys.stdin:
        if line.strip():
            sys.stdout.write(answer(line) + "\n")
            sys.stdout.flush()
    return 0


# ---------------------------------------------------------------------------------------------------- help
def usage() -> str:
    """How to ask, and every field with what it means, in the form's groups."""
    said = schema()
    lines = [USAGE]
    for group in said["groups"]:
        lines.append(group["label"])
        lines += [f"  {f['name']:<24} {f['help']}" for f in said["fields"] if f["group"] == group["id"]]
        lines.append("")
    return "\n".join(lines)


def about(name: str) -> str | None:
    """A field's meaning, default, users and choices; None where there is no such field."""
    found = next((f for f in schema()["fields"] if f["name"] == name), None)
    if found is None:
        return None
    default = "left to the model or the runtime" if found["default"] in (None, "") else found["default"]
    lines = [f"{name}: {found['label']}. {found['help']}", f"default: {default}", f"task: {', '.join(found['tasks'])}"]
    if found["runtimes"]:
        lines.append(f"used by: {', '.join(found['runtimes'])}")
    return "\n".join([*lines, *(f"  {c['value']:<24} {c['label']}" for c in found["choices"])])


def _help(words: list[str]) -> int:
    if not words:
        print(usage())
        return 0
    said = about(words[0])
    if said is None:
        near = nearest(words[0], [f["name"] for f in schema()["fields"]])
        print(f"there is no field {words[0]!r}" + (f"; did you mean {', '.join(near)}?" if near else ""), file=sys.stderr)
        return 2
    print(said)
    return 0


# ---------------------------------------------------------------------------------------------------- search
def _models(text: str) -> Iterator[str]:
    for entry in catalog.search(text, MOST_FOUND):
        yield f"{entry['id']:<52} {format_count(entry['parameters']):>8}  {entry['title']}"


def _devices(text: str) -> Iterator[str]:
    for entry in catalog.search(text, MOST_FOUND, devices=True):
        usable = catalog.device_of(entry).usable
        yield f"{entry['id']:<32} {format_bytes(usable, rounding='down'):>12}  {entry['title']}"


SEARCH = {"models": _models, "devices": _devices}


def _search(kind: str, words: list[str]) -> int:
    found = list(SEARCH[kind](" ".join(words)))
    if not found:
        print(f"no {kind} with {' '.join(words)!r}; use fewer words", file=sys.stderr)
        return 2
    print("\n".join(found))
    return 0


# ---------------------------------------------------------------------------------------------------- questions
def ask(words: list[str]) -> int:
    """Answer one question and print it; mistakes go to standard error, except as JSON, where they are the answer."""
    pairs = [w.partition("=") for w in words if w not in SHOW]
    wrong = [key for key, equals, _ in pairs if not equals]
    if wrong:
        print(f"{wrong[0]!r} is no key=value word\n\n{USAGE}", file=sys.stderr)
        return 2
    keys = [key for key, _, _ in pairs]
    twice = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    request = {key: value for key, _, value in pairs}
    found = failure(map(given_twice, twice)) if twice else answer_text(json.dumps(request))
    show = next((SHOW[w] for w in words if w in SHOW), table)
    if "errors" not in found:
        print(show(found))
        return 0
    if show is _json:
        print(show(found))
    else:
        print(table(found), file=sys.stderr)
    return 2


def main(words: list[str] | None = None) -> int:
    """What the words ask for; the exit status is 2 where it cannot be answered."""
    words = sys.argv[1:] if words is None else words
    if "--jsonl" in words:
        return stream()
    if "--version" in words:
        print(__version__)
        return 0
    if not words or "--help" in words or "-h" in words:
        return _help([])
    if words[0] == "help":
        return _help(words[1:])
    return _search(words[0], words[1:]) if words[0] in SEARCH else ask(words)


def run() -> int:
    """`main` as a process, whose reader may leave early."""
    try:
        return main()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(run())
