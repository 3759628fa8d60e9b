"""The table that is the gauge's equal: every component with its size, share, certainty and arithmetic; and the
moments.
"""

from __future__ import annotations

from collections.abc import Sequence

from gauge.view import palette
from gauge.view.derivation import derivation
from gauge.view.figures import NBSP, percent
from gauge.view.html import Markup, capital, join, tag
from gauge.view.reading import Json, Reading, Row, grouped

EVERY = "all"


def breakdown(reading: Reading, opened: Sequence[str] = (EVERY,)) -> Markup:
    """The table of the judged pool, then the other pools that hold something.

    `opened` names the groups whose parts are written out; a group of one part always is.
    """
    peaks = [(pool, str(pool["peak"])) for pool in reading.others]
    shown = [
        (reading.pool, reading.shown_moment, reading.rows),
        *[(pool, moment, reading.rows_of(pool, moment)) for pool, moment in peaks],
    ]
    return join(*[_table(reading, pool, moment, rows, opened) for pool, moment, rows in shown])


def _table(reading: Reading, pool: Json, moment: str, rows: list[Row], opened: Sequence[str]) -> Markup:
    judged = pool is reading.pool
    total = sum(row.size for row in rows)
    steps = sum(row.steps for row in rows)
    return tag(
        "table",
        tag("caption", caption(pool, moment), id="breakdown-caption" if judged else None),
        tag("thead", _heads()),
        [_group(reading, _key(reading, pool), g, found, total, opened) for g, found in grouped(rows)],
        tag("tfoot", _totals(reading, pool, total, steps)),
        class_="breakdown",
        data_pool=_key(reading, pool),
        data_steps=steps,
        data_unit=reading.scale.name,
    )


def _heads() -> Markup:
    return tag(
        "tr",
        tag("th", "Component", scope="col"),
        tag("th", "Memory", scope="col", class_="n"),
        tag("th", "Share", scope="col", class_="n share"),
        tag("th", "Certainty", scope="col", class_="c"),
    )


def _key(reading: Reading, pool: Json) -> str:
    """What tells the pools apart: the name, the place where several have the name of the judged one."""
    return str(pool["name"] if pool is reading.pool else pool.get("place") or pool["name"])


def caption(pool: Json, moment: str) -> str:
    """Which device of which stages, and which moment: `The fullest device of stage 1, at the peak: backward`."""
    single = int(pool.get("count") or 1) == 1
    place = "Host memory" if pool["name"] == "host" else "One device" if single else "The fullest device"
    if pool.get("place"):
        place = f"{place} of {pool['place']}"
    label = next((str(m["label"]) for m in pool["moments"] if m["id"] == moment), moment)
    return f"{place}, {'at the peak: ' if moment == pool['peak'] else ''}{label}"


def _group(reading: Reading, pool: str, group: palette.Group, rows: list[Row], total: int, opened: Sequence[str]) -> Markup:
    """One colour: a single row with its arithmetic, or a sum whose parts open below it."""
    shared = {"class_": f"c-{group.id}", "data_group": group.id}
    if len(rows) == 1:
        only = rows[0]
        named = only.label == group.label or len(only.label) > 60
        label = join(group.label if not named else only.label, None if named else tag("small", only.label))
        return tag("tbody", _part(reading, only, total, "group", f"{pool}/{group.id}/0", label), **shared)
    written = EVERY in opened or group.id in opened
    parts = [_part(reading, row, total, "part", f"{pool}/{group.id}/{n}") for n, row in enumerate(rows) if written]
    size, steps = sum(r.size for r in rows), sum(r.steps for r in rows)
    more = tag(
        "button",
        group.label,
        tag("small", f"{len(rows)}{NBSP}parts"),
        type="button",
        class_="more",
        data_parts=group.id,
        aria_expanded="true" if written else "false",
    )
    certainty = _weakest(rows)
    line = _line(reading, group, more, (size, steps), total, certainty, "group sum", f"{pool}/{group.id}")
    return join(tag("tbody", line, **shared), tag("tbody", parts, **shared, data_of=group.id) if written else None)


def _weakest(rows: Sequence[Row]) -> str:
    found = {str(row.item.get("certainty") or "") for row in rows}
    return next((word for word in ("measured", "policy", "exact") if word in found), "")


def _part(reading: Reading, row: Row, total: int, kind: str, key: str, label: str | None = None) -> Markup:
    certainty = str(row.item.get("certainty") or "")
    line = _line(reading, row.group, label or row.label, (row.size, row.steps), total, certainty, kind, key)
    how = tag("tr", tag("td", derivation(reading, row), colspan="4"), class_=f"how {kind}")
    return join(line, how)


def _line(
    reading: Reading, group: palette.Group, label: str, amount: tuple[int, int], total: int, certainty: str, kind: str,
    key: str,
) -> Markup:  # fmt: skip
    size, steps = amount
    return tag(
        "tr",
        tag("th", swatch(group) if kind != "part" else None, label, scope="row"),
        _memory(reading, size, steps),
        tag("td", percent(size, total), class_="n share num"),
        tag("td", tag("span", certainty, class_=f"word {certainty}") if certainty else None, class_="c"),
        class_=f"row {kind}",
        data_key=key,
        data_bytes=size,
        data_steps=steps,
    )


def _memory(reading: Reading, size: int, steps: int) -> Markup:
    delta = tag("span", class_="delta", aria_hidden="true")
    return tag("td", delta, reading.scale.text(steps), class_="n num", title=f"{size:,} bytes")


def swatch(group: palette.Group) -> Markup:
    """The little square that ties a row to its segment, with the group's pattern for paper and forced colours."""
    return tag(
        "svg",
        tag("rect", width="12", height="12", class_="fill"),
        tag("rect", width="12", height="12", class_="texture", fill=f"url(#texture-{group.id})"),
        class_="swatch",
        width="12",
        height="12",
        aria_hidden="true",
    )


FINER = (("of it allocated by tensors", "allocated"), ("of it reserved by the allocator", "reserved"))


def _totals(reading: Reading, pool: Json, total: int, steps: int) -> Markup:
    host = pool["name"] == "host"
    empty = tag("td", "", class_="n share"), tag("td", "", class_="c")
    label = "Total" if host else "Total on the device"
    rows = [
        tag(
            "tr",
            tag("th", label, scope="row"),
            _memory(reading, total, steps),
            empty,
            class_="total",
            data_key=f"{_key(reading, pool)}/total",
            data_bytes=total,
        )
    ]
    if pool is reading.pool and reading.at_peak and not host:
        finer = [(text, int(pool[key])) for text, key in FINER if pool.get(key) and pool[key] != total]
        rows += [
            tag("tr", tag("th", text, scope="row"), _memory(reading, size, reading.scale.up(size)), empty,
                class_="finer")
            for text, size in finer
        ]  # fmt: skip
    return join(*rows)


def moments(reading: Reading) -> Markup:
    """Which moment the table shows: buttons in the order of events, the peak named."""
    pool = reading.pool
    if len(pool["moments"]) < 2:
        return join()
    most = max(int(m["bytes"]) for m in pool["moments"]) or 1
    return tag(
        "div",
        tag("span", "Moment", class_="label", id="moments-label"),
        [_moment(reading, m, most) for m in pool["moments"]],
        class_="moments",
        role="group",
        aria_labelledby="moments-label",
    )


def _moment(reading: Reading, moment: Json, most: int) -> Markup:
    name, size = str(moment["id"]), int(moment["bytes"])
    peak = name == reading.pool["peak"]
    bar = tag("rect", width=f"{100 * size / most:.1f}%", height="3")
    return tag(
        "button",
        tag("span", capital(str(moment["label"])), class_="what"),
        tag("span", reading.scale.need(size), class_="num"),
        tag("span", "peak" if peak else "", class_="peak"),
        tag("svg", bar, width="100%", height="3", aria_hidden="true"),
        type="button",
        data_view="moment=" if peak else f"moment={name}",
        aria_pressed="true" if name == reading.shown_moment else "false",
    )


def notes(reading: Reading) -> Markup:
    """The answer's warnings, in words."""
    found = [str(w.get("message") if isinstance(w, dict) else w) for w in reading.answer.get("warnings") or []]
    if not found:
        return join()
    return tag("ul", [tag("li", tag("b", "Note "), text) for text in found], class_="notes")
