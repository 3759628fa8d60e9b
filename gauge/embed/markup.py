"""The embed as HTML and its static table as rows, from the same fields that a request has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from gauge import api
from gauge.units import format_bytes

UNKNOWN = "compute-gauge: no site is named where the calculator lives, so pages show the static table alone"
#: Attributes of the element that are not request fields.
VIEW = ("size", "theme", "label")


class EmbedError(ValueError):
    """The fields ask something that has no answer; the message says what to change."""


def read(text: str) -> dict[str, str]:
    """Fields from lines of `name=value` or `name: value`; blank lines and `#` comments are skipped.

    Raises EmbedError for a line that is neither.
    """
    found: dict[str, str] = {}
    for line in (line.strip() for line in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        marks = [at for at in (line.find("="), line.find(":")) if at > 0]
        if not marks:
            raise EmbedError(f"compute-gauge: {line!r} is not name=value")
        found[line[: min(marks)].strip()] = line[min(marks) + 1 :].strip()
    return found


def answer(fields: Mapping[str, str]) -> dict[str, Any]:
    """The answer to the request among the fields. Raises EmbedError with the first error's field, message and remedy."""
    request = {name: value for name, value in fields.items() if name not in VIEW}
    found: dict[str, Any] = json.loads(api.answer(json.dumps(request)))
    if errors := found.get("errors"):
        first = errors[0]
        raise EmbedError(f"compute-gauge: {first['field']}: {first['message']} ({first['remedy']})")
    return found


def rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and size of every item alive at the accelerator's peak, then the totals."""
    pool = found["pools"][0]
    alive = [item for item in pool["items"] if pool["peak"] in item["moments"]]
    parts = [(str(item["label"]), format_bytes(item["bytes"])) for item in alive]
    return [*parts, ("Allocated at the peak", format_bytes(pool["allocated"])), ("On the device", format_bytes(pool["device"]))]


def caption(found: Mapping[str, Any]) -> str:
    """What the table is about, in one line."""
    request = found["request"]
    return f"Memory of {found['model']['id'] or 'the model'}, {request['task']} with {request['runtime']}"


def table(found: Mapping[str, Any]) -> str:
    """The static table."""
    columns = "<thead><tr><th scope='col'>What</th><th scope='col'>Size</th></tr></thead>"
    head = f"<caption>{escape(caption(found))}</caption>{columns}"
    body = "".join(f"<tr><th scope='row'>{escape(label)}</th><td>{escape(size)}</td></tr>" for label, size in rows(found))
    return f"<table class='compute-gauge'>{head}<tbody>{body}</tbody></table>"


def element(fields: Mapping[str, str]) -> str:
    """The element with its static table inside. Raises EmbedError as `answer` does."""
    found = answer(fields)
    attributes = " ".join(f'{escape(name)}="{escape(value)}"' for name, value in fields.items())
    return f"<compute-gauge {attributes}>{table(found)}</compute-gauge>"


def home() -> str:
    """Where the calculator of this very package is published, as its build was told; '' when it was not."""
    try:
        addresses = metadata("compute-gauge").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    found: dict[str, str] = dict(address.split(", ", 1) for address in addresses)
    return found.get("Site", "")


def script(site: str) -> str:
    """The one script tag that makes the element work; `site` is where the calculator lives."""
    return f'<script async src="{escape(site.rstrip("/"))}/compute-gauge.js"></script>'


def plain(found: Mapping[str, Any]) -> Iterable[str]:
    """The table as text lines, for builders without HTML."""
    yield caption(found)
    for label, size in rows(found):
        yield f"{label}: {size}"
