"""The gauge: the device's memory as a scale with ticks, the components end to end on it, what does not fit
beyond its end.

Drawn as SVG whose positions are percentages, so that it stretches with the page while its text does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gauge.view.figures import Scale
from gauge.view.html import Markup, join, tag
from gauge.view.palette import GROUPS
from gauge.view.reading import Reading
from gauge.view.verdict import sentence

BAR_TOP, BAR, RULE, HEIGHT = 26, 46, 84, 118
SMALL_BAR = 14


@dataclass(frozen=True, slots=True)
class Ruler:
    """A length in bytes laid over 0 to 100 %."""

    length: int

    def at(self, size: int) -> str:
        """A position in percent with three decimals, which is a tenth of a pixel on a wide screen."""
        return f"{100 * size / max(self.length, 1):.3f}%"


def segments(reading: Reading) -> list[tuple[str, str, int, int]]:
    """(group id, short name, start, size) of each colour, end to end, in bytes."""
    found, start = [], 0
    for group, rows in reading.groups:
        size = sum(row.size for row in rows)
        found.append((group.id, group.short, start, size))
        start += size
    return found


def ruler(reading: Reading) -> Ruler:
    """The scale is as long as the device, and longer by what does not fit, with room for the whisker."""
    end = reading.card.reported or 0
    reach = max(reading.high, reading.total, reading.pool["device"])
    return Ruler(max(end, reach + reach // 50) if reach > end else end)


def gauge(reading: Reading) -> Markup:
    """The large gauge with ticks, usable line, overflow, whisker and direct labels."""
    rule = ruler(reading)
    return tag(
        "svg",
        tag("title", sentence(reading)),
        _overflow_back(reading, rule),
        tag(
            "g",
            [_segment(rule, *s, end=min(reading.card.usable or rule.length, rule.length)) for s in segments(reading)],
            class_="bar",
        ),
        _hatch(reading, rule),
        _scale(reading, rule),
        _usable(reading, rule),
        _whisker(reading, rule),
        class_="gauge",
        role="img",
        width="100%",
        height=str(HEIGHT),
        aria_describedby="breakdown-caption",
    )


def _segment(rule: Ruler, group: str, short: str, start: int, size: int, *, end: int) -> Markup:
    """One colour, with its name where what lies before the end of the device is wide enough for it."""
    share = (min(start + size, end) - start) / max(rule.length, 1)
    fits = "wide" if share > 0.22 else "medium" if share > 0.105 else None
    label = tag("text", short, x="9", y="28", class_=f"name {fits}") if fits else None
    place = {"x": rule.at(start), "y": str(BAR_TOP), "width": rule.at(size), "height": str(BAR)}
    return tag(
        "svg",
        tag("rect", width="100%", height="100%", class_="fill"),
        tag("rect", width="100%", height="100%", class_="texture", fill=f"url(#texture-{group})"),
        tag("rect", width="1.5", height="100%", class_="gap") if start else None,
        label,
        class_=f"segment c-{group}",
        data_group=group,
        id=f"segment-{group}",
        **place,
    )


def _overflow_back(reading: Reading, rule: Ruler) -> Markup:
    end = reading.card.reported or rule.length
    return tag("rect", x="0", y=str(BAR_TOP), width=rule.at(min(end, rule.length)), height=str(BAR), class_="trough")


def _hatch(reading: Reading, rule: Ruler) -> Markup | None:
    """Hatching over everything beyond the end of the usable memory."""
    end = reading.card.usable
    if end is None or reading.total <= end:
        return None
    return join(
        tag(
            "rect",
            x=rule.at(end),
            y=str(BAR_TOP),
            width=rule.at(reading.total - end),
            height=str(BAR),
            class_="overflow",
            fill="url(#hatch)",
            id="overflow",
        ),
        tag("line", x1=rule.at(end), x2=rule.at(reading.total), y1="18", y2="18", class_="short-line"),
        tag(
            "svg",
            tag(
                "text",
                "short by ",
                tag("tspan", reading.scale.text(-(reading.spare or 0)), class_="num"),
                y="12",
                class_="short-text",
                text_anchor="end",
                x="100%",
            ),
            width=rule.at(reading.total),
            height="20",
            overflow="visible",
        )
        if reading.spare is not None and reading.spare < 0 and reading.at_peak
        else None,
    )


def tick_step(length: int, unit: int, most: int = 10) -> int:
    """The distance of numbered ticks in bytes: 1, 2 or 5 times a power of ten units, at most `most` of them."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if length <= most * factor * step * unit:
                return factor * step * unit
        step *= 10


def _ticks(length: int, step: int) -> list[int]:
    return list(range(0, length + 1, max(step, 1)))


def _scale(reading: Reading, rule: Ruler) -> Markup:
    """The ruled line with its ticks and figures; it ends where the device ends."""
    return _ruled(rule, min(reading.card.reported or rule.length, rule.length), reading.scale)


@lru_cache(maxsize=16)
def _ruled(rule: Ruler, end: int, unit: Scale) -> Markup:
    step = tick_step(rule.length, unit.unit)
    fine = step // 5 if step % 5 == 0 else step // 4
    short = end < rule.length * 12 // 100  # the device's own figure takes the place of all others
    last = end * 96 // 100
    many = len(_ticks(end, step)) > 6
    return tag(
        "g",
        tag("line", x1="0", x2=rule.at(end), y1=str(RULE), y2=str(RULE), class_="axis"),
        [tag("line", x1=rule.at(t), x2=rule.at(t), y1=str(RULE), y2=str(RULE + 5), class_="fine") for t in _ticks(end, fine)],
        [tag("line", x1=rule.at(t), x2=rule.at(t), y1=str(RULE), y2=str(RULE + 9), class_="tick") for t in _ticks(end, step)],
        [
            tag(
                "text",
                str(t // unit.unit),
                x=rule.at(t),
                y=str(RULE + 24),
                text_anchor="start" if t == 0 else "middle",
                class_="near" if t > end * 17 // 20 else "odd" if many and n % 2 else None,
            )
            for n, t in enumerate([] if short else _ticks(last, step))
        ],
        tag("line", x1=rule.at(end), x2=rule.at(end), y1=str(RULE - 6), y2=str(RULE + 9), class_="stop"),
        tag(
            "text",
            unit.room(end),
            x=rule.at(end),
            y=str(RULE + 24),
            class_="end",
            text_anchor="end" if end > rule.length * 7 // 10 else "start" if short else "middle",
        ),
        class_="scale",
    )


def _usable(reading: Reading, rule: Ruler) -> Markup | None:
    usable = reading.card.usable
    if usable is None:
        return None
    return tag("line", x1=rule.at(usable), x2=rule.at(usable), y1=str(BAR_TOP - 8), y2=str(RULE), class_="usable-line")


def _whisker(reading: Reading, rule: Ruler) -> Markup | None:
    """The estimate's range at the tip of the bar."""
    low, high = reading.low, reading.high
    if high - low <= rule.length // 1000:
        return None
    middle = BAR_TOP + BAR // 2
    return tag(
        "g",
        tag("line", x1=rule.at(low), x2=rule.at(high), y1=str(middle), y2=str(middle), class_="halo"),
        tag("line", x1=rule.at(low), x2=rule.at(high), y1=str(middle), y2=str(middle)),
        [tag("line", x1=rule.at(x), x2=rule.at(x), y1=str(middle - 6), y2=str(middle + 6)) for x in (low, high)],
        class_="whisker",
    )


def small(reading: Reading, length: int | None = None, *, label: str = "") -> Markup:
    """The same gauge without figures, for strips, compare columns and tables; `length` puts several on one scale."""
    rule = Ruler(length) if length else ruler(reading)
    end, usable = reading.card.reported, reading.card.usable
    over = usable is not None and reading.total > usable
    return tag(
        "svg",
        tag("title", label or sentence(reading)),
        tag("rect", y="3", width=rule.at(min(end or rule.length, rule.length)), height=str(SMALL_BAR), class_="trough"),
        [
            tag(
                "rect",
                x=rule.at(start),
                y="3",
                width=rule.at(size),
                height=str(SMALL_BAR),
                class_=f"segment fill c-{group}",
            )
            for group, _, start, size in segments(reading)
        ],
        tag(
            "rect",
            x=rule.at(usable or 0),
            y="3",
            width=rule.at(reading.total - (usable or 0)),
            height=str(SMALL_BAR),
            fill="url(#hatch)",
            class_="overflow",
        )
        if over
        else None,
        tag("line", x1=rule.at(usable), x2=rule.at(usable), y1="0", y2="20", class_="usable-line") if usable else None,
        class_="gauge small",
        role="img",
        width="100%",
        height="20",
    )


def textures() -> Markup:
    """The patterns that stand in for colours on paper and in forced colours; once in a page."""
    return tag(
        "svg",
        tag(
            "defs",
            tag(
                "pattern",
                tag("path", d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5"),
                id="hatch",
                width="6",
                height="6",
                patternUnits="userSpaceOnUse",
                class_="hatch",
            ),
            [_texture(group.id, group.pattern) for group in GROUPS],
        ),
        class_="textures",
        width="0",
        height="0",
        aria_hidden="true",
    )


PATTERNS = {
    "none": "",
    "rising": "M-1 9L9 -1",
    "falling": "M-1 -1L9 9",
    "dots": "M2 4H4M6 8H8",
    "upright": "M4 0V8",
    "sparse": "M0 4H4",
    "level": "M0 4H8",
    "cross": "M0 4H8M4 0V8",
    "fine": "M1 0V8M3 0V8M5 0V8M7 0V8",
}


def _texture(group: str, pattern: str) -> Markup:
    return tag(
        "pattern",
        tag("path", d=PATTERNS[pattern]),
        id=f"texture-{group}",
        width="8",
        height="8",
        patternUnits="userSpaceOnUse",
        class_="texture-lines",
    )


def nominal(scale: Scale) -> str:
    """The unit in words, for table heads."""
    return f"{scale.name}, {scale.unit:,} bytes"


LOGO = tag(
    "svg",
    tag("rect", class_="c-weights", y="2", width="15", height="8"),
    tag("rect", class_="c-cache", x="16", y="2", width="6", height="8"),
    tag("path", d="M0 14.5H29.5M.5 14.5V17M7.5 14.5V16.5M15 14.5V17M22 14.5V16.5M29.5 12V17"),
    class_="logo",
    width="30",
    height="18",
    viewBox="0 0 30 18",
    aria_hidden="true",
)
