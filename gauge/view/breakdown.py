"""The table that is the gauge's equal: every component with its size, share, certainty and arithmetic; and the
moments.
"""

from __future__ import annotations

from gauge.view import palette
from gauge.view.derivation import derivation
from gauge.view.figures import percent
from gauge.view.html import Markup, join, tag
from gauge.view.reading import Json, Reading, Row


def breakdown(reading: Reading) -> Markup:
    """The table of the judged pool, and after it the other pools that hold something."""
    return join(
        _table(reading, reading.pool, reading.shown_moment, reading.rows, judged=True),
        [
            _table(reading, pool, str(pool["peak"]), reading.rows_of(pool, str(pool["peak"])), judged=False)
            for pool in reading.others
        ],
    )


def _table(reading: Reading, pool: Json, moment: str, rows: list[Row], *, judged: bool) -> Markup:
    scale = reading.scale
    total = sum(row.size for row in rows)
    steps = sum(row.steps for row in rows)
    groups = [(g, [r for r in rows if r.group is g]) for g in palette.GROUPS]
    return tag(
        "table",
        tag("caption", _caption(reading, pool, moment), id="breakdown-caption" if judged else None),
        tag(
            "thead",
            tag(
                "tr",
                tag("th", "Component", scope="col"),
                tag("th", "Memory", scope="col", class_="n"),
                tag("th", "Share", scope="col", class_="n share"),
                tag("th", "Certainty", scope="col", class_="c"),
            ),
        ),
        [_group(reading, group, found, total) for group, found in groups if found],
        tag("tfoot", _totals(reading, pool, total, steps, judged=judged)),
        class_="breakdown",
        data_pool=str(pool["name"]),
        data_steps=steps,
        data_unit=scale.name,
    )


def _caption(reading: Reading, pool: Json, moment: str) -> str:
    place = (
        "Host memory" if pool["name"] == "host" else "One device" if pool.get("count", 1) == 1 else "The fullest device"
    )
    label = next((str(m["label"]) for m in pool["moments"] if m["id"] == moment), moment)
    return f"{place}, {'at the peak: ' if moment == pool['peak'] else ''}{label}"


def _group(reading: Reading, group: palette.Group, rows: list[Row], total: int) -> Markup:
    body: list[Markup] = []
    if len(rows) > 1:
        body.append(
            _line(
                reading,
                group,
                group.label,
                sum(r.size for r in rows),
                sum(r.steps for r in rows),
                total,
                "",
                "group",
                group.id,
                leaf=False,
            )
        )
    for row in rows:
        kind = "part" if len(rows) > 1 else "group"
        key = f"{row.component}-{row.label}"
        body.append(
            _line(
                reading,
                group,
                row.label,
                row.size,
                row.steps,
                total,
                str(row.item.get("certainty") or ""),
                kind,
                key,
                leaf=True,
            )
        )
        body.append(tag("tr", tag("td", derivation(reading, row), colspan="4"), class_=f"how {kind}"))
    return tag("tbody", body, class_=f"c-{group.id}", data_group=group.id)


def _line(
    reading: Reading,
    group: palette.Group,
    label: str,
    size: int,
    steps: int,
    total: int,
    certainty: str,
    kind: str,
    key: str,
    *,
    leaf: bool,
) -> Markup:
    swatch = (
        tag(
            "svg",
            tag("rect", width="12", height="12", class_="fill"),
            tag("rect", width="12", height="12", class_="texture", fill=f"url(#texture-{group.id})"),
            class_="swatch",
            width="12",
            height="12",
            aria_hidden="true",
        )
        if kind == "group"
        else None
    )
    return tag(
        "tr",
        tag("th", swatch, label, scope="row"),
        tag(
            "td",
            tag("span", class_="delta", aria_hidden="true"),
            reading.scale.text(steps),
            class_="n num",
            title=f"{size:,} bytes",
        ),
        tag("td", percent(size, total), class_="n share num"),
        tag("td", tag("span", certainty, class_=f"word {certainty}") if certainty else None, class_="c"),
        class_=f"row {kind}",
        data_key=f"{group.id}/{key}",
        data_bytes=size,
        data_steps=steps if leaf else None,
    )


def _totals(reading: Reading, pool: Json, total: int, steps: int, *, judged: bool) -> Markup:
    scale = reading.scale
    rows = [
        tag(
            "tr",
            tag("th", "Total on the device" if pool["name"] != "host" else "Total", scope="row"),
            tag(
                "td",
                tag("span", class_="delta", aria_hidden="true"),
                scale.text(steps),
                class_="n num",
                title=f"{total:,} bytes",
            ),
            tag("td", "", class_="n share"),
            tag("td", "", class_="c"),
            class_="total",
            data_key="total",
            data_bytes=total,
        )
    ]
    finer = [("Allocated by tensors", "allocated"), ("Reserved by the allocator", "reserved")]
    if judged and reading.at_peak and pool["name"] != "host":
        rows += [
            tag(
                "tr",
                tag("th", f"of it: {label.lower()}", scope="row"),
                tag("td", scale.need(pool[key]), class_="n num", title=f"{pool[key]:,} bytes"),
                tag("td", "", class_="n share"),
                tag("td", "", class_="c"),
                class_="finer",
            )
            for label, key in finer
            if pool.get(key) and pool[key] != total
        ]
    return join(*rows)


def moments(reading: Reading) -> Markup:
    """Which moment the table shows: buttons in the order of events, the peak named."""
    pool = reading.pool
    if len(pool["moments"]) < 2:
        return join()
    sums = {str(m["id"]): int(m["bytes"]) for m in pool["moments"]}
    most = max(sums.values()) or 1
    return tag(
        "div",
        tag("span", "Moment", class_="label", id="moments-label"),
        [
            tag(
                "button",
                tag("span", str(m["label"]), class_="what"),
                tag("span", reading.scale.need(int(m["bytes"])), class_="num"),
                tag(
                    "svg",
                    tag("rect", width=f"{100 * int(m['bytes']) / most:.1f}%", height="3"),
                    width="100%",
                    height="3",
                    aria_hidden="true",
                ),
                tag("span", "peak", class_="peak") if m["id"] == pool["peak"] else None,
                type="button",
                data_view=f"moment={m['id']}" if m["id"] != pool["peak"] else "moment=",
                aria_pressed="true" if m["id"] == reading.shown_moment else "false",
            )
            for m in pool["moments"]
        ],
        class_="moments",
        role="group",
        aria_labelledby="moments-label",
    )


def notes(reading: Reading) -> Markup:
    """The answer's warnings, in words."""
    found = [str(w.get("message") if isinstance(w, dict) else w) for w in reading.answer.get("warnings") or []]
    if not found:
        return join()
    return tag("ul", [tag("li", tag("b", "Note "), text) for text in found], class_="notes")
