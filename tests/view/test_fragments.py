"""The fragments of hand-written answers: complete, consistent with each other, and free of anybody else's markup."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gauge.view import breakdown, derivation, fields, form, gauge_scale, rule_of_thumb, verdict
from gauge.view.html import Markup, escape, tag
from gauge.view.reading import Reading
from tests.view import samples

HOSTILE = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;"
FRAGMENTS: list[Callable[[Reading], Markup]] = [
    verdict.verdict,
    verdict.limits,
    verdict.remedies,
    gauge_scale.gauge,
    gauge_scale.small,
    breakdown.breakdown,
    breakdown.moments,
    breakdown.notes,
    lambda r: rule_of_thumb.compare(reading(r.answer), r),
]


class Elements(HTMLParser):
    """Every element with its attributes; checks that elements close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"input", "br", "meta", "link", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def reading(answer: dict[str, Any], system: Any = "GiB", moment: str = "") -> Reading:
    return Reading(answer, system, moment, samples.CARDS)


@pytest.mark.parametrize("answer", [samples.inference(), samples.training()], ids=["inference", "training"])
@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_fragments_are_well_formed_without_inline_style_or_script(
    fragment: Callable[[Reading], Markup], answer: dict[str, Any]
) -> None:
    for element, attributes in Elements(fragment(reading(answer))).found:
        assert element not in {"script", "style"}
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)


def poisoned(value: Any) -> Any:
    """The same structure with every text replaced, but for those that choose what is drawn."""
    if isinstance(value, dict):
        return {
            k: v if k in {"component", "moments", "peak", "id", "name", "certainty"} else poisoned(v) for k, v in value.items()
        }
    if isinstance(value, list):
        return [poisoned(v) for v in value]
    return HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_nothing_in_an_answer_becomes_markup(fragment: Callable[[Reading], Markup]) -> None:
    clean = {element for element, _ in Elements(fragment(reading(samples.training()))).found}
    for element, attributes in Elements(fragment(reading(poisoned(samples.training())))).found:
        assert element in clean | {"td", "li", "ul", "span", "a", "p", "b"}
        assert "onerror" not in attributes


@given(st.text())
def test_text_is_escaped_by_construction(text: str) -> None:
    assert "<" not in escape(text)
    assert '"' not in tag("i", title=text)[len('<i title="') : -len('"></i>')]


@pytest.mark.parametrize("system", ["GiB", "GB"])
@pytest.mark.parametrize("answer", [samples.inference(), samples.training()], ids=["inference", "training"])
def test_the_table_adds_up_at_every_moment(answer: dict[str, Any], system: str) -> None:
    for moment in answer["pools"][0]["moments"]:
        shown = reading(answer, system, moment["id"])
        found = Elements(breakdown.breakdown(shown)).found
        rows = [a for element, a in found if element == "tr" and a.get("data-steps")]
        table = next(a for element, a in found if element == "table")
        for level in ("sum", "part"):
            steps = [int(a["data-steps"] or 0) for a in rows if level not in str(a["class"]).split()]
            assert sum(steps) == int(table["data-steps"] or 0) == shown.scale.up(moment["bytes"])


def test_many_small_parts_do_not_lift_their_group() -> None:
    answer = samples.inference()
    small = [samples.item(f"weights.part{n}", f"Part {n}", 2 * 2**20) for n in range(40)]
    answer["pools"][0]["items"] += small
    answer["pools"][0]["device"] += sum(i["bytes"] for i in small)
    shown = reading(answer)
    for _, rows in shown.groups:
        size = sum(row.size for row in rows)
        assert shown.scale.down(size) <= sum(row.steps for row in rows) <= shown.scale.up(size)


def test_what_just_fits_is_seen_to_fit() -> None:
    answer = samples.inference()
    pool, fit = answer["pools"][0], answer["fit"]
    for left in (0, 1, 1000, 10**6):
        fit["usable_bytes"], fit["headroom_bytes"], fit["verdict"] = pool["device"] + left, left, "tight"
        shown = reading(answer)
        assert shown.verdict == "tight"
        assert shown.spare is not None
        assert 0 <= shown.spare * shown.scale.unit <= left * shown.scale.steps
    fit["usable_bytes"], fit["headroom_bytes"], fit["verdict"] = pool["device"] - 1, -1, "short"
    assert reading(answer).verdict == "short"


def test_the_gauge_lays_its_segments_end_to_end() -> None:
    shown = reading(samples.training())
    at = 0
    for _, _, start, size in gauge_scale.segments(shown):
        assert start == at
        at += size
    assert at == shown.total


def test_the_verdict_says_word_figure_and_range() -> None:
    text = re.sub(r"<[^>]+>", "", verdict.verdict(reading(samples.training())))
    assert "Too large for 1\u00a0×\u00a0NVIDIA H100 80 GB" in text
    assert "short" in text
    assert verdict.sentence(reading(samples.inference())).startswith("Fits on")


def test_the_form_has_a_control_for_every_field_named_after_it() -> None:
    found = Elements(form.form(samples.SCHEMA, {})).found
    controls = {a["name"] for element, a in found if element in {"input", "select", "textarea"}}
    assert controls == {f["name"] for f in samples.SCHEMA["fields"]}
    labels = {a["for"] for element, a in found if element == "label" and "for" in a}
    assert {f"in-{f['name']}" for f in samples.SCHEMA["fields"] if f["name"] != "task"} == labels


def test_fields_say_how_they_were_read_and_what_is_wrong() -> None:
    answer = samples.inference()
    answer["request"]["sequence_length"] = 131072
    states = fields.states(samples.SCHEMA, {"sequence_length": "128k"}, answer)
    assert states["sequence_length"]["echo"] == "= 131,072 tokens"
    assert not states["optimizer"]["relevant"]
    wrong = {"errors": [{"field": "batch_size", "message": HOSTILE, "remedy": "Type 1 or more."}]}
    error = fields.states(samples.SCHEMA, {"batch_size": "x"}, wrong)["batch_size"]["error"]
    assert "<script" not in error
    assert "Type 1 or more." in error


FIXABLE = {
    "field": "tensor_parallel",
    "message": "3 does not divide 32 heads",
    "remedy": "use 2",
    "fixes": [{"tensor_parallel": 2}],
}


def test_every_fix_of_an_error_is_a_button_that_carries_it() -> None:
    fixes = [{"tensor_parallel": 2}, {"gguf_types": None, "runtime": "vllm"}]
    shown = fields.fixes({**FIXABLE, "fixes": fixes}, {"tensor_parallel": "Tensor parallel", "gguf_types": "GGUF types"})
    buttons = [attributes for name, attributes in Elements(shown).found if name == "button"]
    assert [json.loads(button["data-change"] or "") for button in buttons] == [
        {"tensor_parallel": "2"},
        {"gguf_types": None, "runtime": "vllm"},
    ]
    assert "Set tensor parallel to 2" in shown
    assert "Clear GGUF types, set runtime to vllm" in shown


def test_a_field_that_does_not_matter_is_seen_while_it_is_wrong() -> None:
    schema = {"fields": [{"name": "tensor_parallel", "label": "Tensor parallel", "kind": "count", "runtimes": ["vllm"]}]}
    assert not fields.states(schema, {}, {})["tensor_parallel"]["relevant"]
    assert fields.states(schema, {}, {"errors": [FIXABLE]})["tensor_parallel"]["relevant"]


def test_hostile_fixes_stay_text() -> None:
    shown = fields.fixes({"fixes": [{HOSTILE: HOSTILE}]}, {})
    assert {name for name, _ in Elements(shown).found} == {"button"}


@pytest.mark.parametrize("write", derivation.WRITTEN.values())
def test_the_arithmetic_is_written_for_every_row(write: Callable[[Reading], str]) -> None:
    shown = reading(samples.inference())
    text = write(shown)
    for row in shown.rows:
        assert row.label.split("_")[0] in text


def test_latex_keeps_its_braces_and_escapes_what_is_special() -> None:
    text = derivation.latex(reading(samples.inference()))
    assert text.count("{") == text.count("}")
    assert text.count("\\begin{align*}") == text.count("\\end{align*}") == len(reading(samples.inference()).rows)
    assert "\\times" in text
    assert derivation._escaped("50% of a_b") == "50\\% of a\\_b"
