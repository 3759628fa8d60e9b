"""What the form shows beside each field after an answer: how it was read, whether it matters now, and what is
wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gauge.view.form import text
from gauge.view.html import Markup, capital, join, tag, uncapital
from gauge.view.reading import Json

MOST_FIXES = 3
NOUNS = {"tokens": "tokens"}


def states(schema: Json, request: Mapping[str, Any], answer: Json) -> dict[str, dict[str, Any]]:
    """For each field: `relevant`, `echo`, `error` (markup) and `placeholder`, the value in force where none is
    typed.
    """
    read: Mapping[str, Any] = answer.get("request") or {}
    errors = {str(e.get("field")): e for e in answer.get("errors") or ()}
    labels = {str(f["name"]): str(f["label"]) for f in schema["fields"]}
    task, runtime = _chosen(schema, request, read, "task"), _chosen(schema, request, read, "runtime")
    found = {}
    for spec in schema["fields"]:
        name = str(spec["name"])
        # NOTE: what stands under model and device is a fragment of its own, since it is more than the value read.
        said = None if spec["kind"] in {"model", "device"} else echo(spec, request.get(name), read.get(name))
        found[name] = {
            "relevant": relevant(spec, task, runtime) or name in errors,
            "echo": said,
            "error": join(error(errors[name]), fixes(errors[name], labels)) if name in errors else "",
            "placeholder": in_force(spec, read.get(name)),
            "choices": choices(spec, task),
        }
    return found


def _chosen(schema: Json, request: Mapping[str, Any], read: Mapping[str, Any], name: str) -> str:
    default = next((f.get("default") for f in schema["fields"] if f["name"] == name), "")
    return str(request.get(name) or read.get(name) or default)


def relevant(spec: Json, task: str, runtime: str) -> bool:
    """Whether a field matters to a task and a runtime."""
    tasks, runtimes = spec.get("tasks"), spec.get("runtimes")
    return (not tasks or task in tasks) and (not runtimes or runtime in runtimes)


def choices(spec: Json, task: str) -> list[str] | None:
    """The values that go with a task, or `None` where all do."""
    offered = [c for c in spec.get("choices") or () if isinstance(c, dict)]
    if not any("tasks" in c and c["tasks"] for c in offered):
        return None
    return [text(c["value"]) for c in offered if not c.get("tasks") or task in c["tasks"]]


def echo(spec: Json, typed: Any, read: Any) -> str:
    """`= 131,072 tokens` where what was typed is not already what was read."""
    if typed in (None, "") or not isinstance(read, int) or isinstance(read, bool):
        return ""
    kind = spec["kind"]
    if kind == "bytes":
        return f"= {read:,} bytes"
    shown = f"{read:,}"
    if str(typed).strip() in {shown, str(read)}:
        return ""
    return f"= {shown} {spec.get('unit') or NOUNS.get(kind, '')}".rstrip()


def in_force(spec: Json, read: Any) -> str:
    """The default in force, shown in an empty field."""
    if isinstance(read, int) and not isinstance(read, bool) and spec["kind"] in {"tokens", "count"}:
        return f"{read:,}"
    if isinstance(read, (str, int, float)) and not isinstance(read, bool):
        return text(read)
    return str(spec.get("placeholder") or "")


def error(found: Json) -> Markup:
    """What is wrong in words, and what to do instead."""
    told, remedy = (_sentence(str(found.get(key) or "")) for key in ("message", "remedy"))
    return tag("p", tag("b", "Error: "), told, " ", tag("span", remedy, class_="remedy"))


def fixes(found: Json, labels: Mapping[str, str]) -> Markup:
    """Each change of the request that removes an error as a button, the likeliest first; `None` clears a field."""
    offered = list(found.get("fixes") or ())[:MOST_FIXES]
    return join(
        *[
            join(" ", tag("button", _act(fix, labels), type="button", class_="fix", data_change=json.dumps(_typed(fix))))
            for fix in offered
        ]
    )


def _typed(fix: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: None if value is None else text(value) for name, value in fix.items()}


def _act(fix: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """`Set tensor parallel to 2`, or `Clear GGUF types`."""
    steps = []
    for name, value in fix.items():
        label = uncapital(labels.get(name, name))
        steps.append(f"clear {label}" if value is None else f"set {label} to {text(value)}")
    return capital(", ".join(steps))


def _sentence(text: str) -> str:
    return text and capital(text) + ("" if text.endswith((".", "?")) else ".")


def errors(answer: Json, known: Mapping[str, str]) -> Markup:
    """Errors whose field has no control of its own."""
    found = [e for e in answer.get("errors") or () if e.get("field") not in known]
    return join(
        *[
            tag("p", tag("b", f"{e.get('field')}: "), f"{e.get('message')}; {e.get('remedy') or ''}", fixes(e, known))
            for e in found
        ]
    )


def waiting(answer: Json, labels: Mapping[str, str]) -> Markup:
    """Why the answer shown is the last good one."""
    found = list(answer.get("errors") or ())
    names = [labels.get(str(e.get("field")), str(e.get("field"))) for e in found]
    if not names:
        return join()
    return tag(
        "p",
        tag("b", "Waiting for "),
        ", ".join(names),
        ".",
        tag("span", " The figures are those of the last readable question.", class_="stale-note"),
        class_="waiting",
    )


def group_changes(schema: Json, request: Mapping[str, Any]) -> dict[str, str]:
    """For each closed group, its values that differ from the defaults, in words."""
    found: dict[str, list[str]] = {}
    for spec in schema["fields"]:
        value = request.get(str(spec["name"]))
        if spec.get("prominent") or value in (None, "") or text(value) == text(spec.get("default")):
            continue
        shown = "on" if text(value) == "true" else "pasted" if spec["kind"] in {"config", "map"} else text(value)
        found.setdefault(str(spec.get("group")), []).append(f"{spec['label']} {shown}")
    return {group: ", ".join(parts) for group, parts in found.items()}
