"""A static page for each model of the catalogue: its memory at a glance, readable without scripts.

Weights by format, memory by context, and which common devices hold it; every figure links to the live page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from gauge import catalog
from gauge.units import format_count
from gauge.view import gauge_scale
from gauge.view.figures import NBSP, Scale
from gauge.view.html import Markup, escape, join, raw, tag
from gauge.view.page import PRESET, ask, reading
from gauge.view.reading import Json
from gauge.view.verdict import MARKS, WORDS, verdict

CONTEXTS = (4096, 32768, 131072)
FORMATS = (("none", "bfloat16"), ("fp8", "FP8"), ("int8", "INT8"), ("int4", "INT4"))
CARDS = ("rtx-3090", "rtx-4090", "rtx-5090", "l40s", "a100-80gb-sxm", "h100-80gb-sxm", "h200-141gb-sxm", "mi300x-192gb")


def slug(model_id: str) -> str:
    """A file name for a model: `meta-llama/Llama-3.1-8B` to `meta-llama--llama-3.1-8b`."""
    return re.sub(r"[^a-z0-9.-]+", "-", model_id.lower().replace("/", "--")).strip("-.")


def link(request: Mapping[str, Any]) -> str:
    """The live page at a request."""
    words = "&".join(f"{key}={quote(str(value), safe='/:,')}" for key, value in request.items())
    return f"../index.html#v=1&{words}"


def document(model_id: str, assets: Mapping[str, Any]) -> str:
    """The whole page of one model."""
    entry = catalog.load_model(model_id)
    title = str(entry["title"])
    answer = ask({"model": model_id, **PRESET})
    body = _body(entry, answer)
    total = format_count(int(entry.get("parameters") or 0))
    about = f"How much memory {title} ({total} parameters) needs: by format, by context and on common devices."
    return _page(f"{title}: memory", about, body, assets)


def _body(entry: Json, answer: Json) -> Markup:
    head = join(
        tag("p", tag("a", "All models", href="index.html"), class_="quiet"),
        tag("h1", str(entry["title"])),
        _facts(entry, answer),
    )
    if answer.get("errors"):
        words = str(answer["errors"][0]["message"])
        return join(head, tag("p", f"Not answered yet: {words}."), _open(str(entry["id"])))
    shown = reading(answer, {})
    return join(
        head,
        tag("section", verdict(shown), tag("div", gauge_scale.gauge(shown), class_="gauge-box"), class_="headline"),
        _open(str(entry["id"])),
        _by_format(str(entry["id"]), answer),
        _by_card(str(entry["id"])),
    )


def _facts(entry: Json, answer: Json) -> Markup:
    model: Json = answer.get("model") or {}
    total, active = int(entry.get("parameters") or 0), int(model.get("active_parameters") or 0)
    parts = [
        ("Parameters", f"{total:,}"),
        ("Active per token", f"{active:,}" if 0 < active < total else ""),
        ("Layers", str(model.get("layers") or "")),
        ("Longest sequence", f"{int(model['max_length']):,}{NBSP}tokens" if model.get("max_length") else ""),
        ("Family", str(entry.get("family") or "")),
        ("Organisation", str(entry.get("organisation") or "")),
        ("Hugging Face id", str(entry["id"])),
        ("Also called", ", ".join(map(str, entry.get("aliases") or ()))),
    ]
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in parts if value], class_="facts")


def _open(model_id: str) -> Markup:
    where = link({"model": model_id, **PRESET})
    return tag("p", tag("a", "Change anything: open it in the calculator", href=where), class_="open")


def _by_format(model_id: str, answer: Json) -> Markup:
    most = int((answer.get("model") or {}).get("max_length") or CONTEXTS[-1])
    contexts = [n for n in CONTEXTS if n <= most] or [most]
    rows, found = [], {}
    for value, _ in FORMATS:
        for tokens in contexts:
            said = ask({"model": model_id, "quantization": value, "sequence_length": tokens})
            found[value, tokens] = None if said.get("errors") else int(said["pools"][0]["device"])
    scale = Scale.of(max((size for size in found.values() if size), default=1))
    for value, label in FORMATS:
        cells = []
        for tokens in contexts:
            size = found[value, tokens]
            request = {"model": model_id, "quantization": value, "sequence_length": tokens, **PRESET}
            shown = tag("a", scale.need(size), href=link(request)) if size else "–"
            cells.append(tag("td", shown, class_="n num"))
        rows.append(tag("tr", tag("th", label, scope="row"), cells))
    heads = [tag("th", f"{tokens:,}{NBSP}tokens", scope="col", class_="n") for tokens in contexts]
    caption = "Running one sequence with transformers: weights, cache, working memory and framework"
    return tag(
        "section",
        tag("h2", "By format and context"),
        tag("table", tag("caption", caption), tag("thead", tag("tr", tag("th", "Weights", scope="col"), heads)),
            tag("tbody", rows)),
    )  # fmt: skip


def _by_card(model_id: str) -> Markup:
    known = {str(card["id"]) for card in catalog.device_index()}
    answers = {task: ask({"model": model_id, "task": task}) for task in ("inference", "training")}
    rows = []
    for card in filter(known.__contains__, CARDS):
        device = catalog.load_device(card)
        requests = [({"model": model_id, "task": task, "device": card}, said) for task, said in answers.items()]
        cells = [tag("td", "–") if said.get("errors") else _fit(request, said, device.usable) for request, said in requests]
        rows.append(tag("tr", tag("th", device.title, scope="row"), cells))
    heads = [tag("th", name, scope="col") for name in ("Device", "Running, 4,096 tokens", "Training in full, AdamW")]
    caption = "One device of each kind"
    table = tag("table", tag("caption", caption), tag("thead", tag("tr", heads)), tag("tbody", rows), class_="cards")
    return tag("section", tag("h2", "On common devices"), table)


def _fit(request: Mapping[str, Any], answer: Json, usable: int) -> Markup:
    """The verdict for a device on an answer that names none: what one device needs does not depend on its size."""
    pool = answer["pools"][0]
    kind = "short" if pool["device"] > usable else "tight" if pool["high"] > usable else "fits"
    scale = Scale.of(max(pool["device"], usable))
    spare = scale.down(usable) - scale.up(pool["device"])
    words = f"{MARKS[kind]}{NBSP}{WORDS[kind]}, {scale.text(abs(spare))} {'short' if spare < 0 else 'to spare'}"
    return tag("td", tag("a", words, href=link(request)), data_verdict=kind)


def index(models: Iterable[Json], assets: Mapping[str, Any]) -> str:
    """The list of all models, by family."""
    rows: dict[str, list[Json]] = {}
    for model in models:
        rows.setdefault(str(model.get("family") or "Other"), []).append(model)
    sections = [_family(name, found) for name, found in sorted(rows.items())]
    count = sum(map(len, rows.values()))
    head = join(tag("h1", "All models"), tag("p", f"{count:,} models with exact shapes.", class_="quiet"))
    about = "Memory of every model in the catalogue: by format, by context and on common devices."
    return _page("All models", about, join(head, tag("div", sections, class_="families")), assets)


def _family(name: str, models: Sequence[Json]) -> Markup:
    items = [
        tag("li", tag("a", str(m["title"]), href=f"{slug(str(m['id']))}.html"), " ",
            tag("span", format_count(int(m.get("parameters") or 0)), class_="quiet"))
        for m in models
    ]  # fmt: skip
    return tag("section", tag("h2", name), tag("ul", items))


def _page(title: str, about: str, body: Markup, assets: Mapping[str, Any]) -> str:
    policy = "default-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("title", f"{title} | Compute Gauge"),
        tag("meta", name="description", content=about),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="../icon.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href="../style.css"),
        tag("script", src="../theme.js"),
    )
    name = join(gauge_scale.LOGO, tag("span", "Compute Gauge"))
    brand = tag("a", name, class_="brand", href="../index.html")
    top = tag("header", brand, tag("div", class_="tools", data_theme_here=True), class_="top")
    date = f", data of {assets['date']}" if assets.get("date") else ""
    foot = tag("footer", tag("p", f"Compute Gauge {assets.get('version') or ''}{date}. ",
                             tag("a", "Calculator", href="../index.html")))  # fmt: skip
    page = join(gauge_scale.textures(), top, tag("main", body, class_="sheet"), foot)
    return raw("<!doctype html>\n") + tag("html", tag("head", head), tag("body", page, class_="narrow"), lang="en") + escape("\n")
