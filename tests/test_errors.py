"""What is wrong with a request is said by field, reason and remedy; and a remedy that names a value works."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge import catalog
from gauge.api import OUR_FAULT, answer, answer_text, answer_to
from gauge.fields import choices
from gauge.plan import KNOBS
from gauge.runtimes import of_task

Request = dict[str, Any]


def errors(request: Request) -> list[dict[str, Any]]:
    """The errors of a request, each whole."""
    found = answer_to(request, deep=False).get("errors", [])
    for one in found:
        assert one["field"] and one["message"] and one["remedy"]
    return list(found)


def fixed(request: Request, fix: Request) -> Request:
    """A request with a fix applied; null takes a field out."""
    return {k: v for k, v in {**request, **fix}.items() if v is not None}


WRONG: list[tuple[Request, str]] = [
    ({"gguf_types": {"ZZ": 5}}, "gguf_types"),
    ({"gguf_types": {"Q4_J": 5}}, "gguf_types"),
    ({"model": "gpt2", "parameters": 7}, "parameters"),
    ({"model": "gpt2", "runtime_version": "banana"}, "runtime_version"),
    ({"runtime": "vllm", "gpu_memory_utilization": 0}, "gpu_memory_utilization"),
    ({"runtime": "vllm", "gpu_memory_utilization": "90"}, "gpu_memory_utilization"),
    ({"task": "training", "trainable_fraction": 0}, "trainable_fraction"),
    ({"model": "gtp2"}, "model"),
    ({"model": "nosuch"}, "model"),
    ({"model": ""}, "model"),
    ({"model": " ", "device": "h100"}, "model"),
    ({"device": "h1000"}, "device"),
    ({"tensor_parallel": 3}, "tensor_parallel"),
    ({"tensor_parallel": 7, "runtime": "vllm"}, "tensor_parallel"),
    ({"tensor_parallel": 10**14}, "tensor_parallel"),
    ({"model": "gpt2", "tensor_parallel": 8}, "tensor_parallel"),
    ({"devices": 4, "tensor_parallel": 8, "runtime": "vllm"}, "devices"),
    ({"optimizer": "adam", "task": "training"}, "optimizer"),
    ({"quantization": "q4"}, "quantization"),
    ({"quantization": "Q4_K_M"}, "quantization"),
    ({"quantization": "int4", "task": "training"}, "quantization"),
    ({"model": "gpt2", "config.n_head": 7}, "config.n_head"),
    ({"config.num_attention_heads": "many"}, "config.num_attention_heads"),
    ({"config.hidden_size": 4096.5}, "config.hidden_size"),
    ({"config.hidden_size": "4k"}, "config.hidden_size"),
    ({"config.tie_word_embeddings": "yes"}, "config.tie_word_embeddings"),
    ({"config.num_key_value_heads": 7}, "config.num_key_value_heads"),
    ({"model": "google/gemma-3-4b-it", "config.num_key_value_heads": 3}, "config.num_key_value_heads"),
    ({"model": "gpt2", "config.": 3}, "config."),
    ({"model": "gpt2", "config.a..b": 3}, "config.a..b"),
    ({"prompt_length": 5000}, "prompt_length"),
    ({"batch_size": 0}, "batch_size"),
    ({"batch_size": 1.5}, "batch_size"),
    ({"batch_size": "1e400"}, "batch_size"),
    ({"batch_size": 10**5000}, "batch_size"),
    ({"dropout": 90, "task": "training"}, "dropout"),
    ({"sparsity": "banana"}, "sparsity"),
    ({"lora_targets": "q_pro", "method": "lora", "task": "training"}, "lora_targets"),
    ({"lora_rank": 1_000_000, "method": "lora", "task": "training"}, "lora_rank"),
    ({"lora_rank": 4096, "lora_targets": "k_proj", "method": "lora", "task": "training"}, "lora_rank"),
    ({"method": "lora", "runtime": "megatron", "task": "training"}, "method"),
    ({"pipeline_parallel": 64, "runtime": "megatron", "task": "training"}, "pipeline_parallel"),
    ({"runtime": "vllm", "device": "pixel-8"}, "runtime"),
    ({"runtime": "llama.cpp", "kv_cache_dtype": "q8_0", "attention": "eager"}, "kv_cache_dtype"),
    ({"runtime": "llama.cpp", "devices": 131072}, "devices"),
    ({"config": '{"hidden_size": 1, "hidden_size": 2}'}, "config"),
]


@pytest.mark.parametrize(("request_", "field"), WRONG, ids=[f"{number}-{field}" for number, (_, field) in enumerate(WRONG)])
def test_nonsense_is_refused_and_every_remedy_works(request_: Request, field: str) -> None:
    (found,) = errors(request_)
    assert found["field"] == field
    for fix in found.get("fixes", ()):
        after = errors(fixed(request_, fix))
        assert not any((e["field"], e["message"]) == (found["field"], found["message"]) for e in after), fix


def test_two_ranks_are_offered_where_two_work() -> None:
    (found,) = errors({"tensor_parallel": 3})
    assert {"tensor_parallel": 2} in found["fixes"] and "2 or 4" in found["remedy"]


def test_a_broken_key_of_a_config_is_offered_what_was_meant() -> None:
    offered = {
        name: errors({"config": {**SMALL, name: value}})[0]["fixes"]
        for name, value in (("hidden_size", "64"), ("num_key_value_heads", 3), ("tie_word_embeddings", "true"))
    }
    assert offered == {
        "hidden_size": [{"config.hidden_size": 64}],
        "num_key_value_heads": [{"config.num_key_value_heads": 2}, {"config.num_key_value_heads": 4}],
        "tie_word_embeddings": [{"config.tie_word_embeddings": True}],
    }


def test_an_edit_that_cannot_be_names_the_own_value_of_the_model() -> None:
    (nested,) = errors({"model": "google/gemma-3-4b-it", "config.num_key_value_heads": 3})
    assert nested["remedy"] == "use 2 or 4" and {"config.num_key_value_heads": 4} in nested["fixes"]
    (plain,) = errors({"config.hidden_size": "many"})
    assert plain["remedy"].endswith("the model's own is 4096") and plain["fixes"] == [{"config.hidden_size": 4096}]


def test_an_empty_edit_changes_nothing() -> None:
    plain, edited = (answer_to({"model": "gpt2", **more}, deep=False) for more in ({}, {"config.n_head": ""}))
    assert plain == edited


SMALL = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 100,
}


def test_near_names_are_offered() -> None:
    assert "adamw" in errors({"task": "training", "optimizer": "adam"})[0]["remedy"]
    assert "openai-community/gpt2" in errors({"model": "gtp2"})[0]["remedy"]
    assert "device?" in errors({"devicee": "h100"})[0]["remedy"]
    assert "config.num_hidden_layers" in answer_to({"config.num_layers": 40}, deep=False)["warnings"][0]


def test_other_spellings_of_a_choice_are_read() -> None:
    found = answer_to({"dtype": "fp16", "runtime": "llama.cpp", "quantization": "q4km"}, deep=False)["request"]
    assert (found["dtype"], found["quantization"]) == ("float16", "Q4_K_M")


def test_a_count_that_agrees_with_the_model_is_no_contradiction() -> None:
    assert not errors({"model": "gpt2", "parameters": "124M"})
    assert not errors({"parameters": "7B"})


def test_a_field_given_twice_is_refused() -> None:
    found = json.loads(answer('{"model": "gpt2", "batch_size": 1, "batch_size": 2}'))["errors"]
    assert [e["field"] for e in found] == ["batch_size"]
    assert "errors" in json.loads(answer('{"config": {"model_type": "gpt2", "n_head": 1, "n_head": 2}}'))


def test_a_name_that_nothing_is_like_says_how_to_search() -> None:
    assert "search by family" in errors({"model": "nosuch"})[0]["remedy"]


def test_an_empty_model_is_no_mistake_beside_what_describes_one() -> None:
    assert not errors({"model": "", "parameters": "7B"})
    assert not errors({"model": None})


@pytest.mark.parametrize("targets", ["attention", "all-linear"])
def test_a_rank_up_to_the_smaller_side_of_a_matrix_is_taken(targets: str) -> None:
    request = {"model": "gpt2", "task": "training", "method": "lora", "lora_targets": targets}
    assert not errors({**request, "lora_rank": 768})
    assert errors({**request, "lora_rank": 769})


@pytest.mark.parametrize(
    ("runtime", "asked", "known"),
    [
        ("transformers", "99999", "5.23"),
        ("transformers", "5.23.1", ""),
        ("transformers", "latest", ""),
        ("vllm", "0.22.0", "0.21"),
        ("vllm", "2025-07 (V1)", ""),
        ("llama.cpp", "b99999", "b11549"),
        ("llama.cpp", "2099-01", "2026-10"),
        ("llama.cpp", "b5353", ""),
    ],
)
def test_a_version_later_than_all_that_is_known_is_told_whose_rules_hold(runtime: str, asked: str, known: str) -> None:
    said = answer_to({"model": "gpt2", "runtime": runtime, "runtime_version": asked}, deep=False)["warnings"]
    told = [line for line in said if "whose rules are used" in line]
    assert len(told) == bool(known) and all(f"newest known here is {known}," in line for line in told)


@pytest.mark.parametrize(("sparsity", "told"), [("none", 0), ("2:4", 1), ("0.5", 2), ("0.66", 2), ("0.67", 1)])
def test_pruning_says_what_stays_dense_and_from_where_on_it_pays(sparsity: str, told: int) -> None:
    found = answer_to({"model": "gpt2", "sparsity": sparsity}, deep=False)
    assert len(found["warnings"]) == told
    dense = answer_to({"model": "gpt2"}, deep=False)["pools"][0]["allocated"]
    assert (found["pools"][0]["allocated"] > dense) == (told == 2)


def test_remarks_call_fields_as_the_form_does() -> None:
    (said,) = answer_to({"model": "gpt2", "task": "training", "zero_stage": 3}, deep=False)["warnings"]
    assert said.startswith("ZeRO stage (zero_stage)")


def test_qlora_without_checkpointing_says_why_activations_are_large() -> None:
    plain = answer_to({"task": "training", "method": "qlora"}, deep=False)["warnings"]
    assert any("gradient_checkpointing=full" in w for w in plain)
    full = answer_to({"task": "training", "method": "qlora", "gradient_checkpointing": "full"}, deep=False)["warnings"]
    assert not any("Every activation" in w for w in full)


HOSTILE = st.sampled_from(
    [
        "<img src=x onerror=alert(1)>",
        "</script><b>",
        "1e400",
        "-1e400",
        "nan",
        "NaN",
        "inf",
        "-Infinity",
        "٣٢",
        "３２k",
        "0x10",
        "1_000",
        "-0",
        "0",
        "1",
        "true",
        "null",
        "[]",
        "{}",
        '{"a": {"b": [1, {"c": null}]}}',
        "[" * 500,
        "\x00",
        "\u202e",
        "\ud800",
        "%",
        "50%",
        "9" * 30,
        " 8 ",
        "a" * 400,
        "../../etc/passwd",
    ]
)
VALUES = (
    HOSTILE
    | st.integers(-(10**40), 10**40)
    | st.integers(-2, 130)
    | st.floats()
    | st.booleans()
    | st.none()
    | st.recursive(
        st.none() | st.integers(0, 9), lambda s: st.lists(s, max_size=2) | st.dictionaries(st.text(max_size=3), s, max_size=2)
    )
)
EDITS = (
    "config.num_hidden_layers",
    "config.hidden_size",
    "config.num_attention_heads",
    "config.vocab_size",
    "config.x.y",
    "config.",
)
NAMES = st.sampled_from([*KNOBS, *EDITS, "nonsense", ""])
RUNTIME = st.sampled_from([(task, id) for task in ("inference", "training") for id in of_task(task)])


@settings(max_examples=400, deadline=None)
@given(RUNTIME, st.dictionaries(NAMES, VALUES, max_size=4))
def test_hostile_values_are_answered_as_data(where: tuple[str, str], more: Request) -> None:
    task, runtime = where
    request = {"model": "gpt2", "task": task, "runtime": runtime, **more}
    found = answer_text(json.dumps(request, allow_nan=True).replace("NaN", '"NaN"').replace("Infinity", '"inf"'), deep=False)
    json.loads(json.dumps(found, allow_nan=False))
    assert ("errors" in found) != ("pools" in found)
    for one in found.get("errors", ()):
        assert one["message"] and one["remedy"] and OUR_FAULT not in one["message"], one


@st.composite
def plausible(draw: st.DrawFn) -> Request:
    """A request of readable values that may not go together."""
    task, runtime = draw(RUNTIME)
    request: Request = {"model": draw(st.sampled_from(MODELS)), "task": task, "runtime": runtime, "sequence_length": 64}
    for name in draw(st.lists(st.sampled_from(CLASHING), max_size=4, unique=True)):
        knob = KNOBS[name]
        offered = st.sampled_from([v for v, _ in choices(knob)]) if knob.kind == "choice" else st.integers(1, 40)
        request[name] = draw(offered)
    return request


MODELS = ("gpt2", "meta-llama/Llama-3.1-8B", "mistralai/Mixtral-8x7B-v0.1", "google-t5/t5-small", "deepseek-ai/DeepSeek-V2-Lite")
CLASHING = (
    "tensor_parallel",
    "pipeline_parallel",
    "data_parallel",
    "context_parallel",
    "expert_parallel",
    "virtual_pipeline",
    "devices",
    "quantization",
    "method",
    "kv_cache_dtype",
    "v_cache_dtype",
    "attention",
    "prompt_length",
)


@settings(max_examples=150, deadline=None)
@given(plausible())
def test_every_fix_that_is_offered_works(request: Request) -> None:
    for found in errors(request):
        for fix in found.get("fixes", ()):
            assert not errors(fixed(request, fix)), (found, fix)


PAIRS = [(task, id) for task in ("inference", "training") for id in of_task(task)]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_model_under_a_default_plan_is_answered_or_refused_clearly(pair: tuple[str, str]) -> None:
    task, runtime = pair
    step = 20
    for entry in catalog.model_index()[PAIRS.index(pair) % step :: step]:
        found = answer_to({"model": entry["id"], "task": task, "runtime": runtime}, deep=False)
        assert found.get("pools") or all(e["remedy"] for e in found["errors"]), entry["id"]
