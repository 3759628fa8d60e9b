"""The question's form, made from the request's own schema: one control for each field, drawn by its kind.

A field is `{"name", "label", "help", "kind", "unit", "default", "choices", "tasks", "runtimes", "group", "prominent",
"placeholder"}`. The page's script knows the kinds and never the names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gauge.view.html import Markup, join, tag
from gauge.view.reading import Json

SEARCH = {"model": "data/models.json", "device": "data/devices.json"}
TYPED = {"count": "numeric", "tokens": "text", "bytes": "text", "fraction": "decimal", "text": "text"}


States = Mapping[str, Mapping[str, Any]]


def form(schema: Json, request: Mapping[str, Any], states: States | None = None) -> Markup:
    """The whole form: what is always seen, then the named groups; `request` holds the values to start with, `states`
    what an answer says of each field (`relevant`, `echo`, `placeholder`).
    """
    fields: Sequence[Json] = schema["fields"]
    states = states or {}
    seen = [f for f in fields if f.get("prominent")]
    groups = [
        _group(g, [f for f in fields if f.get("group") == g["id"] and not f.get("prominent")], request, states)
        for g in schema["groups"]
    ]
    return join(
        tag("div", [field(f, request, states) for f in seen], class_="prominent"),
        groups,
        tag("p", "", id="hidden-note", class_="hidden-note"),
    )


def _group(group: Json, fields: Sequence[Json], request: Mapping[str, Any], states: States) -> Markup | None:
    if not fields:
        return None
    return tag(
        "details",
        tag(
            "summary",
            tag("span", str(group["label"]), class_="name"),
            tag("span", "", class_="changed", id=f"changed-{group['id']}"),
        ),
        tag("div", [field(f, request, states) for f in fields], class_="fields"),
        class_="group",
        data_group=str(group["id"]),
        hidden=not any(_state(f, states).get("relevant", True) for f in fields),
    )


def _state(spec: Json, states: States) -> Mapping[str, Any]:
    return states.get(str(spec["name"])) or {}


def field(spec: Json, request: Mapping[str, Any], states: States | None = None) -> Markup:
    """Label, help, control, the echo of what was read and the place for an error."""
    name, kind = str(spec["name"]), str(spec["kind"])
    state = _state(spec, states or {})
    if kind != "choice" and state.get("placeholder"):
        spec = {**spec, "placeholder": state["placeholder"]}
    value = request.get(name, spec.get("default"))
    several = kind == "choice" and _segmented(spec)
    label = tag(
        "span" if several else "label",
        str(spec["label"]),
        class_="label",
        for_=None if several else f"in-{name}",
        id=f"label-{name}",
    )
    head = tag("div", label, _help(spec), class_="head")
    below = join(
        tag("p", state.get("echo") or "", class_="echo", id=f"echo-{name}"), tag("div", "", class_="error", id=f"error-{name}")
    )
    return tag(
        "div",
        head,
        control(spec, value),
        below,
        class_=f"field {kind}" + (" segmented" if several else " wide" if _wide(spec) else ""),
        role="radiogroup" if several else None,
        aria_labelledby=f"label-{name}" if several else None,
        data_field=name,
        data_kind=kind,
        data_default=text(spec.get("default")),
        data_tasks=" ".join(spec["tasks"]) if spec.get("tasks") else None,
        hidden=not state.get("relevant", True),
    )


def _help(spec: Json) -> Markup | None:
    if not spec.get("help"):
        return None
    return tag("details", tag("summary", "?", aria_label=f"About {spec['label']}"), tag("p", str(spec["help"])), class_="help")


def _segmented(spec: Json) -> bool:
    return bool(spec.get("prominent")) and len(spec.get("choices") or ()) == 2


def _wide(spec: Json) -> bool:
    """A choice that is always seen has a row of its own; numbers stand in pairs."""
    return bool(spec.get("prominent")) and bool(spec.get("choices"))


def control(spec: Json, value: Any) -> Markup:
    """The native control of a kind."""
    name, kind = str(spec["name"]), str(spec["kind"])
    about = {"aria_describedby": f"echo-{name} error-{name}"}
    if kind == "choice":
        return _choice(spec, text(value), about)
    if kind == "flag":
        return tag("input", type="checkbox", name=name, id=f"in-{name}", checked=bool(value) and value != "false", **about)
    if kind in {"config", "map"}:
        return tag(
            "textarea",
            text(value),
            name=name,
            id=f"in-{name}",
            rows="3",
            spellcheck="false",
            autocomplete="off",
            placeholder=str(spec.get("placeholder") or "{ … }"),
            **about,
        )
    shared: dict[str, Any] = {
        "name": name,
        "id": f"in-{name}",
        "value": text(value),
        "autocomplete": "off",
        "spellcheck": "false",
        "placeholder": str(spec.get("placeholder") or ""),
        **about,
    }
    if kind in SEARCH:
        return tag(
            "div",
            tag("input", type="text", data_search=SEARCH[kind], **shared),
            tag("ul", id=f"list-{name}", role="listbox", hidden=True, aria_label=str(spec["label"])),
            class_="combo",
        )
    typed = tag("input", type="text", inputmode=TYPED.get(kind, "text"), data_step=kind, **shared)
    unit = spec.get("unit")
    return tag("div", typed, tag("span", str(unit), class_="unit", aria_hidden="true"), class_="with-unit") if unit else typed


def _choice(spec: Json, value: str, about: dict[str, str]) -> Markup:
    name = str(spec["name"])
    choices = [c if isinstance(c, Mapping) else {"value": c, "label": c} for c in spec.get("choices") or ()]
    if _segmented(spec):
        return tag(
            "div",
            [
                tag(
                    "label",
                    tag(
                        "input",
                        type="radio",
                        name=name,
                        value=text(c["value"]),
                        checked=text(c["value"]) == value,
                        **about,
                    ),
                    tag("span", str(c["label"])),
                )
                for c in choices
            ],
            class_="segments",
        )
    options = [
        tag(
            "option",
            str(c["label"]),
            value=text(c["value"]),
            selected=text(c["value"]) == value,
            data_tasks=" ".join(c["tasks"]) if c.get("tasks") else None,
        )
        for c in choices
    ]
    if spec.get("default") is None:
        options.insert(0, tag("option", str(spec.get("placeholder") or "automatic"), value="", selected=not value))
    return tag("select", options, name=name, id=f"in-{name}", **about)


def text(value: Any) -> str:
    """A value as a control holds it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
