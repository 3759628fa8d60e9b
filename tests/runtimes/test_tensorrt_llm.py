"""TensorRT-LLM: an engine of fixed size; the cache takes a share of what it leaves free."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to

LLAMA = "meta-llama/Llama-3.1-8B"
TOKEN = 32 * 2 * 8 * 128 * 2


def asked(**request: Any) -> dict[str, Any]:
    base = {"model": LLAMA, "runtime": "tensorrt-llm", "device": "h100-80gb", "sequence_length": 4096}
    found = answer_to({**base, **request}, deep=False)
    assert "errors" not in found, found
    return found


def items(found: dict[str, Any], *kinds: str) -> list[dict[str, Any]]:
    return [i for i in found["pools"][0]["items"] if i["component"].partition(".")[0] in kinds]


def total(found: dict[str, Any], *kinds: str) -> int:
    return sum(i["bytes"] for i in items(found, *kinds))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_the_pool_is_a_share_of_what_the_engine_leaves(share: float) -> None:
    found = asked(gpu_memory_utilization=share)
    fixed = total(found, "weights", "activations", "workspace", "framework")
    pool = int((81_090 * 2**20 - fixed) * share)
    assert found["capacity"]["kv_pool_bytes"] == pool == total(found, "kv_cache")
    assert found["capacity"]["kv_pool_tokens"] == pool // TOKEN // 64 * 64


def test_a_tied_head_is_a_second_matrix_and_stays_in_16_bits() -> None:
    """Qwen2.5 0.5B in INT8: the engine log says 875 MiB (TensorRT-LLM issue 1188, November 2024)."""
    found = asked(model="Qwen/Qwen2.5-0.5B", quantization="int8", dtype="float16")
    assert total(found, "weights") == pytest.approx(875 * 2**20, rel=0.02)


def test_logits_and_buffers_grow_with_the_largest_batch() -> None:
    small, large = asked(max_num_seqs=1), asked(max_num_seqs=2048)
    assert total(small, "workspace") < 64 * 2**20
    assert total(large, "workspace") > 100 * total(small, "workspace")


def test_an_engine_for_long_prompts_is_larger() -> None:
    assert total(asked(max_num_batched_tokens=65_536), "activations") > 4 * total(asked(), "activations")


def test_the_need_comes_in_blocks_of_64_tokens() -> None:
    need = [i for i in items(asked(sequence_length=1000), "kv_cache") if i["scope"] != "reserved"]
    assert sum(i["bytes"] for i in need) == 1024 * TOKEN


def test_few_logs_are_said_to_be_few() -> None:
    assert any("ranges" in w for w in asked()["warnings"])


def test_command() -> None:
    words = str(asked(tensor_parallel=2, max_num_seqs=8)["command"])
    assert words.startswith(f"trtllm-serve {LLAMA}")
    assert "--tp_size 2" in words
    assert "--max_batch_size 8" in words


def test_context_logits_explain_an_engine_of_37_gib() -> None:
    """github.com/NVIDIA/TensorRT-LLM/issues/3636: Llama 3.1 8B, 128,000 tokens, --gather_context_logits: 37,813 MiB."""
    found = asked(max_num_batched_tokens=128_000, sequence_length=131_072, max_num_seqs=64, logits="all")
    held = sum(i["bytes"] for i in found["pools"][0]["items"] if i["component"].partition(".")[0] == "activations")
    assert held / 2**20 == pytest.approx(37_813, rel=0.08)


def test_other_vendors_are_refused() -> None:
    errors = answer_to({"model": "meta-llama/Llama-3.1-8B", "runtime": "tensorrt-llm", "device": "mi300x"}, deep=False)["errors"]
    assert errors[0]["field"] == "runtime"


def test_position_tables_are_as_long_as_the_configuration_says() -> None:
    """Gemma 3's scaling by 8 changes frequencies, not the 131,072 rows of the table."""
    tables = [i for i in items(asked(model="google/gemma-3-4b-pt"), "weights") if i["component"] == "weights.rotary"]
    assert {i["bytes"] for i in tables} == {131_072 * 256 * 4}
