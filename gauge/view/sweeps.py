"""What the charts ask: one question many times with something varied, a few points at a time, and the figure and
table of them.

The page's script only carries points to Python and numbers to the drawing library; which fields vary is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gauge.view import palette
from gauge.view.figures import NBSP, Scale
from gauge.view.gauge_scale import segments
from gauge.view.html import Markup, tag
from gauge.view.reading import Json, Reading

Request = dict[str, Any]
Asked = Callable[[Mapping[str, Any]], Json]
CONTEXTS = tuple(1 << n for n in range(10, 21))
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
NOTHING = {
    "stack": "No length of sequence has an answer here.",
    "map": "No batch and length of sequence have an answer here.",
    "bars": "This runtime and task store the weights in one way only.",
    "course": "This runtime takes its memory before the first token and keeps it: there is no course to draw.",
}
WORDS = {"fits": "fits", "tight": "tight", "short": "no", "unknown": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart: `points` are requests, `columns` what each stands for; `shape` picks the drawing."""

    id: str
    title: str
    shape: str
    points: list[Request]
    columns: list[tuple[Any, ...]]


def charts(request: Request, answer: Json, schema: Json) -> list[Chart]:
    """The charts that make sense for an answered request."""
    read: Json = answer.get("request") or {}
    return [
        timeline(request, answer),
        over_context(request, read, answer),
        grid(request, read, answer),
        formats(request, schema),
    ]


def longest(answer: Json, read: Json) -> int:
    """The longest sequence worth drawing: what fits, or four times what was asked, at least 8,192 tokens."""
    fits = int((answer.get("capacity") or {}).get("max_sequence_length") or 0)
    return min(max(fits, 4 * int(read.get("sequence_length") or 0), 8192), CONTEXTS[-1])


def over_context(request: Request, read: Json, answer: Json) -> Chart:
    """Memory over the length of the sequence."""
    most = longest(answer, read)
    tokens = sorted({n for n in CONTEXTS if n <= most} | {int(read.get("sequence_length") or 4096)})
    return Chart(
        id="context",
        title="Memory over sequence length",
        shape="stack",
        points=[{**request, "sequence_length": n} for n in tokens],
        columns=[(n,) for n in tokens],
    )


def grid(request: Request, read: Json, answer: Json) -> Chart:
    """What fits on this device: sequences at once against sequence length."""
    most = longest(answer, read)
    tokens = [n for n in CONTEXTS if n <= most][-8:]
    pairs = [(batch, n) for batch in BATCHES for n in tokens]
    return Chart(
        id="map",
        title="What fits on this device",
        shape="map",
        points=[{**request, "batch_size": batch, "sequence_length": n} for batch, n in pairs],
        columns=list(pairs),
    )


def formats(request: Request, schema: Json) -> Chart:
    """Every way to store the weights on this device."""
    field = next((f for f in schema["fields"] if f["name"] == "quantization"), None)
    values = [(str(c["value"]), str(c["label"])) for c in field["choices"]] if field else []
    return Chart(
        id="formats",
        title="Every weight format on this device",
        shape="bars",
        points=[{**request, "quantization": value} for value, _ in values],
        columns=[(label,) for _, label in values],
    )


def timeline(request: Request, answer: Json) -> Chart:
    """The course of one step or one request."""
    task = str((answer.get("request") or {}).get("task"))
    name = "The course of one training step" if task == "training" else "The course of one request"
    return Chart(id="timeline", title=name, shape="course", points=[{**request, "timeline": True}], columns=[("",)])


def point(answer: Json, reading: Callable[[Json], Reading]) -> Json:
    """An answer boiled down to what charts draw; `None` bytes where the question has no answer."""
    if answer.get("errors"):
        return {"device": None, "verdict": "", "parts": {}}
    shown = reading(answer)
    found: dict[str, Any] = {
        "device": shown.pool["device"],
        "usable": shown.card.usable,
        "verdict": shown.verdict,
        "parts": {group: size for group, _, _, size in segments(shown)},
    }
    course = shown.pool.get("timeline")
    if course:
        found["course"] = [_event(event) for event in course]
    return found


def _event(event: Json) -> Json:
    sums: dict[str, int] = {}
    for component, size in event["bytes"].items():
        group = palette.group_of(component).id
        sums[group] = sums.get(group, 0) + size
    return {"event": event["event"], "layer": event.get("layer"), "parts": sums}


def figure(chart: Chart, results: Sequence[Json], scale: Scale) -> Json:
    """The drawing's rows in shown units and the figure's markup with its table."""
    draw = {"stack": _stack, "map": _map, "bars": _bars, "course": _course}[chart.shape]
    rows, table = draw(chart, results, scale)
    usable = next((r["usable"] for r in results if r.get("usable")), None)
    return {
        "id": chart.id,
        "shape": chart.shape,
        "unit": scale.name,
        "usable": None if usable is None else usable / scale.unit,
        "groups": [{"id": g.id, "label": g.label} for g in palette.GROUPS],
        "rows": rows,
        "html": _frame(chart, table, bool(rows)),
    }


def _frame(chart: Chart, table: Markup, drawn: bool) -> Markup:
    return tag(
        "figure",
        tag("figcaption", tag("h3", chart.title)),
        tag("div", class_="plot", id=f"plot-{chart.id}") if drawn else tag("p", NOTHING[chart.shape], class_="quiet"),
        tag(
            "details",
            tag("summary", "As a table"),
            tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=f"{chart.title}, table"),
            class_="as-table",
        )
        if drawn
        else None,
        class_="chart",
        data_chart=chart.id,
    )


Drawn = tuple[list[dict[str, Any]], Markup]


def _parts(parts: Mapping[str, int], scale: Scale) -> list[tuple[str, float]]:
    return [(g.id, parts[g.id] / scale.unit) for g in palette.GROUPS if parts.get(g.id)]


def _stack(chart: Chart, results: Sequence[Json], scale: Scale) -> Drawn:
    found = [(column[0], r) for column, r in zip(chart.columns, results, strict=True) if r["device"] is not None]
    rows = [{"x": tokens, "group": g, "y": y} for tokens, r in found for g, y in _parts(r["parts"], scale)]
    used = [g for g in palette.GROUPS if any(r["parts"].get(g.id) for _, r in found)]
    lines = [(f"{tokens:,}{NBSP}tokens", [scale.need(r["parts"].get(g.id, 0)) for g in used], r) for tokens, r in found]
    return rows, _table(["Sequence", *(g.label for g in used), "Total", "Fits"], lines, scale)


def _table(heads: Sequence[str], lines: Sequence[tuple[str, Sequence[str], Json]], scale: Scale) -> Markup:
    return tag(
        "table",
        tag("thead", tag("tr", [tag("th", h, scope="col", class_="n" if n else None) for n, h in enumerate(heads)])),
        tag(
            "tbody",
            [
                tag(
                    "tr",
                    tag("th", name, scope="row"),
                    [tag("td", cell, class_="n") for cell in cells],
                    tag("td", scale.need(r["device"]), class_="n"),
                    tag("td", WORDS[r["verdict"]], class_="n"),
                )
                for name, cells, r in lines
            ],
        ),
    )


def _map(chart: Chart, results: Sequence[Json], scale: Scale) -> Drawn:
    cells = {column: r for column, r in zip(chart.columns, results, strict=True) if r["device"] is not None}
    rows = [
        {
            "batch": batch,
            "tokens": tokens,
            "share": r["device"] / r["usable"] if r.get("usable") else 0,
            "word": WORDS[r["verdict"]],
            "need": scale.need(r["device"]),
        }
        for (batch, tokens), r in cells.items()
    ]
    batches = sorted({b for b, _ in cells})
    tokens = sorted({t for _, t in cells})
    table = tag(
        "table",
        tag(
            "thead",
            tag("tr", tag("th", "Batch", scope="col"), [tag("th", f"{t:,}", scope="col", class_="n") for t in tokens]),
        ),
        tag(
            "tbody",
            [
                tag(
                    "tr",
                    tag("th", f"{b:,}", scope="row"),
                    [
                        tag("td", f"{scale.need(cells[b, t]['device'])} {WORDS[cells[b, t]['verdict']]}", class_="n")
                        if (b, t) in cells
                        else tag("td", "–", class_="n")
                        for t in tokens
                    ],
                )
                for b in batches
            ],
        ),
    )
    return rows, table


def _bars(chart: Chart, results: Sequence[Json], scale: Scale) -> Drawn:
    found = [(column[0], r) for column, r in zip(chart.columns, results, strict=True) if r["device"] is not None]
    plain = results[0]["device"]
    # NOTE: a format that this runtime and task do not use gives the answer without any, and says nothing here.
    found = [(name, r) for n, (name, r) in enumerate(found) if n == 0 or r["device"] != plain]
    if len(found) < 2:
        found = []
    found.sort(key=lambda pair: -int(pair[1]["device"]))
    rows = [{"name": name, "group": g, "x": x} for name, r in found for g, x in _parts(r["parts"], scale)]
    lines = [(name, [scale.need(r["parts"].get("weights", 0))], r) for name, r in found]
    return rows, _table(["Format", "Weights", "Total", "Fits"], lines, scale)


def _course(chart: Chart, results: Sequence[Json], scale: Scale) -> Drawn:
    events = list(results[0].get("course") or ())
    used = [g.id for g in palette.GROUPS if any(e["parts"].get(g.id) for e in events)]
    # NOTE: the last event is drawn once more, since a step needs an end; every colour is there at every event.
    drawn = [*events, *events[-1:]]
    rows = [{"x": n, "group": g, "y": e["parts"].get(g, 0) / scale.unit} for n, e in enumerate(drawn) for g in used]
    body = [
        tag(
            "tr",
            tag("th", str(e["event"]) + (f", layer {e['layer']}" if e["layer"] is not None else ""), scope="row"),
            tag("td", scale.need(sum(e["parts"].values())), class_="n"),
        )
        for e in events
    ]
    head = tag("tr", tag("th", "Event", scope="col"), tag("th", "Memory", scope="col", class_="n"))
    return rows, tag("table", tag("thead", head), tag("tbody", body))
