"""The command line: `python -m gauge model=meta-llama/Llama-3.1-8B task=training batch_size=4`."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gauge import __version__, catalog
from gauge.api import answer, answer_text, given_twice, refused
from gauge.errors import RequestError, shown
from gauge.fields import LONGEST_CONFIG, nearest, schema
from gauge.plan import KNOBS
from gauge.readers import files
from gauge.report import failure
from gauge.units import format_bytes, format_count
from gauge.view import plain
from gauge.view.reading import Reading

USAGE = """usage: python -m gauge key=value ... [--why | --json | --markdown | --csv]
       python -m gauge --jsonl < requests.jsonl > answers.jsonl
       python -m gauge models WORD ...      search the catalogue of models
       python -m gauge devices WORD ...     search the catalogue of devices
       python -m gauge help FIELD           one field, its default and its choices

for example: python -m gauge model=llama-3.1-8b device=rtx-4090 sequence_length=32k
             python -m gauge config=@config.json task=training       (or the path of a .gguf or .safetensors file)
"""
MOST_FOUND = 20
FROM_FILES = ("config", "map")  # kinds of fields that take `@path`
MODEL_FILES = (".gguf", ".safetensors")

Json = dict[str, Any]


def _json(answer: Mapping[str, Any]) -> str:
    return json.dumps(answer, indent=2, ensure_ascii=False)


SHOW: dict[str, Callable[[Reading], str]] = {
    "--why": plain.worked,
    "--json": lambda reading: _json(reading.answer),
    "--markdown": plain.markdown,
    "--csv": plain.table_of_items,
}
OPTIONS = (*SHOW, "--jsonl", "--help", "--version")


def stream() -> int:
    """One request a line from standard input, one answer a line to standard output, in the same order.

    A line that is empty or no UTF-8 is answered too, with an error: answers stay beside their requests.
    """
    for line in sys.stdin.buffer:
        try:
            found = answer(line.decode())
        except UnicodeDecodeError:
            found = json.dumps(refused("request", "it is no UTF-8 text", "save it as UTF-8"))
        sys.stdout.write(found + "\n")
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
    mistake = _two_forms(words) or _no_pair(words)
    if mistake:
        print(mistake, file=sys.stderr)
        return 2
    found = _found([(key, value) for key, _, value in pairs])
    if "errors" not in found:
        show = next((SHOW[w] for w in words if w in SHOW), plain.table)
        print(show(plain.read(found)))
        return 0
    if "--json" in words:
        print(_json(found))
    else:
        print(plain.mistakes(found), file=sys.stderr)
    return 2


def _found(pairs: list[tuple[str, str]]) -> Json:
    """The answer to key=value words."""
    keys = [key for key, _ in pairs]
    twice = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    if twice:
        return failure(map(given_twice, twice))
    named = {key: text[1:] for key, text in pairs if text.startswith("@") and key in KNOBS and KNOBS[key].kind in FROM_FILES}
    try:
        read = [_contents(key, path) for key, path in named.items()]
    except RequestError as error:
        return failure([error])
    given = {key: text for key, text in pairs if key not in named}
    return answer_text(json.dumps({key: value for found in (*read, given) for key, value in found.items()}))


def _contents(key: str, path: str) -> Json:
    """The fields that a file sets: a JSON text the field it was given for, a model file's header several. Raises RequestError."""
    try:
        if path.lower().endswith(MODEL_FILES):
            changes, told = files.opened(path)
            print(f"{path}: {told}\n", file=sys.stderr)
            return changes
        with open(path, encoding="utf-8") as file:
            text = file.read(LONGEST_CONFIG + 1)
    except (OSError, ValueError) as why:
        reason = getattr(why, "strerror", None) or "it is no UTF-8 text"
        raise RequestError(key, f"{shown(path)} cannot be read: {reason}", "give the path of a file after @") from None
    if not text.strip():
        raise RequestError(key, f"{shown(path)} is empty", "give the path of a file with something in it after @")
    return {key: text}


def _two_forms(words: list[str]) -> str:
    """A mistake: more than one form of answer is asked for, or a batch together with a question."""
    if "--jsonl" in words:
        return "--jsonl stands alone: its requests are lines of standard input"
    forms = [w for w in dict.fromkeys(words) if w in SHOW]
    return f"{' and '.join(forms)} are two forms of one answer; use one of them" if len(forms) > 1 else ""


def _no_pair(words: list[str]) -> str:
    """A mistake: the first word that is no key=value, and what may have been meant."""
    place = next((n for n, w in enumerate(words) if w not in SHOW and ("=" not in w or w.startswith("-"))), None)
    if place is None:
        return ""
    word, after = words[place], words[place + 1 : place + 2]
    meant = _meant(word, next((w for w in after if "=" not in w and not w.startswith("-")), "..."))
    return f"{shown(word)} is no key=value word{f'; did you mean {meant}?' if meant else ''}\n\n{USAGE}"


def _meant(word: str, after: str) -> str:
    """`model=gpt2` for `--model gpt2`, `--model=gpt2` and `gpt2`; `--json` for `--jsno`; empty where nothing is near."""
    name, equals, value = word.lstrip("-").partition("=")
    if not word.startswith("-"):
        return f"{kind}={word}" if (kind := _kind(word)) else ""
    near = nearest(name, [*KNOBS, *OPTIONS], most=1)
    if not near:
        return ""
    return near[0] if near[0] in OPTIONS else f"{near[0]}={value if equals else after}"


def _kind(word: str) -> str:
    """Which catalogue has a name: `model`, `device`, or none."""
    for kind, load in (("model", catalog.load_model), ("device", catalog.load_device)):
        try:
            load(word)
        except RequestError:
            continue
        return kind
    return ""


def main(words: list[str] | None = None) -> int:
    """What the words ask for; the exit status is 2 where it cannot be answered."""
    words = sys.argv[1:] if words is None else words
    if words == ["--jsonl"]:
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
    """`main` as a process: files and pipes get UTF-8 on every system, and their reader may leave early."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding = sys.stdout.encoding if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    try:
        return main()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(run())
