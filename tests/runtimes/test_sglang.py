"""SGLang: the static share is taken from free memory; weights, states and cache come out of it."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to

LLAMA = "meta-llama/Llama-3.1-8B"
TOKEN = 32 * 2 * 8 * 128 * 2  # layers × (key, value) × KV heads × head size × bytes
STATIC = ("weights", "recurrent_state", "kv_cache")


def asked(**request: Any) -> dict[str, Any]:
    base = {"model": LLAMA, "runtime": "sglang", "device": "h100-80gb", "sequence_length": 4096}
    found = answer_to({**base, **request}, deep=False)
    assert "errors" not in found, found
    return found


def items(found: dict[str, Any], *kinds: str) -> list[dict[str, Any]]:
    return [i for i in found["pools"][0]["items"] if i["component"].partition(".")[0] in kinds]


def total(found: dict[str, Any], *kinds: str) -> int:
    return sum(i["bytes"] for i in items(found, *kinds))


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_weights_and_cache_fill_the_static_share_of_free_memory(share: float) -> None:
    found = asked(gpu_memory_utilization=share)
    free = 81_090 * 2**20 - total(found, "framework")
    assert total(found, *STATIC) == int(free * share)


def test_the_pool_is_counted_in_tokens() -> None:
    capacity = asked()["capacity"]
    assert capacity["kv_pool_tokens"] == capacity["kv_pool_bytes"] // TOKEN


def test_the_need_is_the_asked_sequences_and_the_rest_is_reserved() -> None:
    need = [i for i in items(asked(batch_size=3), "kv_cache") if i["scope"] != "reserved"]
    assert sum(i["bytes"] for i in need) == 3 * 4096 * TOKEN


def test_a_recurrent_model_has_one_slot_more_than_it_runs_requests() -> None:
    one, three = (total(asked(model="nvidia/NVIDIA-Nemotron-Nano-9B-v2", max_num_seqs=n), "recurrent_state") for n in (1, 3))
    assert one > 0
    assert three == 2 * one


def test_states_and_cache_share_what_is_free_nine_to_ten() -> None:
    """--mamba-full-memory-ratio 0.9, since late 2025; before, only running requests had slots."""
    model = "nvidia/NVIDIA-Nemotron-Nano-9B-v2"
    new, old = (asked(model=model, device="h100-80gb", runtime_version=v) for v in ("2025-12", "2025-07"))
    states = total(new, "recurrent_state") + sum(i["bytes"] for i in new["pools"][0]["items"] if "states" in i["label"])
    assert states / new["capacity"]["kv_pool_bytes"] == pytest.approx(0.9, rel=0.01)
    assert old["capacity"]["kv_pool_bytes"] > 1.8 * new["capacity"]["kv_pool_bytes"]


def test_windowed_layers_have_a_pool_of_fewer_tokens() -> None:
    """gpt-oss: half of its layers are windowed, and their pool holds 0.8 of the tokens."""
    new, old = (asked(model="openai/gpt-oss-20b", device="h100-80gb", runtime_version=v) for v in ("2025-12", "2025-07"))
    pools = [found["capacity"]["kv_pool_tokens"] / found["capacity"]["kv_pool_bytes"] for found in (new, old)]
    assert pools[0] / pools[1] == pytest.approx(1 / 0.9, rel=1e-3)


def test_what_its_logs_do_not_tell_is_a_range() -> None:
    found = asked()
    assert all(i["low"] < i["high"] for i in items(found, "activations", "workspace", "cuda_graphs"))
    assert any("ranges" in w for w in found["warnings"])


def test_latent_attention_is_a_whole_copy_on_every_rank() -> None:
    """DeepSeek V2 Lite: 27 layers × (512 + 64) × 2 bytes a token, at any tensor parallel degree."""
    base = {"model": "deepseek-ai/DeepSeek-V2-Lite", "batch_size": 1, "sequence_length": 1000}
    for degree in (1, 2):
        found = asked(**base, tensor_parallel=degree)
        need = sum(i["bytes"] for i in items(found, "kv_cache") if i["scope"] != "reserved")
        assert need == 31_104 * 1000


def test_a_kv_head_is_copied_where_there_are_fewer_than_ranks() -> None:
    one, eight, sixteen = (asked(tensor_parallel=n) for n in (1, 8, 16))
    need = [sum(i["bytes"] for i in items(f, "kv_cache") if i["scope"] != "reserved") for f in (one, eight, sixteen)]
    assert need[0] == 8 * need[1]
    assert need[1] == need[2]


def test_command() -> None:
    words = str(asked(tensor_parallel=2, enforce_eager=True)["command"])
    assert words.startswith(f"python -m sglang.launch_server --model-path {LLAMA}")
    assert "--tp 2" in words
    assert "--disable-cuda-graph" in words


@pytest.mark.parametrize(
    ("device", "degree", "share"),
    [
        ("rtx-4090", 1, 0.847),  # 24,564 MiB less 512, 2,048 x 1.5, 24 x 2 and 128
        ("h100-80gb", 1, 0.835),  # 81,559 MiB less 512, 8,192 x 1.5, 256 x 2 and 128
        ("h100-80gb", 8, 0.818),  # 512 x 2 and 1,024 instead
    ],
)
def test_the_share_that_it_would_take_itself_is_told(device: str, degree: int, share: float) -> None:
    found = asked(device=device, tensor_parallel=degree)
    assert any(f"would take {share:g} of this device" in w for w in found["warnings"]), found["warnings"]
    assert not any("would take" in w for w in asked(device=device, gpu_memory_utilization=0.9)["warnings"])
