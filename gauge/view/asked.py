"""The question in words: what was asked, for print and pictures, and what stands under the model and the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gauge.units import format_count
from gauge.view.figures import NBSP
from gauge.view.form import text
from gauge.view.html import Markup, join, tag
from gauge.view.reading import Json, Reading
from gauge.view.verdict import change

EDIT = "config."
PLAIN = (int, float, str, bool)
LONGEST_VALUE = 60


def listed(reading: Reading, request: Mapping[str, Any], schema: Json) -> Markup:
    """Every decision that is always seen, and every other one that was made, as a list."""
    pairs = []
    for spec in schema["fields"]:
        name = str(spec["name"])
        value = text(reading.request.get(name))
        if not value or not (spec.get("prominent") or name in request):
            continue
        if spec["kind"] in {"config", "map"}:
            value = "as pasted"
        pairs.append((str(spec["label"]), f"{value}{NBSP}{spec['unit']}" if spec.get("unit") else value))
    pairs += [(key, text(value)) for key, value in request.items() if key.startswith(EDIT)]
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs])


def about_model(answer: Json, request: Mapping[str, Any], base: Mapping[str, Any]) -> Markup:
    """`Llama 3.1 8B, 8.03 B parameters`, what was edited, and a button that takes the edits back."""
    model: Json = answer.get("model") or {}
    if not model:
        return join()
    total, active = int(model.get("parameters") or 0), int(model.get("active_parameters") or 0)
    size = f"{format_count(total)} parameters".replace(" ", NBSP)
    some = f", {format_count(active)} active".replace(" ", NBSP) if 0 < active < total else ""
    title = str(model.get("title") or model.get("id") or "").removesuffix(", edited")
    edits = {key: value for key, value in request.items() if key.startswith(EDIT)}
    if not edits:
        return join(f"{title}, {size}{some}")
    changes = [f"{k.removeprefix(EDIT)} {text(base.get(k.removeprefix(EDIT)))} → {text(v)}" for k, v in edits.items()]
    revert = tag("button", "Revert", type="button", data_change=change(dict.fromkeys(edits, "")))
    return join(f"{title}, {size}{some}, edited: {'; '.join(changes)} ", revert)


def about_device(reading: Reading) -> Markup:
    """The device's name and the memory that its driver reports."""
    card = reading.card
    if card.usable is None or card.reported is None:
        return join("No device chosen: the need alone is shown.")
    return join(f"{card.title}, {reading.scale.room(card.reported)}".replace(" GiB", f"{NBSP}GiB"))


def architecture(base: Mapping[str, Any]) -> Markup:
    """One control for each plain value of a model's configuration; empty means the model's own."""
    fields = []
    for key, value in base.items():
        shown = text(value)
        if not isinstance(value, PLAIN) or len(shown) > LONGEST_VALUE or not key.isidentifier():
            continue
        name = f"{EDIT}{key}"
        label = tag("label", key, for_=f"in-{name}")
        control = tag(
            "input",
            type="text",
            name=name,
            id=f"in-{name}",
            placeholder=shown,
            data_edit=True,
            data_step="count" if isinstance(value, int) and not isinstance(value, bool) else None,
            autocomplete="off",
            spellcheck="false",
        )
        fields.append(tag("div", tag("div", label, class_="head"), control, class_="field"))
    return join(*fields)
