"""Markup in every field, in configs, file names and links, over random texts: never an element or a handler of a fragment."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import gauge
from gauge.request import schema
from gauge.view import page
from tests.view.test_fragments import Elements

FIELDS = [field["name"] for field in schema()["fields"]]
QUESTIONS = ["update", "deepen", "rule", "edits", "reality", "shared", "arithmetic"]
ATTACKS = st.sampled_from(
    [
        "<img src=x onerror=alert(1)>",
        '"><script>alert(1)</script>',
        "'><svg/onload=alert(1)>",
        "</textarea></title></style><iframe srcdoc=x>",
        "javascript:alert(1)",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        '" onfocus=alert(1) autofocus x="',
        "{{form}}${alert(1)}",
    ]
)
TEXTS = st.builds("".join, st.tuples(st.text(max_size=6), ATTACKS, st.text(alphabet="<>\"'&=/`\u2028\x00", max_size=6)))
SMALL = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
    "intermediate_size": 128,
}


def harmless(html: str) -> None:
    """Only elements that the fragments themselves make, none with a handler, a style or an address that runs."""
    for element, attributes in Elements(html).found:
        assert element not in {"script", "style", "iframe", "img", "object", "embed", "base", "meta", "link"}
        for name, value in attributes.items():
            assert not name.startswith("on"), name
            assert name not in {"style", "srcdoc", "autofocus"}, name
            if name in {"href", "src", "action", "formaction", "xlink:href"}:
                assert str(value).startswith(("https://", "http://", "#", "models/", "./")), value


def fragments(name: str, question: dict[str, Any]) -> None:
    said = json.loads(getattr(page, name)(json.dumps(question)))
    for html in said.get("fragments", {}).values():
        harmless(html)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(QUESTIONS), st.dictionaries(st.sampled_from(FIELDS) | TEXTS, TEXTS, min_size=1, max_size=3), TEXTS)
def test_any_field_and_any_unknown_one(name: str, fields: dict[str, str], view: str) -> None:
    fragments(name, {**fields, "view": {"unit": view, "moment": view, "open": view}, "link": view})


VALUES = TEXTS | st.integers(-3, 10**6) | st.lists(TEXTS, max_size=2) | st.none()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(QUESTIONS), st.dictionaries(st.sampled_from([*SMALL, "architectures", "_name_or_path"]) | TEXTS, VALUES))
def test_any_config(name: str, changes: dict[str, Any]) -> None:
    fragments(name, {"config": json.dumps({**SMALL, **changes})})
    fragments(name, {"config": {**SMALL, **changes}})


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3))
def test_any_file(name: str, text: str, more: dict[str, Any]) -> None:
    """What the reader says of a file goes into the page as text; what it puts into the form is asked like anything else."""
    for content in (text, json.dumps({**SMALL, **more})):
        said = json.loads(page.read(json.dumps({"name": name, "kind": "config", "text": content})))
        assert isinstance(said["message"], str)
        if changes := said.get("changes"):
            fragments("update", changes)
    for ending in (".gguf", ".safetensors"):
        data = base64.b64encode(text.encode("utf-8", "replace") * 40).decode()
        question = {"name": name + ending, "size": 4000, "slices": [{"offset": 0, "data": data}]}
        said = json.loads(page.read(json.dumps(question)))
        assert "want" in said or isinstance(said["message"], str)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), TEXTS, max_size=2), min_size=2, max_size=3))
def test_any_comparison(states: list[dict[str, str]]) -> None:
    fragments("compare", {"states": states})


@settings(max_examples=40, deadline=None)
@given(TEXTS, TEXTS)
def test_any_notebook(model_type: str, name: str) -> None:
    found = gauge.estimate(config={**SMALL, "architectures": [name], "_name_or_path": name, "note": model_type})
    for element, attributes in Elements(found._repr_html_()).found:
        assert element not in {"script", "img", "iframe"}
        assert not any(attribute.startswith("on") for attribute in attributes)
