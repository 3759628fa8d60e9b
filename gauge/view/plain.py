"""An answer as plain text: the terminal's table, its arithmetic, Markdown, CSV. Figures, order and words are the page's."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice

from gauge.catalog import load_device
from gauge.units import System
from gauge.view import palette
from gauge.view.breakdown import caption
from gauge.view.derivation import lines
from gauge.view.figures import MINUS, NBSP
from gauge.view.reading import Json, Reading, Row
from gauge.view.verdict import sentence

LABEL, AMOUNT = 26, 14  # widths of the terminal's columns
WIDE = 20  # an item whose range is at least one part in so many of its pool's is named beside it
COLUMNS = ("component", "label", "bytes", "low", "high", "certainty", "symbols", "substituted")


def read(answer: Json, system: System = "GiB") -> Reading:
    """An answer without errors as it is shown, its device by its title."""
    named = str((answer.get("fit") or {}).get("device") or "")
    if not named:
        return Reading(answer, system)
    device = load_device(named)
    card = {"title": device.title, "reported_bytes": device.reported, "marketing_gb": device.marketing_gb}
    return Reading(answer, system, cards={named: card})


def mistakes(answer: Json) -> str:
    """The errors of a request, a line each."""
    return "\n".join(f"{e['field']}: {e['message']}; {e['remedy']}" for e in answer["errors"])


def heading(answer: Json) -> str:
    """Which model, doing what, by which runtime."""
    model, request = answer["model"], answer["request"]
    return f"{model['title'] or model['id']}, {request['task']} with {request['runtime']}"


def table(reading: Reading) -> str:
    """The answer for a terminal: components at each pool's peak, total and range, verdict, remarks."""
    scale, found = reading.scale, [heading(reading.answer)]
    for pool in _pools(reading):
        found += ["", caption(pool, str(pool["peak"]))]
        found += [f"  {label:<{LABEL}}{scale.text(steps):>{AMOUNT}}" for label, steps in _components(reading, pool)]
        found.append(f"  {'Total':<{LABEL}}{scale.need(pool['device']):>{AMOUNT}}   ({_span(reading, pool)})")
        found += [f"  Least certain: {told}" for told in ("; ".join(islice(_loose(reading, pool), 2)),) if told]
    if reading.spare is not None:
        found += ["", sentence(reading)]
    found += [f"Limits: {told}." for told in ("; ".join(_limits(reading)),) if told]
    helps = [f"  {told}" for told in _remedies(reading)]
    found += ["What would help:", *helps] if helps else []
    return _spaced([*found, *(f"Note: {w}" for w in reading.answer["warnings"])])


def worked(reading: Reading) -> str:
    """The table, and below it every row at its pool's peak opened to its arithmetic, the largest first."""
    found = [table(reading)]
    for pool in _pools(reading):
        rows = reading.rows_of(pool, str(pool["peak"]))
        found += [_opened(reading, row) for row in sorted(rows, key=lambda row: -row.size)]
    return _spaced(found)


def markdown(reading: Reading) -> str:
    """The answer as Markdown tables."""
    scale, found = reading.scale, [f"**{heading(reading.answer)}** (gauge {reading.answer['gauge']})"]
    for pool in _pools(reading):
        found += ["", f"| {caption(pool, str(pool['peak']))} | memory |", "| --- | ---: |"]
        found += [f"| {label} | {scale.text(steps)} |" for label, steps in _components(reading, pool)]
        found += [f"| **Total** | **{scale.need(pool['device'])}** |", "", f"Range: {_span(reading, pool)}."]
    if reading.spare is not None:
        found += ["", f"**{sentence(reading)}**"]
    found += [line for told in ("; ".join(_limits(reading)),) if told for line in ("", f"Limits: {told}.")]
    warnings = reading.answer["warnings"]
    return _spaced([*found, *([""] if warnings else []), *(f"* {w}" for w in warnings)])


def table_of_items(reading: Reading) -> str:
    """Every item of every pool as a row of comma-separated values, in bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["pool", *COLUMNS, "moments"])
    for pool in reading.answer["pools"]:
        name = f"{pool['name']}, {pool['place']}" if pool.get("place") else pool["name"]
        writer.writerows([name, *(item[c] for c in COLUMNS), " ".join(item["moments"])] for item in pool["items"])
    return out.getvalue()


def _pools(reading: Reading) -> list[Json]:
    return [reading.pool, *reading.others]


def _components(reading: Reading, pool: Json) -> list[tuple[str, int]]:
    """(label, shown steps) of each component at a pool's peak, in the fixed order; they add up to the shown total."""
    found: dict[str, int] = {}
    for row in reading.rows_of(pool, str(pool["peak"])):
        kind = palette.kind(row.component)
        label = palette.COMPONENTS.get(kind, kind)
        found[label] = found.get(label, 0) + row.steps
    return list(found.items())


def _span(reading: Reading, pool: Json) -> str:
    """From the lower end, rounded down, to the upper end, rounded up: no total stands outside its range."""
    return _between(reading, pool["low"], pool["high"])


def _between(reading: Reading, low: int, high: int) -> str:
    scale = reading.scale
    return f"{scale.number(scale.down(low))} to {scale.text(scale.up(high))}"


def _loose(reading: Reading, pool: Json) -> Iterator[str]:
    """What the range comes from: the items of which most is uncertain, the widest first."""
    rows = sorted(reading.rows_of(pool, str(pool["peak"])), key=lambda row: row.item["low"] - row.item["high"])
    for row in rows:
        low, high = row.item["low"], row.item["high"]
        if low < high and (high - low) * WIDE >= pool["high"] - pool["low"]:
            yield f"{row.label}, {_between(reading, low, high)}"


def _limits(reading: Reading) -> Iterator[str]:
    """The most that the device could hold of the same question, one limit at a time."""
    capacity, training = reading.answer["capacity"], reading.request["task"] == "training"
    for key, label, unit in (
        ("max_sequence_length", "longest sequence" if training else "longest context", " tokens"),
        ("max_batch_size", "largest micro-batch" if training else "most sequences at once", ""),
        ("kv_pool_tokens", "room for a cache of", " tokens"),
        ("min_devices", "fewest devices", ""),
    ):
        if key in capacity:
            yield f"{label} {capacity[key]:,}{unit}" if capacity[key] else f"{label}: none fits"


def _remedies(reading: Reading) -> Iterator[str]:
    """What frees memory and at which cost, where the device is short."""
    fit = reading.answer["fit"]
    if reading.verdict != "short":
        return
    for one in fit["remedies"]:
        saved = int(one["saves_bytes"])
        then = "fits then" if fit["headroom_bytes"] + saved >= 0 else "still short"
        yield f"{one['label']}: {MINUS}{reading.scale.room(saved)}; {one['cost']}; {then}"


def _opened(reading: Reading, row: Row) -> str:
    """A row's label and how sure it is; symbols, values and result; why; where it comes from."""
    item = row.item
    found = [f"\n{row.component}: {row.label} ({item['certainty']})", *(f"  = {line}" for line in lines(reading, row))]
    found += [f"  {text}" for text in (item["why"], item["source"] and f"Source: {item['source']}") if text]
    return "\n".join(found)


def _spaced(found: list[str]) -> str:
    """The lines as one text; spaces that keep a figure together on a page are plain ones here."""
    return "\n".join(found).replace(NBSP, " ")
