"""Whole pages and the worker's questions, with the real engine behind them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gauge
from gauge import api, catalog
from gauge.view import model_page, page
from gauge.view.figures import Scale
from tests.view.test_fragments import HOSTILE, Elements

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["openai-community/gpt2", "meta-llama/Llama-3.1-8B", "google-bert/bert-base-uncased"]),
        "task": st.sampled_from(["inference", "training"]),
        "runtime": st.sampled_from(["transformers", "textbook"]),
        "device": st.sampled_from(["rtx-3090", "h100-80gb"]),
        "batch_size": st.integers(1, 64),
        "sequence_length": st.integers(1, 1024),
        "view": st.fixed_dictionaries({"unit": st.sampled_from(["GiB", "GB"])}),
    }
)


def shown(request: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.update(json.dumps(request)))
    return found


@settings(max_examples=25, deadline=None)
@given(REQUESTS)
def test_over_random_questions_rows_add_up_and_nothing_looks_smaller_than_it_is(request: dict[str, Any]) -> None:
    found = shown({**request, "view": {**request["view"], "open": "all"}})
    table = Elements(found["fragments"]["breakdown"]).found
    whole = next(a for element, a in table if element == "table")
    rows = [a for element, a in table if element == "tr" and a.get("data-steps")]
    first = [a for a in rows if str(a["data-key"]).startswith(str(whole["data-pool"]) + "/")]
    for level in ("sum", "part"):
        steps = [int(a["data-steps"] or 0) for a in first if level not in str(a["class"]).split()]
        assert sum(steps) == int(whole["data-steps"] or 0)
    scale = Scale(unit=found["facts"]["unit-bytes"], name=found["facts"]["unit"], places=found["facts"]["places"])
    assert int(whole["data-steps"] or 0) * scale.unit >= found["facts"]["device"] * scale.steps
    assert scale.need(found["facts"]["device"]) in found["fragments"]["verdict"] or request["runtime"] != "textbook"


@settings(max_examples=25, deadline=None)
@given(REQUESTS)
def test_over_random_questions_every_figure_wears_its_unit(request: dict[str, Any]) -> None:
    fragments = shown({**request, "view": {**request["view"], "open": "all"}})["fragments"]
    told = [re.sub(r"<[^>]*>", " ", fragments[name]) for name in ("verdict", "moments")]
    told += re.findall(r'class="n num"[^>]*>(?:<span[^>]*></span>)?([^<]*)<', fragments["breakdown"])
    for figure in re.findall(r"(?<![\w.,-])[\d,]+\.\d+.{0,4}", " ".join(told)):
        assert re.search(r"\d\u00a0([KMG]i?)?B", figure), figure


@pytest.mark.parametrize("name", ["update", "deepen", "rule", "edits", "plan", "arithmetic", "shared"])
@pytest.mark.parametrize("value", [HOSTILE, "", "0", "-3", "1e999", "9" * 400])
def test_questions_of_the_page_never_raise_and_inject_nothing(name: str, value: str) -> None:
    for field in ("model", "batch_size", "config", "device", HOSTILE):
        text = getattr(page, name)(json.dumps({field: value, "view": {"unit": value, "moment": value}}))
        for fragment in (json.loads(text) if name != "plan" else {}).get("fragments", {}).values():
            assert "<script" not in fragment
            assert "<img" not in fragment


def test_the_document_holds_a_real_answer_and_no_open_slot() -> None:
    template = "<main>{{form}}{{verdict}}{{gauge}}{{breakdown}}{{rule}}{{limits}}</main><p {{facts}}></p>"
    text = page.document(template, {}, {})
    assert "{{" not in text
    assert "data-allocated=" in text
    assert "NVIDIA H100" in text
    Elements(text)


def test_a_comparison_lists_only_what_differs() -> None:
    states = [{"task": "training"}, {"task": "training", "optimizer": "sgd"}]
    found = json.loads(page.compare(json.dumps({"states": states})))["fragments"]["comparison"]
    differing = [a for element, a in Elements(found).found if element == "tr" and a.get("class") == "differs"]
    assert len(differing) == 1


def test_chart_points_carry_what_the_figure_needs() -> None:
    request = {"model": "openai-community/gpt2", "device": "rtx-3090"}
    for chart in json.loads(page.plan(json.dumps(request))):
        span = {**request, "chart": chart["id"], "from": 0, "to": min(chart["points"], 6)}
        results = json.loads(page.points(json.dumps(span)))
        padded = results + [results[-1]] * (chart["points"] - len(results))
        figure = json.loads(page.chart(json.dumps({**request, "chart": chart["id"], "results": padded})))
        assert figure["unit"] in {"MiB", "GiB"}
        Elements(figure["html"])


@pytest.mark.parametrize("model", ["openai-community/gpt2", "meta-llama/Llama-3.1-8B"])
def test_a_model_page_is_well_formed_and_needs_no_script(model: str) -> None:
    text = model_page.document(model, {"version": "1"})
    found = Elements(text.removeprefix("<!doctype html>\n")).found
    assert [attributes["src"] for element, attributes in found if element == "script"] == ["../theme.js"]
    assert not any("style" in attributes for _, attributes in found)
    assert "On common devices" in text


def test_the_list_links_every_model_to_a_file_of_its_own() -> None:
    models = catalog.model_index()
    slugs = {model_page.slug(str(m["id"])) for m in models}
    assert len(slugs) == len(models)
    text = model_page.index(models, {})
    assert all(f'href="{slug}.html"' in text for slug in slugs)


def test_an_estimate_shows_itself_in_a_notebook() -> None:
    text = gauge.estimate(model="openai-community/gpt2", device="rtx-3090")._repr_html_()
    found = Elements(text).found
    assert any(element == "svg" for element, _ in found)
    assert not any(element == "script" for element, _ in found)
    assert "Weights" in text


@pytest.mark.parametrize("runtime", ["transformers", "textbook", "vllm", "llama.cpp", "megatron"])
def test_every_row_names_the_line_that_made_it(runtime: str) -> None:
    task = "training" if runtime == "megatron" else "inference"
    answer = api.answer_text(
        json.dumps({"model": "llama-3.1-8b", "device": "h100-80gb", "runtime": runtime, "task": task}), False
    )
    for item in (item for pool in answer["pools"] for item in pool["items"]):
        file, _, line = item["code"].partition("#L")
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        assert re.search(r"\b_?(item|product|constant|measured)\(", lines[int(line) - 1]), item["code"]
