"""The rules of thumb, to the byte, as they are taught."""

from __future__ import annotations

import json

import pytest

from gauge.api import answer_to
from gauge.formats import FORMATS
from gauge.runtimes.textbook import activations, gradients, kv_cache, optimizer, weights

F32, F16 = FORMATS["float32"], FORMATS["float16"]
BERT, GPT3, BILLION = 110_000_000, 175_000_000_000, 1_000_000_000


def test_weights_are_parameters_times_bytes() -> None:
    assert weights(GPT3, F32).bytes == 700_000_000_000
    assert weights(BERT, F32).bytes == 440_000_000
    assert weights(GPT3, F16).bytes == 350_000_000_000
    assert weights(BILLION, FORMATS["int8"]).bytes == BILLION
    assert weights(BILLION, FORMATS["int4"]).bytes == BILLION // 2


def test_kv_cache() -> None:
    assert kv_cache(1, 1024, 24, 1024, 2).bytes == 100_663_296


def test_activations() -> None:
    assert activations(1, 512, 768, 12, 4).bytes == 116_391_936


def test_the_bracket_counts_the_bytes_of_one_layer_of_the_paper() -> None:
    """GPT-3's layer in arXiv 2205.05198: 2,048 tokens, batch 4, hidden 12,288, 96 heads, 16 bits."""
    assert activations(4, 2048, 12288, 96, 1).bytes == 11_475_615_744


@pytest.mark.parametrize(
    ("parameters", "name", "size"),
    [
        (BILLION, "adamw", 8 * BILLION),
        (BILLION, "adamw-8bit", 2 * BILLION),
        (BILLION, "sgd", 4 * BILLION),
        (BERT, "adamw", 880_000_000),
        (GPT3, "adamw", 1_400_000_000_000),
    ],
)
def test_optimizer(parameters: int, name: str, size: int) -> None:
    assert optimizer(parameters, name).bytes == size


@pytest.mark.parametrize(("parameters", "size"), [(BILLION, 4 * BILLION), (BERT, 440_000_000), (GPT3, 700_000_000_000)])
def test_gradients_are_always_float32(parameters: int, size: int) -> None:
    assert gradients(parameters).bytes == size


def ask(**request: object) -> dict[str, int]:
    """Bytes by component of a textbook answer."""
    found = answer_to({"runtime": "textbook", **request}, deep=False)
    (pool,) = found["pools"]
    return {i["component"]: i["bytes"] for i in pool["items"]} | {"total": pool["allocated"]}


def test_inference_is_weights_cache_and_activations() -> None:
    parts = ask(model="bert-base", dtype="float32", sequence_length=512)
    assert parts["total"] == parts["weights"] + parts["kv_cache"] + parts["activations"]
    assert parts["activations"] == 116_391_936


def test_training_adds_optimizer_and_gradients() -> None:
    parts = ask(model="gpt2", task="training", optimizer="adamw")
    inference = ask(model="gpt2")
    assert parts["total"] == inference["total"] + parts["optimizer_states"] + parts["gradients"]
    assert parts["optimizer_states"] == 2 * parts["gradients"] == 8 * 124_439_808


def test_only_a_parameter_count_is_enough() -> None:
    parts = ask(parameters="175e9", dtype="float32")
    assert parts["weights"] == 700_000_000_000


def test_a_generic_model_says_that_it_is_one() -> None:
    found = answer_to({"parameters": "8B", "runtime": "textbook"}, deep=False)
    assert any("guess" in w for w in found["warnings"])
    assert json.dumps(found)
