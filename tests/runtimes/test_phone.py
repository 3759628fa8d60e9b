"""Phones: weights in 8 or 4 bits, one planned arena, no driver, and half of the memory.

MobileNet V2's largest operator is its second expansion: 112 × 112 × 16 numbers in, 112 × 112 × 96 out; then the
depthwise convolution to 56 × 56 × 96, which is larger (Sandler et al. 2018, table 2).
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to

NET = "google/mobilenet_v2_1.0_224"


def asked(**request: Any) -> dict[str, Any]:
    found = answer_to({"model": NET, "device": "pixel-8", **request}, deep=False)
    assert "errors" not in found, found
    return found


def total(found: dict[str, Any], kind: str) -> int:
    return sum(i["bytes"] for i in found["pools"][0]["items"] if i["component"].partition(".")[0] == kind)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float16", 2)])
def test_the_arena_holds_the_largest_operator_with_what_it_reads_and_writes(dtype: str, size: int) -> None:
    picture, expanded, shrunk = 3 * 224 * 224, 112 * 112 * 96, 56 * 56 * 96
    assert total(asked(dtype=dtype), "activations") == (picture + expanded + shrunk) * size


def test_an_arena_is_smaller_than_operator_by_operator() -> None:
    assert total(asked(), "activations") < total(asked(device="cpu-16gb"), "activations")


@pytest.mark.parametrize(("scheme", "most"), [("int8", 0.6), ("int4", 0.4)])
def test_weights_in_few_bits_include_convolutions(scheme: str, most: float) -> None:
    assert total(asked(quantization=scheme), "weights") < most * total(asked(), "weights")


def test_a_phone_has_no_driver_context_and_half_of_its_memory() -> None:
    found = asked()
    (pool,) = found["pools"]
    assert pool["name"] == "host"
    assert {i["component"] for i in pool["items"] if i["component"].startswith("framework")} == {"framework.process"}
    assert found["fit"]["usable_bytes"] == 4 * 2**30
    assert any("arena" in w for w in found["warnings"])


def test_a_language_model_fits_a_phone_only_in_few_bits() -> None:
    big = {"model": "meta-llama/Llama-3.2-3B", "sequence_length": 2048}
    assert asked(**big)["fit"]["verdict"] == "short"
    assert asked(**big, quantization="int4", kv_cache_dtype="int8")["fit"]["verdict"] == "fits"


def test_a_computer_runs_the_whole_of_pytorch() -> None:
    phone, computer = asked(), asked(device="cpu-16gb")
    assert total(phone, "framework") < total(computer, "framework")


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_server_engines_do_not_run_on_phones(engine: str) -> None:
    found = answer_to({"model": "meta-llama/Llama-3.2-1B", "runtime": engine, "device": "pixel-8"}, deep=False)
    assert found["errors"][0]["field"] == "runtime"
    assert "llama.cpp" in found["errors"][0]["remedy"]


def test_a_computer_trains_without_a_driver() -> None:
    found = asked(model="Qwen/Qwen3-0.6B", task="training", device="cpu-16gb")
    (pool,) = found["pools"]
    assert pool["name"] == "host"
    assert [i["component"] for i in pool["items"] if i["component"].startswith("framework")] == ["framework.process"]
    card = asked(model="Qwen/Qwen3-0.6B", task="training", device="rtx-4090")
    assert total(found, "optimizer_states") == total(card, "optimizer_states")


def test_a_phone_does_not_train() -> None:
    found = answer_to({"model": "Qwen/Qwen3-0.6B", "task": "training", "device": "pixel-8"}, deep=False)
    assert found["errors"][0]["field"] == "device"
