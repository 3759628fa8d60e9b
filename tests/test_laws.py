"""Laws of every answer, over requests that may set any field at once; and of every text that comes to the door."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge.api import OUR_FAULT, answer, answer_to
from gauge.catalog import device_index, model_index
from gauge.fields import choices
from gauge.plan import KNOBS, Knob
from gauge.runtimes import of_task
from gauge.runtimes import runtime as profile_of
from tests.test_breakdown import check

Request = dict[str, Any]
MODELS = [str(entry["id"]) for entry in model_index()]
DEVICES = [str(entry["id"]) for entry in device_index()]
PAIRS = [(task, id) for task in ("inference", "training") for id in of_task(task)]
EVERYWHERE = ("batch_size", "sequence_length", "dtype", "device", "devices", "device_memory", "runtime_version", "timeline")
COUNTS = st.sampled_from([1, 2, 3, 4, 7, 8, 16, 33, 64, 128, 1000, 4096]) | st.sampled_from([10**5, 10**12, 10**15])
TEXTS = {
    "sparsity": ["none", "2:4", "0.5"],
    "lora_targets": ["attention", "all-linear", "q_proj,v_proj", "lm_head"],
    "runtime_version": ["", "0.19.0", "2023-01", "2025-05", "4.40", "b5353", "v0.5.0", "latest", "99999"],
}
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "device": st.sampled_from(DEVICES),
    "flag": st.booleans(),
    "fraction": st.sampled_from([0.05, 0.5, 0.9, 1]),
    "bytes": st.sampled_from(["8GiB", "80GiB", "1TiB", "2MiB"]),
    "count": COUNTS,
    "tokens": COUNTS,
}


def values(name: str, knob: Knob) -> st.SearchStrategy[Any]:
    """Values that a field by itself takes."""
    if name in TEXTS:
        return st.sampled_from(TEXTS[name])
    return st.sampled_from([v for v, _ in choices(knob)]) if knob.kind == "choice" else KINDS[knob.kind]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A question to any runtime about any model, with any of the fields that the runtime reads."""
    task, runtime = draw(st.sampled_from(PAIRS))
    read = sorted((*EVERYWHERE, *(profile_of(runtime, task).uses - {"gguf_types", *EVERYWHERE})))
    names = draw(st.lists(st.sampled_from(read), max_size=8, unique=True))
    chosen = {name: draw(values(name, KNOBS[name])) for name in names}
    return {"model": draw(st.sampled_from(MODELS)), "task": task, "runtime": runtime, **chosen}


def courses(found: Request) -> None:
    """The finer course of a step or a request has its maximum at the peak."""
    for pool in found["pools"]:
        sizes = [Counter(event["bytes"]) for event in pool.get("timeline", ())]
        assert all(size >= 0 for event in sizes for size in event.values())
        assert not sizes or max(event.total() for event in sizes) == pool["device"]


@settings(max_examples=200, deadline=None)
@given(requests())
def test_any_question_is_answered_by_the_laws_or_refused_with_what_would_do(request: Request) -> None:
    found = answer_to(request, deep=False)
    json.dumps(found, allow_nan=False)
    for error in found.get("errors", ()):
        assert error["field"] and error["message"] and error["remedy"]
        for fix in error.get("fixes", ()):
            mended = answer_to({k: v for k, v in {**request, **fix}.items() if v is not None}, deep=False)
            assert "errors" not in mended, (error, fix)
    if "pools" in found:
        check(found)
        courses(found)


TRAINERS = [id for task, id in PAIRS if task == "training" and id != "textbook"]


@pytest.mark.parametrize("runtime", TRAINERS)
@pytest.mark.parametrize("more", [{}, {"gradient_accumulation": 4}, {"data_parallel": 8}, {"gradient_checkpointing": "full"}])
def test_the_course_of_a_step_has_its_maximum_at_the_peak(runtime: str, more: Request) -> None:
    request = {"model": "mistral-7b", "task": "training", "runtime": runtime, "timeline": True, **more}
    found = answer_to(request, deep=False)
    assert found["pools"][0]["timeline"]
    courses(found)


def test_a_runtime_without_a_course_says_so() -> None:
    said = answer_to({"model": "gpt2", "runtime": "vllm", "timeline": True}, deep=False)["warnings"]
    assert any(line.startswith("Timeline (timeline) is not used") for line in said)


# ---------------------------------------------------------------------------------------------------- text at the door
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "\x00", "model", "gpt2", "config", "32k"])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8
)
KEYS = st.sampled_from([*KNOBS, "config.n_layer", "config.text_config.x", "id", "v", "schema", ""])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(KEYS, TREES), max_size=4))
def test_any_json_is_answered_with_json(pairs: list[tuple[str, Any]]) -> None:
    """Also keys given twice, NaN and the infinities, numbers of any size, halves of surrogate pairs."""
    text = "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs) + "}"
    found = json.loads(answer(text))
    assert ("errors" in found) != ("pools" in found)
    assert not any(OUR_FAULT in error["message"] for error in found.get("errors", ())), found
    for error in found.get("errors", ()):
        assert error["field"] and error["message"] and error["remedy"]


@pytest.mark.parametrize(
    "text",
    [
        '{"model": "gpt2", "batch_size": NaN}',
        '{"model": "gpt2", "batch_size": -Infinity}',
        '{"model": "gpt2", "batch_size": ' + "9" * 5000 + "}",
        '{"model": "gpt2", "batch_size": 1e999}',
        '{"model": ' + "[" * 100_000,
        '{"config": ' + '{"a": ' * 50_000 + "1" + "}" * 50_001,
        '{"model": "gpt2", "model": "gpt2"}',
        '{"model": "\\ud800"}',
        "[]",
        "null",
        "1",
        '"gpt2"',
        "\ufeff",
        "{} {}",
        "{'model': 'gpt2'}",
    ],
    ids=range(15),
)
def test_texts_that_are_no_request_are_refused_as_data(text: str) -> None:
    found = answer(text)
    assert found.isascii()
    for error in json.loads(found)["errors"]:
        assert error["field"] and error["message"] and error["remedy"] and OUR_FAULT not in error["message"]
