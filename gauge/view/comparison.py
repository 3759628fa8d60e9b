"""Up to four questions side by side: the same scale, aligned rows, differences against the first, only what
differs listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gauge.view import palette
from gauge.view.figures import MINUS, Scale
from gauge.view.form import text
from gauge.view.gauge_scale import small
from gauge.view.html import Markup, join, tag
from gauge.view.reading import Json, Reading
from gauge.view.verdict import WORDS

LETTERS = "ABCD"


@dataclass(frozen=True)
class Column:
    """One question: what was asked (only what differs from the defaults) and its reading, or its errors."""

    request: Mapping[str, Any]
    reading: Reading | None
    problem: str = ""


def table(columns: Sequence[Column], schema: Json, scale: Scale) -> Markup:
    """The comparison; the last column is the question being edited."""
    labels = {str(f["name"]): str(f["label"]) for f in schema["fields"]}
    defaults = {str(f["name"]): text(f.get("default")) for f in schema["fields"]}
    return join(
        tag("h2", "Side by side"),
        tag(
            "div",
            [tag("button", letter, type="button", data_column=n) for n, letter in enumerate(LETTERS[: len(columns)])],
            class_="switch tabs",
            role="group",
            aria_label="Column shown",
        ),
        tag(
            "div",
            tag(
                "table",
                tag("caption", "Differences are against A"),
                tag("thead", _heads(columns), _inputs(columns, labels, defaults)),
                tag("tbody", _gauges(columns), _verdicts(columns, scale), [*_rows(columns, scale)]),
                tag("tfoot", _totals(columns, scale)),
                class_="compare",
            ),
            class_="scroll",
            tabindex="0",
            role="region",
            aria_label="Comparison, table",
        ),
    )


def _heads(columns: Sequence[Column]) -> Markup:
    cells = []
    for n in range(len(columns)):
        last = n == len(columns) - 1
        tools = None
        if not last:
            tools = tag(
                "span",
                tag("button", "Open", type="button", data_open=n, aria_label=f"Open {LETTERS[n]}"),
                tag("button", "Remove", type="button", data_remove=n, aria_label=f"Remove {LETTERS[n]}"),
                class_="tools",
            )
        name = tag("b", LETTERS[n]), tag("span", " being edited", class_="quiet") if last else None
        cells.append(tag("th", name, tools, scope="col"))
    return tag("tr", tag("td", ""), cells)


def _inputs(columns: Sequence[Column], labels: Mapping[str, str], defaults: Mapping[str, str]) -> list[Markup]:
    names = [n for n in {k: None for c in columns for k in c.request} if n != "view"]
    found = []
    for name in names:
        values = [text(c.request.get(name)) or defaults.get(name, "") or _read(c, name) for c in columns]
        if len(set(values)) > 1:
            shown = [v if len(v) < 40 else v[:38] + "…" for v in values]
            cells = [tag("td", v or "–") for v in shown]
            found.append(tag("tr", tag("th", labels.get(name, name), scope="row"), cells, class_="differs"))
    return found


def _read(column: Column, name: str) -> str:
    return text(column.reading.request.get(name)) if column.reading else ""


def _length(columns: Sequence[Column]) -> int:
    return max(
        (max(c.reading.pool["device"], c.reading.high, c.reading.card.reported or 0) for c in columns if c.reading),
        default=1,
    )


def _gauges(columns: Sequence[Column]) -> Markup:
    length = _length(columns)
    cells = [tag("td", small(c.reading, length) if c.reading else c.problem, class_="g") for c in columns]
    return tag("tr", tag("th", tag("span", "Gauge", class_="unseen"), scope="row"), cells)


def _verdicts(columns: Sequence[Column], scale: Scale) -> Markup:
    return tag("tr", tag("th", "Verdict", scope="row"), [tag("td", _verdict(c, scale)) for c in columns])


def _verdict(column: Column, scale: Scale) -> Markup:
    shown = column.reading
    if shown is None or shown.card.usable is None:
        return join()
    spare = scale.down(shown.card.usable) - scale.up(shown.need) if not shown.reserves else scale.down(_room(shown))
    word = WORDS[shown.verdict]
    side = "short" if spare < 0 else "to spare"
    return join(tag("b", word), f", {scale.text(abs(spare))} {side}")


def _room(shown: Reading) -> int:
    return int((shown.answer.get("fit") or {}).get("headroom_bytes") or 0)


def _sum(column: Column, group: palette.Group) -> int:
    shown = column.reading
    if shown is None:
        return 0
    return sum(r.size for r in shown.rows_of(shown.pool, str(shown.pool["peak"])) if r.group is group)


def _rows(columns: Sequence[Column], scale: Scale) -> list[Markup]:
    groups = [g for g in palette.GROUPS if any(_sum(c, g) for c in columns)]
    # NOTE: each column is rounded as one sum, so that its shown rows add up to its shown total.
    shown = [scale.rows([_sum(c, g) for g in groups]) for c in columns]
    return [
        tag(
            "tr",
            tag("th", _swatch(), g.label, scope="row"),
            [tag("td", _cell(scale, shown[0][i], column[i], n, _sum(columns[n], g))) for n, column in enumerate(shown)],
            class_=f"c-{g.id}",
        )
        for i, g in enumerate(groups)
    ]


def _swatch() -> Markup:
    square = tag("rect", width="12", height="12", class_="fill")
    return tag("svg", square, class_="swatch", width="12", height="12", aria_hidden="true")


def _cell(scale: Scale, first: int, steps: int, place: int, size: int = 1) -> Markup:
    """A figure with its difference to the first column's; a word where there is nothing at all."""
    by = steps - first
    signed = f"{'+' if by > 0 else MINUS}{scale.text(abs(by))}" if by and place else None
    figure = tag("span", scale.text(steps), class_="num") if size else tag("span", "none", class_="quiet")
    return join(figure, tag("span", signed, class_="by num") if signed else None)


def _totals(columns: Sequence[Column], scale: Scale) -> Markup:
    totals = [scale.up(sum(_sum(c, g) for g in palette.GROUPS)) for c in columns]
    cells = [tag("td", _cell(scale, totals[0], t, n)) for n, t in enumerate(totals)]
    return tag("tr", tag("th", "Total", scope="row"), cells, class_="total")


def scale_of(readings: Sequence[Reading]) -> Scale:
    """One scale for all columns, from the largest of them."""
    return max((r.scale for r in readings), key=lambda s: (s.unit, -s.places), default=Scale.of(1))


def problem(answer: Json) -> str:
    """The first error of an answer, in words."""
    errors = answer.get("errors") or ()
    return str(errors[0].get("message")) if errors else ""


def states(asked: str) -> list[dict[str, Any]]:
    """The requests that the page sends to be compared."""
    found: list[dict[str, Any]] = json.loads(asked)["states"]
    return found[: len(LETTERS)]
