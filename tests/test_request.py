"""What people type, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge.api import OUR_FAULT, answer, answer_to
from gauge.catalog import load_model
from gauge.plan import DEFAULTS, GROUPS, KNOBS
from gauge.request import RequestErrors, parse, schema


def error(request: dict[str, Any]) -> dict[str, str]:
    """The only error of a request."""
    found = answer_to(request, deep=False)
    (only,) = found["errors"]
    assert only["field"] and only["message"] and only["remedy"]
    return only


def test_texts_are_read_and_echoed() -> None:
    found = answer_to({"model": "llama-3.1-8b", "sequence_length": "32k", "batch_size": "2", "device_memory": "80GiB"})
    assert found["request"]["sequence_length"] == 32_768
    assert found["request"]["batch_size"] == 2
    assert found["request"]["device_memory"] == 80 * 2**30


def test_defaults_are_filled_in() -> None:
    plan = parse({"model": "gpt2"}).plan
    assert (plan.sequence_length, plan.prompt_length, plan.devices) == (1024, 1024, 1)
    assert parse({"model": "llama-3.1-8b"}).plan.sequence_length == 4096


def test_any_architecture_key_can_be_edited() -> None:
    plain, edited = (parse(r).model for r in ({"model": "gpt2"}, {"model": "gpt2", "config.n_layer": "13"}))
    assert edited.layers == plain.layers + 1
    assert "edited" in edited.title


def test_a_pasted_config_is_enough() -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "vocab_size": 100,
    }
    found = answer_to({"config": json.dumps(config)}, deep=False)
    assert found["model"]["parameters"] == 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 2 * 100 * 64 + 64


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"modell": "gpt2"}, "modell"),
        ({"model": "gpt2", "task": "dreaming"}, "task"),
        ({"model": "gpt2", "batch_size": "many"}, "batch_size"),
        ({"model": "gpt2", "batch_size": 0}, "batch_size"),
        ({"model": "gpt2", "batch_size": -3}, "batch_size"),
        ({"model": "gpt2", "batch_size": 1.5}, "batch_size"),
        ({"model": "gpt2", "batch_size": float("nan")}, "batch_size"),
        ({"model": "gpt2", "batch_size": True}, "batch_size"),
        ({"model": "gpt2", "sequence_length": "10 parsecs"}, "sequence_length"),
        ({"model": "gpt2", "device": "abacus-9000"}, "device"),
        ({"model": "gpt2", "gpu_memory_utilization": 90}, "gpu_memory_utilization"),
        ({"model": "gpt2", "prompt_length": 2000, "sequence_length": 1000}, "prompt_length"),
        ({"model": "llama-3.1-8b", "tensor_parallel": 7}, "tensor_parallel"),
        ({"model": "gpt2", "config": "{"}, "config"),
        ({"config": "[1, 2]"}, "config"),
        ({"config": {"model_type": "llama"}}, "config.hidden_size"),
        ({"config": {"model_type": "nobody-knows"}}, "config"),
        ({"model": "gpt2", "config.n_head": 7}, "config.n_head"),
        ({"model": "gpt2", "config.n_head": "<b>"}, "config.n_head"),
        ({"model": "gpt2", "runtime": "vllm", "task": "training"}, "runtime"),
        ({"model": "no/such-model"}, "model"),
    ],
)
def test_mistakes_name_field_message_and_remedy(request_: dict[str, Any], field: str) -> None:
    assert error(request_)["field"] == field


def test_seven_ranks_on_32_heads_say_what_would_do() -> None:
    assert "4 or 8" in error({"model": "llama-3.1-8b", "tensor_parallel": 7})["remedy"]


def test_all_mistakes_are_reported_at_once() -> None:
    found = answer_to({"model": "gpt2", "batch_size": "x", "task": "y"})
    assert {e["field"] for e in found["errors"]} == {"batch_size", "task"}


def test_a_field_that_the_runtime_does_not_use_is_a_warning() -> None:
    found = answer_to({"model": "gpt2", "optimizer": "sgd"}, deep=False)
    assert any("optimizer" in w for w in found["warnings"])


@pytest.mark.parametrize(
    "config",
    ["[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000, '"' + "x" * 3_000_000 + '"', "\x00", "{]"],
)
def test_hostile_configs_are_data(config: str) -> None:
    assert error({"config": config})["field"] == "config"


def test_markup_is_quoted_not_trusted() -> None:
    found = error({"model": "<img src=x onerror=alert(1)>"})
    assert found["field"] == "model"


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.lists(st.integers(), max_size=3)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*KNOBS, "config.n_layer", "nonsense"]), values, max_size=5))
def test_any_request_is_answered(request_: dict[str, Any]) -> None:
    found = answer_to({"model": "gpt2", **request_}, deep=False)
    assert ("errors" in found) != ("pools" in found)
    json.dumps(found, allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_answered(text: str) -> None:
    found = json.loads(answer(text))
    assert found["schema"] == 1
    assert not any(OUR_FAULT in e["message"] for e in found.get("errors", ()))


def test_the_id_is_echoed() -> None:
    assert json.loads(answer('{"model": "gpt2", "id": "a7"}'))["id"] == "a7"
    assert json.loads(answer('{"model": "gpt2", "task": "x", "id": 3}'))["id"] == 3


def test_the_schema_describes_every_field() -> None:
    fields = {f["name"]: f for f in schema()["fields"]}
    assert fields.keys() == KNOBS.keys() == DEFAULTS.keys()
    groups = {id for id, _ in GROUPS}
    for field in fields.values():
        assert field["label"] and field["help"] and field["group"] in groups
        assert (field["kind"] == "choice") == bool(field["choices"])
        if field["kind"] == "choice" and field["default"] is not None:
            assert str(field["default"]) in [c["value"] for c in field["choices"]]


def test_parse_raises_with_every_error() -> None:
    with pytest.raises(RequestErrors) as raised:
        parse({"model": "gpt2", "batch_size": "x"})
    assert [e.field for e in raised.value.errors] == ["batch_size"]


def test_a_lone_surrogate_is_answered_in_plain_ascii() -> None:
    found = answer('{"model": "gpt2", "id": "\\ud800"}')
    assert found.isascii() and json.loads(found)["id"] == "\ud800"


@pytest.mark.parametrize("runtime", ["transformers", "vllm", "sglang", "tensorrt-llm"])
def test_gguf_file_types_belong_to_llama_cpp(runtime: str) -> None:
    assert error({"model": "gpt2", "runtime": runtime, "quantization": "Q4_K_M"})["field"] == "quantization"
    assert "pools" in answer_to({"model": "gpt2", "runtime": "llama.cpp", "quantization": "Q4_K_M"}, deep=False)


def test_an_unused_field_names_the_runtimes_that_use_it() -> None:
    found = answer_to({"model": "gpt2", "task": "training", "zero_stage": 3}, deep=False)
    assert any("fsdp" in w and "deepspeed" in w for w in found["warnings"])


def test_naming_a_device_does_not_narrow_the_range_of_what_it_cannot_hold() -> None:
    alone, named = (
        answer_to({"model": "llama-3.1-8b", "task": "training", **more}, deep=False)["pools"][0]
        for more in ({}, {"device": "rtx-4090"})
    )
    assert (alone["low"], alone["high"]) == (named["low"], named["high"])


def test_a_nested_python_config_is_an_error_not_a_crash() -> None:
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"a": deep}
    with pytest.raises(RequestErrors):
        parse({"config": deep})


def test_a_config_without_a_model_type_is_edits_on_top_of_the_model() -> None:
    whole = answer_to({"model": "llama-3.1-8b", "config.num_hidden_layers": 16})
    assert answer_to({"model": "llama-3.1-8b", "config": {"num_hidden_layers": 16}})["model"] == whole["model"]
    assert "edited: num_hidden_layers 32 → 16" in whole["model"]["title"]


def test_a_config_of_another_family_than_the_model_is_remarked_upon() -> None:
    found = answer_to({"model": "llama-3.1-8b", "config": load_model("openai-community/gpt2")["config"]})
    assert found["model"]["parameters"] == 124_439_808
    assert any("not the catalogue's Llama 3.1 8B" in told for told in found["warnings"])
    same = answer_to({"model": "gpt2", "config": load_model("openai-community/gpt2")["config"]})
    assert not any("not the catalogue's" in told for told in same["warnings"])


def test_more_tokens_than_the_model_knows_are_remarked_upon() -> None:
    told = [
        any("beyond the 1,024 tokens" in line for line in answer_to({"model": "gpt2", "sequence_length": n})["warnings"])
        for n in (1024, 1025)
    ]
    assert told == [False, True]


def test_a_short_name_becomes_the_repository_that_a_command_can_fetch() -> None:
    assert "vllm serve meta-llama/Llama-3.1-8B " in answer_to({"model": "llama-3.1-8b", "runtime": "vllm"})["command"]
    # an alias that is a repository of its own stays what was asked for
    named = answer_to({"model": "meta-llama/Llama-3.1-8B-Instruct", "runtime": "vllm"})["command"]
    assert "vllm serve meta-llama/Llama-3.1-8B-Instruct " in named


@pytest.mark.parametrize(
    ("asked", "ranks"),
    [
        ({"runtime": "deepspeed"}, 8),
        ({"runtime": "megatron", "tensor_parallel": 2, "pipeline_parallel": 2}, 2),
        ({"runtime": "torchtitan", "context_parallel": 8}, 1),
        ({"runtime": "fsdp", "data_parallel": 1}, 1),
        ({"runtime": "megatron", "tensor_parallel": 3, "config.num_attention_heads": 12, "config.hidden_size": 768}, 1),
        ({"runtime": "vllm", "task": "inference"}, 1),
    ],
)
def test_devices_alone_make_data_parallel_ranks(asked: dict[str, Any], ranks: int) -> None:
    """As launchers do: a rank on each device that the other degrees leave, unless the user says otherwise."""
    answer = answer_to({"task": "training", "model": "gpt2", "devices": 8} | asked, deep=False)
    assert answer["request"]["data_parallel"] == ranks
    assert any("8 devices make" in w for w in answer["warnings"]) == (ranks > 1)
