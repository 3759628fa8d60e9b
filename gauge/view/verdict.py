"""The answer as a sentence: word first, then figure, then how sure; then what the leftover buys and what would help."""

from __future__ import annotations

import json
from typing import Any

from gauge.view.figures import MINUS, NBSP
from gauge.view.html import Markup, join, tag
from gauge.view.reading import Json, Reading

MARKS = {"fits": "✓", "tight": "≈", "short": "✕", "unknown": "·"}
WORDS = {"fits": "Fits", "tight": "Tight", "short": "Too large", "unknown": "Needs"}


def on(reading: Reading) -> str:
    """`on 1 × NVIDIA H100 80 GB`."""
    return f"{max(reading.card.count, 1)}{NBSP}×{NBSP}{reading.card.title}"


def sentence(reading: Reading) -> str:
    """The verdict as plain text, for the live region, titles and shares."""
    scale, card = reading.scale, reading.card
    need = scale.need(reading.pool["device"])
    if reading.spare is None:
        return f"Needs {need}."
    each = " per device" if card.count > 1 else ""
    if reading.spare < 0:
        return f"Too large for {on(reading)}: short by {scale.text(-reading.spare)}{each}. Needs {need}."
    if reading.verdict == "tight":
        return (
            f"Tight on {on(reading)}: {scale.text(reading.spare)} to spare{each}, less than the estimate's range. Needs {need}."
        )
    return f"Fits on {on(reading)} with {scale.text(reading.spare)} to spare{each}. Needs {need}."


def verdict(reading: Reading) -> Markup:
    """The sentence in large type, and under it what was weighed against what."""
    scale, kind = reading.scale, reading.verdict
    spare = reading.spare
    if spare is None:
        figure: Markup | None = None
    else:
        word = "short" if spare < 0 else "to spare"
        figure = tag("span", tag("b", scale.text(abs(spare)), class_="num"), f" {word}", class_="figure")
    head = tag(
        "p",
        tag("span", MARKS[kind], class_="mark", aria_hidden="true"),
        tag("strong", WORDS[kind]),
        tag("span", f" {'for' if kind == 'short' else 'on'} {on(reading)}" if spare is not None else "", class_="where"),
        figure,
        class_="sentence",
        data_verdict=kind,
    )
    return join(head, needs(reading))


def needs(reading: Reading) -> Markup:
    """What is needed with its range, and the capacity as the driver reports it, step by step."""
    scale, pool, card = reading.scale, reading.pool, reading.card
    low, high, device = int(pool.get("low") or 0), int(pool.get("high") or 0), pool["device"]
    wide = scale.down(low) != scale.up(high) and low
    span = f" ({scale.number(scale.down(low))}–{scale.number(scale.up(high))})" if wide else ""
    parts = [
        tag(
            "span",
            "Needs ",
            tag("b", scale.need(device), class_="num"),
            span,
            " per device" if card.count > 1 else "",
            class_="need",
        ),
    ]
    if card.usable is not None:
        parts.append(tag("span", "of ", tag("b", scale.room(card.usable), class_="num"), " usable", class_="usable"))
    chain = capacity_chain(reading)
    return tag("p", join(*_spaced(parts)), chain, class_="needs")


def _spaced(parts: list[Markup]) -> list[str]:
    return [piece for part in parts for piece in (part, " ")][:-1]


def capacity_chain(reading: Reading) -> Markup | None:
    """`80 GB by name → driver reports 79.64 GiB → usable 79.10 GiB`, where more than one of them is known."""
    card, scale = reading.card, reading.scale
    if card.usable is None or card.reported is None:
        return None
    steps = [f"{card.marketing}{NBSP}GB by name"] if card.marketing else []
    steps.append(f"driver reports {scale.room(card.reported)}")
    if card.usable != card.reported:
        steps.append(f"usable {scale.room(card.usable)}")
    return tag("span", " → ".join(steps), class_="chain") if len(steps) > 1 else None


def change(values: dict[str, Any]) -> str:
    """Values of fields as the page's buttons carry them."""
    return json.dumps({key: str(value) for key, value in values.items()}, ensure_ascii=False)


def limits(reading: Reading) -> Markup:
    """What the device could still hold, each as a button that applies it."""
    capacity: Json = reading.answer.get("capacity") or {}
    training = reading.request.get("task") == "training"
    asked = (
        ("max_sequence_length", "sequence_length", "Longest sequence" if training else "Longest context", "token"),
        ("max_batch_size", "batch_size", "Largest micro-batch" if training else "Most sequences at once", ""),
        ("min_devices", "devices", "Fewest devices", ""),
    )
    buttons = []
    for key, field, label, noun in asked:
        value = capacity.get(key)
        if value is None:
            continue
        steps = _device_change(reading, int(value)) if field == "devices" else {field: value}
        shown = f"{int(value):,}" + (f"{NBSP}{noun}{'' if int(value) == 1 else 's'}" if noun else "")
        buttons.append(_limit(label, shown, steps, int(value), int(reading.request.get(field) or 0)))
    tokens = capacity.get("kv_pool_tokens")
    pool = capacity.get("kv_pool_bytes")
    if pool is not None and tokens is not None:
        buttons.append(
            tag(
                "li",
                tag("span", "Cache pool", class_="what"),
                " ",
                tag("b", f"{int(tokens):,}{NBSP}tokens", class_="num"),
                f" in {reading.scale.room(int(pool))}",
            )
        )
    if not buttons:
        return join()
    return tag("ul", buttons, class_="limits", aria_label="Limits on this device")


def _device_change(reading: Reading, count: int) -> dict[str, Any]:
    return {"tensor_parallel": count} if reading.request.get("task") != "training" else {"data_parallel": count}


def _limit(label: str, shown: str, values: dict[str, Any], value: int, now: int) -> Markup:
    body = [tag("span", label, class_="what"), " ", tag("b", shown, class_="num")]
    if value <= 0:
        return tag("li", tag("span", label, class_="what"), " ", tag("b", "none fits"))
    if value == now:
        return tag("li", body, tag("span", " as now", class_="what"))
    return tag("li", tag("button", body, type="button", data_change=change(values), class_="apply"))


def remedies(reading: Reading) -> Markup:
    """At most three changes that help, with what each saves and costs."""
    found = list((reading.answer.get("fit") or {}).get("remedies") or [])[:3]
    if not found:
        return join()
    rows = [_remedy(reading, r) for r in found]
    return join(
        tag("h3", "What would help" if (reading.spare or 0) < 0 else "What would save more"),
        tag("ol", rows, class_="remedies"),
    )


def _remedy(reading: Reading, remedy: Json) -> Markup:
    saved = int(remedy.get("saves_bytes") or 0)
    values = remedy.get("changes") or {}
    usable = reading.card.usable
    enough = usable is not None and reading.pool["device"] > usable >= reading.pool["device"] - saved
    label = str(remedy.get("label") or remedy.get("text") or "")
    saving = tag("span", f"{MINUS}{reading.scale.room(saved)}{', then it fits' if enough else ''}", class_="num saved")
    body = [
        tag("b", label[:1].upper() + label[1:]),
        saving if saved else None,
        tag("span", str(remedy.get("cost") or ""), class_="cost"),
    ]
    if not values:
        return tag("li", body)
    return tag("li", tag("button", body, type="button", class_="apply", data_change=change(values)))
