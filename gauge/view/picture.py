"""The gauge as a picture of its own: fixed size, its own colours, no stylesheet. For sharing, notebooks and print."""

from __future__ import annotations

from gauge.view.gauge_scale import Ruler, ruler, segments, tick_step
from gauge.view.html import Markup, join, tag
from gauge.view.palette import GROUPS, Group
from gauge.view.reading import Reading
from gauge.view.verdict import sentence

WIDTH, MARGIN = 1200, 48
INK, SOFT, PAPER, WELL, BAD = "#1c1a17", "#5a554d", "#faf9f6", "#f1efe9", "#9c1c12"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"


def picture(reading: Reading, *, title: str = "") -> Markup:
    """A standalone SVG: what was asked, the verdict, the gauge, and a legend with figures."""
    rows = [(g, sum(r.steps for r in rows)) for g, rows in reading.groups]
    height = 250 + 30 * ((len(rows) + 3) // 4)
    return tag(
        "svg",
        tag("title", sentence(reading)),
        tag("rect", width=str(WIDTH), height=str(height), fill=PAPER),
        _text(title or _asked(reading), MARGIN, 44, 17, SOFT),
        _text(sentence(reading), MARGIN, 82, 27, INK, weight=620),
        _bar(reading),
        [_legend(reading, n, *row) for n, row in enumerate(rows)],
        _text("Compute Gauge " + str(reading.answer.get("gauge") or ""), WIDTH - MARGIN, height - 20, 13, SOFT, "end"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        width=str(WIDTH),
        height=str(height),
        role="img",
        font_family=FONT,
    )


def _asked(reading: Reading) -> str:
    request = reading.request
    parts = [str(request.get(key)) for key in ("model", "task", "runtime") if request.get(key)]
    tokens, batch = request.get("sequence_length"), request.get("batch_size")
    return ", ".join([*parts, *([f"{tokens:,} tokens × {batch}"] if isinstance(tokens, int) else [])])


def _text(words: str, x: float, y: float, size: int, fill: str, anchor: str = "start", weight: int | None = None) -> Markup:
    return tag("text", words, x=f"{x:g}", y=f"{y:g}", font_size=size, fill=fill, text_anchor=anchor, font_weight=weight)


def _bar(reading: Reading, top: int = 116, thick: int = 48) -> Markup:
    rule = ruler(reading)
    end = min(reading.card.reported or rule.length, rule.length)
    step = tick_step(rule.length, reading.scale.unit)
    ticks = range(0, end + 1, step)
    under = top + thick + 10
    usable = reading.card.usable
    over = usable is not None and reading.total > usable
    return join(
        tag("rect", x=str(MARGIN), y=str(top), width=_wide(rule, end), height=str(thick), fill=WELL),
        [
            tag("rect", x=_at(rule, s), y=str(top), width=_wide(rule, n), height=str(thick), fill=_ink(g))
            for g, _, s, n in segments(reading)
        ],
        _hatch(rule, usable or 0, reading.total, top, thick) if over else None,
        _line(_at(rule, 0), under, _at(rule, end), under),
        [_line(_at(rule, t), under, _at(rule, t), under + 8) for t in ticks],
        [
            _text(str(t // reading.scale.unit), float(_at(rule, t)), under + 24, 13, SOFT, "middle")
            for t in ticks
            if t * 100 < end * 95
        ],
        _text(reading.scale.room(end), float(_at(rule, end)), under + 24, 13, INK, "middle" if over else "end", 600),
        _line(_at(rule, end), under - 6, _at(rule, end), under + 8, 2),
        _line(_at(rule, usable), top - 8, _at(rule, usable), under, 1, dash="3 3") if usable else None,
    )


def _hatch(rule: Ruler, start: int, end: int, top: int, thick: int) -> Markup:
    path = tag("path", d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5", stroke=PAPER, stroke_width="1.8")
    pattern = tag("pattern", path, id="beyond", width="6", height="6", patternUnits="userSpaceOnUse")
    place = {"x": _at(rule, start), "y": str(top), "width": _wide(rule, end - start), "height": str(thick)}
    return join(tag("defs", pattern), tag("rect", fill="url(#beyond)", **place))


def _ink(group: str) -> str:
    return next(g.ink for g in GROUPS if g.id == group)


def _wide(rule: Ruler, size: int) -> str:
    return f"{(WIDTH - 2 * MARGIN) * size / max(rule.length, 1):.2f}"


def _at(rule: Ruler, size: int) -> str:
    return f"{MARGIN + (WIDTH - 2 * MARGIN) * size / max(rule.length, 1):.2f}"


def _line(x1: str, y1: int, x2: str, y2: int, width: int = 1, dash: str | None = None) -> Markup:
    return tag("line", x1=x1, y1=str(y1), x2=x2, y2=str(y2), stroke=INK, stroke_width=width, stroke_dasharray=dash)


def _legend(reading: Reading, place: int, group: Group, steps: int) -> Markup:
    column, row = place % 4, place // 4
    x, y = MARGIN + column * 276, 236 + 30 * row

    return join(
        tag("rect", x=str(x), y=str(y - 12), width="13", height="13", fill=group.ink),
        _text(f"{group.label}  {reading.scale.text(steps)}", x + 22, y, 15, INK),
    )
