"""An estimate in a notebook: the same picture and table, with its own colours, without scripts or stylesheets."""

from __future__ import annotations

from gauge import catalog
from gauge.view.fields import error
from gauge.view.figures import percent
from gauge.view.html import Markup, join, tag
from gauge.view.picture import picture
from gauge.view.reading import Json, Reading


def notebook(answer: Json) -> Markup:
    """Picture and table of an answer, or its errors."""
    if answer.get("errors"):
        return join(*[error(found) for found in answer["errors"]])
    shown = Reading(answer, cards={str(card["id"]): card for card in catalog.device_index()})
    return tag("div", tag("div", picture(shown), style="max-width:60em;overflow:auto"), _table(shown))


def _table(shown: Reading) -> Markup:
    rows = []
    for group, found in shown.groups:
        square = tag("svg", tag("rect", width="11", height="11", fill=group.ink), width="11", height="11")
        steps, size = sum(r.steps for r in found), sum(r.size for r in found)
        words = ", ".join(dict.fromkeys(r.label for r in found))
        rows.append(
            tag(
                "tr",
                tag("td", square),
                tag("th", group.label, scope="row", style="text-align:left"),
                tag("td", shown.scale.text(steps), title=f"{size:,} bytes"),
                tag("td", percent(size, shown.total)),
                tag("td", words if len(words) < 90 else f"{len(found)} parts", style="text-align:left"),
            )
        )
    total = tag("tr", tag("td"), tag("th", "Total", scope="row", style="text-align:left"),
                tag("td", shown.scale.text(sum(r.steps for r in shown.rows))), tag("td"), tag("td"))  # fmt: skip
    return tag("table", tag("tbody", rows), tag("tfoot", total))
