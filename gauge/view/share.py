"""One question and its answer as something to pass on: link, tables, commands, picture, embed code."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gauge.view import plain
from gauge.view.form import text
from gauge.view.html import Markup, join, tag
from gauge.view.reading import Reading


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to copy. `note` says what it holds or when it applies."""

    id: str
    label: str
    text: str
    note: str = ""


def offers(reading: Reading, request: Mapping[str, Any], link: str) -> list[Offer]:
    """Everything that can be copied."""
    command = str(reading.answer.get("command") or "")
    found = [
        Offer("link", "Link", link, "contains the pasted config" if request.get("config") else ""),
        Offer("markdown", "Markdown", f"{plain.markdown(reading)}\n\n{link}\n"),
        Offer("csv", "CSV", plain.table_of_items(reading)),
        Offer("json", "JSON", json.dumps(reading.answer, indent=1, ensure_ascii=False), "inputs, outputs and version"),
        Offer("cli", "Command line", command_line(request)),
    ]
    if command:
        found.append(Offer("command", "Start it so", command, "the runtime's own command"))
    found.append(Offer("embed", "Embed", embed(link), "for a documentation page"))
    return found


def menu(found: list[Offer]) -> Markup:
    """The share panel: each text readable and with a copy button, then the pictures."""
    return join(
        tag("div", [_entry(offer) for offer in found], class_="offers"),
        tag(
            "p",
            tag("button", "Save picture (SVG)", type="button", id="save-svg"),
            tag("button", "Save picture (PNG)", type="button", id="save-png"),
            tag("button", "Print", type="button", id="print"),
            tag("button", "Close", type="button", data_close="share"),
            class_="row",
        ),
    )


def _entry(offer: Offer) -> Markup:
    return tag(
        "div",
        tag("label", offer.label, for_=f"share-{offer.id}"),
        tag("span", offer.note, class_="quiet") if offer.note else None,
        tag("button", "Copy", type="button", data_copy=f"share-{offer.id}", aria_label=f"Copy {offer.label}"),
        tag(
            "textarea",
            offer.text,
            id=f"share-{offer.id}",
            readonly=True,
            rows="1" if "\n" not in offer.text else "3",
            spellcheck="false",
        ),
        class_="offer",
    )


def command_line(request: Mapping[str, Any]) -> str:
    """The same question for a terminal."""
    words = [f"{key}={text(value)}" for key, value in request.items()]
    return shlex.join(["python", "-m", "gauge", *words])


def embed(link: str) -> str:
    """An iframe that shows this answer in another page."""
    source = link.replace("index.html", "embed.html") if "index.html" in link else _beside(link)
    frame = tag(
        "iframe",
        src=source,
        title="Memory estimate by Compute Gauge",
        width="100%",
        height="420",
        loading="lazy",
        style="border:0",
    )
    return str(frame)


def _beside(link: str) -> str:
    path, mark, state = link.partition("#")
    return path.rpartition("/")[0] + "/embed.html" + mark + state
