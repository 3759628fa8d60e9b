"""Configs: nothing that can be pasted raises an exception, and what is read otherwise than written is said."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gauge.errors import RequestError
from gauge.readers import huggingface, quantization_config
from gauge.request import RequestErrors, parse
from gauge.sequence import Sequence

LINES = [json.loads(line) for line in files("gauge.data").joinpath("models.jsonl").read_text(encoding="utf-8").splitlines()]
CONFIGS = {e["id"]: e["config"] for e in LINES}
KINDS = {e["config"]["model_type"]: e["config"] for e in LINES}


def answered(config: Any) -> None:
    """A request with this config is answered or refused; anything else is a mistake of ours."""
    try:
        huggingface.read(config)
    except RequestError as error:
        assert error.field
        assert error.message
        assert error.remedy


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10)
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([0, 1, 10**9, 10**12, -1, "4096", 1e300])
)
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4))
known = st.sampled_from([*sorted(KINDS), "", "unknown"])
words = sorted({k for c in KINDS.values() for k in c} | {k for c in KINDS.values() for k in (c.get("text_config") or {})})


@settings(max_examples=400, deadline=None)
@given(known, st.dictionaries(st.sampled_from(words) | st.text(max_size=8), trees, max_size=12))
def test_any_tree_is_read_or_refused(kind: str, keys: dict[str, Any]) -> None:
    answered({**keys, "model_type": kind})


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += places(value, (*path, key))
    elif isinstance(tree, list) and len(tree) < 20:
        for index, value in enumerate(tree):
            found += places(value, (*path, index))
    return found


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    found = dict(tree) if isinstance(tree, dict) else list(tree)
    found[path[0]] = changed(found[path[0]], path[1:], value)
    return found


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A real config with some values replaced."""
    config = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    for _ in range(draw(st.integers(1, 3))):
        spots = [p for p in places(config) if p != ("model_type",)]
        config = changed(config, draw(st.sampled_from(spots)), draw(leaves | trees))
    return config


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(mutated())
def test_a_spoiled_config_is_read_or_refused(config: Any) -> None:
    answered(config)


@settings(max_examples=300, deadline=None)
@given(trees)
def test_any_quantization_config_is_understood_or_said(found: Any) -> None:
    scheme, note = quantization_config.understood({"quantization_config": found, "text_config": found})
    assert isinstance(scheme, str)
    assert isinstance(note, str)


@pytest.mark.parametrize(
    ("found", "scheme"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq-int4-g128"),
        ({"quant_method": "gptq", "bits": 8}, "gptq-int8-g128"),
        ({"quant_method": "awq", "bits": 4}, "awq-int4-g128"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb-int8"),
        ({"load_in_4bit": True, "bnb_4bit_use_double_quant": True}, "bnb-nf4-double"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, "fp8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "int"}}}}, "int8"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "int4"),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}}, "int4"),
        ({"quant_method": "aqlm"}, ""),
    ],
)
def test_quantization_configs(found: dict[str, Any], scheme: str) -> None:
    assert quantization_config.understood({"quantization_config": found})[0] == scheme


def test_a_quantized_config_sets_the_default_and_a_choice_wins() -> None:
    config = CONFIGS["Qwen/Qwen3-0.6B"] | {"quantization_config": {"quant_method": "awq", "bits": 4}}
    assert parse({"config": config}).plan.quantization == "awq-int4-g128"
    assert parse({"config": config, "quantization": "none"}).plan.quantization == "none"
    assert parse({"config": config, "task": "training"}).plan.quantization == "none"


def test_an_unknown_family_is_read_as_a_generic_decoder_and_said_to_be_so() -> None:
    config = {"model_type": "newcomer", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_inner": 128}
    model = huggingface.read(config)
    assert model.parameters > 0
    assert any("generic" in note for note in model.notes)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(RequestError, match="vocab_size"):
        huggingface.read({"model_type": "newcomer", "hidden_size": 64})


def test_a_wrapper_of_an_unknown_kind_counts_its_language_model() -> None:
    model = huggingface.read({"model_type": "newcomer", "text_config": CONFIGS["Qwen/Qwen3-0.6B"]})
    assert model.parameters == 596_049_920
    assert any("language model" in note for note in model.notes)


def test_edits_reach_nested_keys() -> None:
    whole = {"model": "google/gemma-3-4b-pt"}
    few = parse(whole | {"config.num_hidden_layers": 6}).model
    assert len(few.decoder.blocks) == 6
    seeing = parse(whole | {"config.vision_config.num_hidden_layers": 2}).model
    assert len(seeing.parts[0].blocks) == 2 + 2
    with pytest.raises(RequestErrors):
        parse(whole | {"config.vision_config": "none"})


SMALL = {
    "model_type": "gemma3_text",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 100,
    "sliding_window": 16,
}
MALFORMED: list[tuple[str, Any, str]] = [
    ("layer_types", ["full_attention"] * 2, "2 entries for 4 layers"),
    ("layer_types", ["banana"] * 4, "'banana'"),
    ("layer_types", [1, 2, 3, 4], "1 (layer 0)"),
    ("mlp_layer_types", ["wet"] * 4, "'wet'"),
    ("quantization_config", 5, "5 is no object"),
    ("rope_scaling", "yarn", "'yarn' is no object"),
    ("torch_dtype", "floaty", "'floaty' is no number format"),
    ("dtype", 16, "16 is no number format"),
    ("architectures", [5], "[5] lists no names"),
]


@pytest.mark.parametrize(("key", "value", "said"), MALFORMED)
@pytest.mark.parametrize("nested", [False, True])
def test_a_malformed_value_is_refused_by_key_value_and_remedy(key: str, value: Any, said: str, nested: bool) -> None:
    keys: dict[str, Any] = {**SMALL, key: value}
    with pytest.raises(RequestError) as raised:
        huggingface.read({"model_type": "gemma3", "text_config": keys, "vision_config": {}} if nested else keys)
    assert raised.value.field == f"config.{'text_config.' if nested else ''}{key}"
    assert said in raised.value.message
    assert raised.value.remedy


def test_more_experts_a_token_than_there_are_is_refused() -> None:
    keys = {**SMALL, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 9}
    with pytest.raises(RequestError, match="9 of 4 experts"):
        huggingface.read(keys)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"layer_types": ["full_attention"] * 6}, "names 6 layers, num_hidden_layers 4"),
        ({"hidden_activation": "bananalu"}, "'bananalu' is not known"),
        ({"architectures": ["Gemma3ForMultipleChoice"]}, "the head of this class is not known"),
    ],
)
def test_what_only_surprises_is_said(keys: dict[str, Any], said: str) -> None:
    assert any(said in note for note in huggingface.read({**SMALL, **keys}).notes)


@pytest.mark.parametrize(("bits", "said"), [(5, "bits 5"), ("four", "bits 'four'")])
def test_a_width_that_nobody_stores_is_named(bits: object, said: str) -> None:
    scheme, note = quantization_config.understood({"quantization_config": {"quant_method": "gptq", "bits": bits}})
    assert (scheme, said in note) == ("", True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(KINDS)), st.integers(1, 6), st.integers(1, 400), st.integers(1, 3))
def test_the_laws_of_every_family(kind: str, layers: int, tokens: int, batch: int) -> None:
    """No token uses more than there is; a longer sequence keeps no less; twice the sequences keep twice as much."""
    whole = KINDS[kind]
    try:
        model = huggingface.read(huggingface.edited(whole, {"num_hidden_layers": layers}))
    except RequestError:
        return
    assert 0 < model.active_parameters <= model.parameters

    def kept(batch: int, tokens: int) -> int:
        return sum(t.bytes * n for t, n in model.state(Sequence(batch, tokens, 8)))

    assert kept(batch, tokens) <= kept(batch, tokens + 1)
    assert kept(2 * batch, tokens) == 2 * kept(batch, tokens)
