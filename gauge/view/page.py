"""The calculator page: its document at build time and its fragments at every input.

Every public function that takes and returns text is a question the worker may ask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from gauge.request import schema as request_schema

import gauge
from gauge import api, catalog
from gauge.view import breakdown, fields, form, gauge_scale, rule_of_thumb, verdict
from gauge.view.html import Markup, escape, join, raw, tag
from gauge.view.reading import Json, Reading

_SLOT = re.compile(r"\{\{([a-z-]+)\}\}")
VIEW = {"unit": "GiB", "moment": ""}


@lru_cache(maxsize=64)
def _answer(request: str) -> str:
    return api.answer(request)


@lru_cache(maxsize=1)
def _schema() -> Json:
    return request_schema()


@lru_cache(maxsize=1)
def _cards() -> Mapping[str, Json]:
    return {str(card["id"]): card for card in catalog.device_index()}


def ask(request: Mapping[str, Any]) -> Json:
    """The contract's answer to a request."""
    found: Json = json.loads(_answer(json.dumps(request, sort_keys=True)))
    return found


def split(request_json: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A request and, under its key `view`, how the page shows it: `unit` and `moment`."""
    read = json.loads(request_json)
    view = read.pop("view", None) or {}
    return read, {key: str(view.get(key) or default) for key, default in VIEW.items()}


def reading(answer: Json, view: Mapping[str, str]) -> Reading:
    """An answer ready to be shown in a unit and at a moment."""
    return Reading(answer, "GB" if view.get("unit") == "GB" else "GiB", view.get("moment", ""), _cards())


FRAGMENTS: Mapping[str, Callable[[Reading], Markup]] = {
    "verdict": verdict.verdict,
    "gauge": gauge_scale.gauge,
    "strip": lambda r: join(tag("span", verdict.sentence(r), class_="say"), gauge_scale.small(r)),
    "limits": verdict.limits,
    "remedies": verdict.remedies,
    "moments": breakdown.moments,
    "breakdown": breakdown.breakdown,
    "notes": breakdown.notes,
}


def fragments(shown: Reading) -> dict[str, Markup]:
    """Element id to the markup inside it."""
    return {name: draw(shown) for name, draw in FRAGMENTS.items()}


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
    found: dict[str, Any] = {"answer": answer, "fields": states, "groups": fields.group_changes(_schema(), request)}
    if answer.get("errors"):
        found |= {
            "fragments": {"errors": join(fields.waiting(answer, labels), fields.errors(answer, list(labels)))},
            "facts": {},
            "sentence": "",
        }
    else:
        shown = reading(answer, view)
        found |= {
            "fragments": {**fragments(shown), "errors": ""},
            "facts": facts(shown),
            "sentence": verdict.sentence(shown),
        }
    return json.dumps(found, ensure_ascii=False)


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


def document(template: str, request: dict[str, Any], assets: Mapping[str, Any]) -> str:
    """The calculator page with a real answer in it: `template` has `{{slot}}` where a fragment of that name goes."""
    shown = reading(ask(request), VIEW)
    slots: dict[str, str] = {
        **fragments(shown),
        "form": form.form(_schema(), request),
        "textures": gauge_scale.textures(),
        "errors": "",
        "rule": thumb(request, shown),
        "version": str(gauge.__version__),
        "date": str(assets.get("date") or ""),
        "repository": str(assets.get("repository") or ""),
        "facts": raw(" ".join(f'data-{key}="{escape(str(value))}"' for key, value in facts(shown).items())),
    }
    return _SLOT.sub(lambda slot: join(slots.get(slot.group(1), "")), template)
