"""The calculator page: its document at build time and its fragments at every input.

Every public function that takes and returns text is a question the worker may ask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import gauge
from gauge import api, catalog, measured
from gauge.errors import RequestError
from gauge.fit import spread as spread_over
from gauge.request import parse
from gauge.request import schema as request_schema
from gauge.units import System
from gauge.view import (
    asked,
    breakdown,
    comparison,
    derivation,
    fields,
    files,
    form,
    gauge_scale,
    picture,
    rule_of_thumb,
    share,
    sweeps,
    verdict,
)
from gauge.view import glossary as words
from gauge.view.figures import Scale
from gauge.view.html import Markup, escape, join, raw, tag
from gauge.view.reading import Json, Reading
from gauge.view.reality import table as reality_table

_SLOT = re.compile(r"\{\{([a-z-]+)\}\}")
VIEW = {"unit": "GiB", "moment": "", "open": "", "code": ""}
PRESET = {"device": "h100-80gb"}


@lru_cache(maxsize=32)
def _answer(request: str, deep: bool) -> Json:
    return api.answer_text(request, deep)


@lru_cache(maxsize=1)
def _schema() -> Json:
    return request_schema()


@lru_cache(maxsize=1)
def _cards() -> Mapping[str, Json]:
    return {name: card for card in catalog.device_index() for name in (str(card["id"]), *card["aliases"])}


def ask(request: Mapping[str, Any], deep: bool = False) -> Json:
    """The contract's answer to a request; limits and remedies only when `deep`, since they take many estimates."""
    return _answer(json.dumps(request, sort_keys=True), deep)


def fresh(request: Mapping[str, Any]) -> Json:
    """As `ask`, for the many points of a chart, which nobody asks twice."""
    return api.answer_text(json.dumps(request), deep=False)


def base_config(request: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that edits stand on: the pasted one, or the catalogue's."""
    pasted = request.get("config")
    try:
        found = json.loads(pasted) if isinstance(pasted, str) else pasted
        return dict(found) if found else dict(catalog.load_model(str(request.get("model") or _default("model")))["config"])
    except (ValueError, TypeError, RequestError, RecursionError):
        return {}


def _default(name: str) -> Any:
    return next((f.get("default") for f in _schema()["fields"] if f["name"] == name), None)


def split(request_json: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A request and, under its key `view`, how the page shows it: `unit` and `moment`."""
    read = json.loads(request_json)
    view = read.pop("view", None) or {}
    return read, {key: str(view.get(key) or default) for key, default in VIEW.items()}


def reading(answer: Json, view: Mapping[str, str]) -> Reading:
    """An answer ready to be shown in a unit and at a moment."""
    system: System = "GB" if view.get("unit") == "GB" else "GiB"
    return Reading(answer, system, view.get("moment", ""), _cards(), view.get("code", ""))


FRAGMENTS: Mapping[str, Callable[[Reading], Markup]] = {
    "verdict": verdict.verdict,
    "gauge": gauge_scale.gauge,
    "strip": lambda r: join(tag("span", verdict.brief(r), class_="say"), gauge_scale.small(r)),
    "moments": breakdown.moments,
    "notes": breakdown.notes,
}


def deep(shown: Reading, request: Mapping[str, Any]) -> dict[str, Markup]:
    """Limits and remedies of an answer that has them."""
    return {"limits": verdict.limits(shown, spread(shown, request)), "remedies": verdict.remedies(shown)}


def spread(shown: Reading, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The degrees that put a question on the fewest devices."""
    fewest = (shown.answer.get("capacity") or {}).get("min_devices")
    if fewest is None:
        return {}
    return spread_over(parse(request), fewest)


def fragments(shown: Reading, opened: str) -> dict[str, Markup]:
    """Element id to the markup inside it; `opened` lists the groups of the table that are written out."""
    found = {name: draw(shown) for name, draw in FRAGMENTS.items()}
    return {**found, "breakdown": breakdown.breakdown(shown, opened.split(","))}


def facts(shown: Reading) -> dict[str, Any]:
    """What tests, benchmarks and embedding pages read off the element `answer`."""
    return {
        "allocated": shown.pool["allocated"],
        "device": shown.pool["device"],
        "unit": shown.scale.name,
        "unit-bytes": shown.scale.unit,
        "places": shown.scale.places,
        "model": str(shown.request.get("model") or ""),
    }


def update(request_json: str) -> str:
    """Answer, fragments, field states and facts for one request with its view, as JSON. Errors come as data."""
    request, view = split(request_json)
    answer = ask(request)
    states = fields.states(_schema(), request, answer)
    labels = {str(f["name"]): str(f["label"]) for f in _schema()["fields"]}
    found: dict[str, Any] = {
        "answer": slim(answer),
        "fields": states,
        "groups": fields.group_changes(_schema(), request),
    }
    if answer.get("errors"):
        found |= {
            "fragments": {
                "errors": join(fields.waiting(answer, labels), fields.errors(answer, labels)),
                **{f"echo-{e['field']}": "" for e in answer["errors"] if e.get("field") in {"model", "device"}},
            },
            "facts": {},
            "sentence": "",
        }
    else:
        shown = reading(answer, view)
        found |= {
            "fragments": {
                **fragments(shown, view["open"]),
                "echo-model": asked.about_model(answer, request, base_config(request)),
                "echo-device": asked.about_device(shown),
                "errors": "",
                "asked": asked.listed(shown, request, _schema()),
            },
            "facts": facts(shown),
            "sentence": verdict.sentence(shown),
        }
    return json.dumps(found, ensure_ascii=False)


def slim(answer: Json) -> Json:
    """An answer without what only the fragments need, which would double the text that crosses to the page."""
    return {key: value for key, value in answer.items() if key not in {"pools", "model"}}


def deepen(request_json: str) -> str:
    """Limits and remedies, which take many estimates and so are asked after the answer is shown."""
    request, view = split(request_json)
    answer = ask(request, deep=True)
    if answer.get("errors"):
        return json.dumps({"fragments": {}})
    shown = reading(answer, view)
    return json.dumps({"fragments": deep(shown, request)}, ensure_ascii=False)


def arithmetic(request_json: str) -> str:
    """Every row's derivation as text, Markdown and LaTeX, at the moment shown."""
    request, view = split(request_json)
    answer = ask(request)
    if answer.get("errors"):
        return json.dumps(dict.fromkeys(derivation.WRITTEN, ""))
    shown = reading(answer, view)
    return json.dumps({name: write(shown) for name, write in derivation.WRITTEN.items()}, ensure_ascii=False)


def thumb(request: Mapping[str, Any], exact: Reading) -> Markup:
    """The rule of thumb beside an exact reading of the same request."""
    said = ask({**request, "runtime": "textbook"})
    if said.get("errors"):
        return join(tag("p", str(said["errors"][0].get("message")), class_="quiet"))
    if exact.request.get("runtime") == "textbook":
        return tag(
            "p",
            "This is the rule of thumb itself. ",
            tag(
                "button",
                "Compare it with transformers",
                type="button",
                data_change=verdict.change({"runtime": "transformers"}),
            ),
            class_="quiet",
        )
    return rule_of_thumb.compare(Reading(said, exact.system, "", exact.cards), exact)


def rule(request_json: str) -> str:
    """The fragment `rule` for a request, as JSON."""
    request, view = split(request_json)
    answer = ask(request)
    found = "" if answer.get("errors") else thumb(request, reading(answer, view))
    return json.dumps({"fragments": {"rule": found}}, ensure_ascii=False)


def reality(request_json: str) -> str:
    """The fragment `reality` for a request, as JSON."""
    request, view = split(request_json)
    answer = ask(request)
    found = "" if answer.get("errors") else near(reading(answer, view))
    return json.dumps({"fragments": {"reality": found}}, ensure_ascii=False)


def near(shown: Reading) -> Markup:
    """The measured runs nearest to an answer, each computed anew for its own settings."""
    found = []
    for run in measured.nearest(shown.answer["request"]):
        answer = fresh(run.request)
        said = None if answer.get("errors") else measured.figure(answer, run.of, str(run.request.get("runtime")))
        found.append((run, said))
    titles = {name: str(m["title"]) for m in catalog.model_index() for name in (m["id"], *m["aliases"])}
    labels = {str(f["name"]): str(f["label"]) for f in _schema()["fields"]}
    return reality_table(found, titles, labels, shown.scale)


def glossary(question: str) -> str:
    """What a word of a formula means: `{"symbol"}` to `{"html"}`."""
    labels = {str(f["name"]): str(f["label"]) for f in _schema()["fields"]}
    return json.dumps({"html": words.line(str(json.loads(question).get("symbol")), labels)}, ensure_ascii=False)


def compare(question: str) -> str:
    """Up to four requests side by side: `{"states": [request...], "view"}` to the fragment `comparison`."""
    view = json.loads(question).get("view") or {}
    columns = []
    for request in comparison.states(question):
        answer = ask(request)
        shown = None if answer.get("errors") else reading(answer, {**VIEW, **view, "moment": ""})
        columns.append(comparison.Column(request, shown, comparison.problem(answer)))
    scale = comparison.scale_of([c.reading for c in columns if c.reading])
    return json.dumps({"fragments": {"comparison": comparison.table(columns, _schema(), scale)}}, ensure_ascii=False)


def shared(question: str) -> str:
    """Everything to pass on: a request with `link` beside it to the fragment `share` and the picture as SVG."""
    link = str(json.loads(question).get("link") or "")
    request, view = split(question)
    request.pop("link", None)
    answer = ask(request)
    if answer.get("errors"):
        return json.dumps({"fragments": {"share": tag("p", comparison.problem(answer))}, "svg": ""})
    shown = reading(answer, view)
    offers = share.offers(shown, request, link)
    return json.dumps({"fragments": {"share": share.menu(offers)}, "svg": picture.picture(shown)}, ensure_ascii=False)


def read(question: str) -> str:
    """What a dropped or pasted file says: `{"name", "kind", "text" or "data"}` to `{"changes", "message"}`."""
    return json.dumps(files.read(json.loads(question)), ensure_ascii=False)


def edits(question: str) -> str:
    """The controls that edit the architecture, as the fragment `edits`."""
    request, _ = split(question)
    return json.dumps({"fragments": {"edits": asked.architecture(base_config(request))}}, ensure_ascii=False)


def plan(question: str) -> str:
    """The charts of a request: their ids, titles and how many points each has."""
    request, _ = split(question)
    return json.dumps([{"id": c.id, "title": c.title, "points": len(c.points)} for c in _charts(request)])


def points(question: str) -> str:
    """Some points of one chart: a request with `chart`, `from` and `to` beside it."""
    read = json.loads(question)
    name, start, end = read.pop("chart"), int(read.pop("from")), int(read.pop("to"))
    request, view = split(json.dumps(read))
    chart = next(c for c in _charts(request) if c.id == name)
    return json.dumps([sweeps.point(fresh(p), lambda a: reading(a, view)) for p in chart.points[start:end]])


def chart(question: str) -> str:
    """A chart's rows, figure and table from the results of its points: a request with `chart` and `results`
    beside it.
    """
    read = json.loads(question)
    name, results = read.pop("chart"), read.pop("results")
    request, view = split(json.dumps(read))
    found = next(c for c in _charts(request) if c.id == name)
    largest = max((r["device"] for r in results if r["device"]), default=1)
    system: System = "GB" if view["unit"] == "GB" else "GiB"
    return json.dumps(sweeps.figure(found, results, Scale.of(largest, system)), ensure_ascii=False)


def _charts(request: dict[str, Any]) -> list[sweeps.Chart]:
    return sweeps.charts(request, ask(request), _schema())


def _prepared(shown: Reading, request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What stands beside each field before anybody has asked anything: the same as after the first answer."""
    states = fields.states(_schema(), request, shown.answer)
    states["model"]["echo"] = asked.about_model(shown.answer, request, base_config(request))
    states["device"]["echo"] = asked.about_device(shown)
    return states


def document(template: str, request: dict[str, Any], assets: Mapping[str, Any]) -> str:
    """The calculator page with a real answer in it: `template` has `{{slot}}` where a fragment of that name goes."""
    start = request or PRESET
    repository = str(assets.get("repository") or "")
    shown = reading(ask(start, deep=True), {**VIEW, "code": repository})
    slots: dict[str, str] = {
        **fragments(shown, breakdown.EVERY),
        **deep(shown, start),
        "preset": join(json.dumps(start)),
        "form": form.form(_schema(), start, _prepared(shown, start)),
        "textures": gauge_scale.textures(),
        "errors": "",
        "edits": asked.architecture(base_config(start)),
        "asked": asked.listed(shown, start, _schema()),
        "rule": thumb(start, shown),
        "reality": near(shown),
        "version": str(gauge.__version__),
        "dated": f", data of {assets['date']}" if assets.get("date") else "",
        "repository": repository,
        "source": tag("a", "Source code", href=repository) if repository else "",
        "facts": raw(" ".join(f'data-{key}="{escape(str(value))}"' for key, value in facts(shown).items())),
    }
    return _SLOT.sub(lambda slot: join(slots.get(slot.group(1), "")), template)
