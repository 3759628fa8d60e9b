"""The answer as a sentence: word first, then figure, then how sure; then what the leftover buys and what would help."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gauge.view.figures import MINUS, NBSP
from gauge.view.html import Markup, capital, join, tag
from gauge.view.reading import Json, Reading

MARKS = {"fits": "✓", "tight": "≈", "short": "✕", "unknown": "·"}
TOO_HIGH = "The share of the device that the engine takes is what is too high, not the need."
WORDS = {"fits": "Fits", "tight": "Tight", "short": "Too large", "unknown": "Needs"}


def on(reading: Reading) -> str:
    """`on 1 × NVIDIA H100 80 GB`."""
    return f"{max(reading.card.count, 1)}{NBSP}×{NBSP}{reading.card.title}"


def sentence(reading: Reading) -> str:
    """The verdict as plain text, for the live region, titles and shares."""
    scale, card = reading.scale, reading.card
    need = scale.need(reading.need)
    if reading.spare is None:
        return f"Needs {need}."
    each = " per device" if card.count > 1 else ""
    if reading.spare < 0:
        short = f"Too large for {on(reading)}: short by {scale.text(-reading.spare)}{each}. Needs {need}."
        return f"{short} {TOO_HIGH}" if reading.reserves else short
    if reading.verdict == "tight":
        return (
            f"Tight on {on(reading)}: {scale.text(reading.spare)} {left(reading)}{each}, less than the estimate's range. "
            f"Needs {need}."
        )
    return f"Fits on {on(reading)} with {scale.text(reading.spare)} {left(reading)}{each}. Needs {need}."


def left(reading: Reading) -> str:
    """What the leftover is: an engine that reserves a share keeps more of its cache in it."""
    return "free for more cache" if reading.reserves else "to spare"


def brief(reading: Reading) -> Markup:
    """The verdict where there is no room for a sentence: word, figure, need."""
    need = f"needs {reading.scale.need(reading.need)}"
    if reading.spare is None:
        return join(need.capitalize())
    side = "short" if reading.spare < 0 else "to spare"
    return join(tag("b", f"{WORDS[reading.verdict]}: {reading.scale.text(abs(reading.spare))} {side}"), f", {need}")


def verdict(reading: Reading) -> Markup:
    """The sentence in large type, and under it what was weighed against what."""
    scale, kind = reading.scale, reading.verdict
    spare = reading.spare
    if spare is None:
        figure: Markup | None = None
    else:
        word = "short" if spare < 0 else left(reading)
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
    """What is needed with its range, what an engine reserves, and the capacity as the driver reports it."""
    scale, pool, card = reading.scale, reading.pool, reading.card
    extra = int(pool["device"]) - reading.need
    low, high = int(pool.get("low") or 0) - extra, int(pool.get("high") or 0) - extra
    wide = low > 0 and scale.down(low) != scale.up(high)
    span = f" ({scale.text(scale.down(low))} to {scale.text(scale.up(high))})" if wide else ""
    each = " per device" if card.count > 1 else ""
    parts = [tag("span", "Needs ", tag("b", scale.need(reading.need), class_="num"), span, each, class_="need")]
    if reading.reserves:
        whole = tag("b", scale.need(int(pool["device"])), class_="num")
        parts.append(tag("span", "and the engine reserves ", whole, _buys(reading), class_="need"))
    if card.usable is not None:
        parts.append(tag("span", "of ", tag("b", scale.room(card.usable), class_="num"), " usable", class_="usable"))
    if reading.reserves and (reading.spare or 0) < 0:
        parts.append(tag("span", TOO_HIGH, class_="need"))
    return tag("p", join(*_spaced(parts)), capacity_chain(reading), class_="needs")


def _buys(reading: Reading) -> str:
    """What the reserved memory is good for: the tokens that the engine's cache holds."""
    tokens = (reading.answer.get("capacity") or {}).get("kv_pool_tokens")
    return f" with a cache for {int(tokens):,}{NBSP}tokens" if tokens else ""


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


def change(values: Mapping[str, Any]) -> str:
    """Values of fields as the page's buttons carry them."""
    return json.dumps({key: str(value) for key, value in values.items()}, ensure_ascii=False)


def limits(reading: Reading, spread: Mapping[str, Any] | None = None) -> Markup:
    """What the device could still hold, each as a button that applies it.

    `spread` holds the degrees that put the question on the fewest devices.
    """
    capacity: Json = reading.answer.get("capacity") or {}
    training = reading.request.get("task") == "training"
    longest, most = capacity.get("max_sequence_length"), capacity.get("max_batch_size")
    tokens: dict[str, Any] = {"sequence_length": longest} if training else {"sequence_length": longest, "prompt_length": ""}
    now = reading.request
    found = [
        _limit("Longest sequence" if training else "Longest context", longest, "token", tokens, now.get("sequence_length")),
        _limit("Largest micro-batch" if training else "Most sequences at once", most, "", {"batch_size": most},
               now.get("batch_size")),
        _limit("Fewest devices", capacity.get("min_devices"), "", spread or {}, now.get("devices")),
        _pool(reading, capacity),
    ]  # fmt: skip
    items = [item for item in found if item is not None]
    return tag("ul", items, class_="limits", aria_label="Limits on this device") if items else join()


def _pool(reading: Reading, capacity: Json) -> Markup | None:
    """What the engine's leftover buys."""
    pool, tokens = capacity.get("kv_pool_bytes"), capacity.get("kv_pool_tokens")
    if pool is None or tokens is None:
        return None
    amount = tag("b", f"{int(tokens):,}{NBSP}tokens", class_="num")
    return tag(
        "li", tag("span", "Room for", class_="what"), " ", amount, f" of cache in {reading.scale.room(int(pool))}", class_="flat"
    )


def _limit(label: str, value: Any, noun: str, values: Mapping[str, Any], now: Any) -> Markup | None:
    if value is None:
        return None
    name = tag("span", label, class_="what")
    shown = f"{value:,}" + (f"{NBSP}{noun}{'' if value == 1 else 's'}" if noun else "")
    if value <= 0:
        return tag("li", name, " ", tag("b", "none fits"), class_="flat")
    body = [name, " ", tag("b", shown, class_="num")]
    if value == now or not values:
        return tag("li", body, tag("span", " as now", class_="what") if value == now else None, class_="flat")
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
    room = (reading.answer.get("fit") or {}).get("headroom_bytes")
    enough = room is not None and int(room) < 0 <= int(room) + saved
    label = str(remedy.get("label") or remedy.get("text") or "")
    saving = tag("span", f"{MINUS}{reading.scale.room(saved)}{', then it fits' if enough else ''}", class_="num saved")
    body = [
        tag("b", capital(label)),
        saving if saved else None,
        tag("span", str(remedy.get("cost") or ""), class_="cost"),
    ]
    if not values:
        return tag("li", body)
    return tag("li", tag("button", body, type="button", class_="apply", data_change=change(values)))
