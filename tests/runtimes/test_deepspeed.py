"""DeepSpeed against its own memory estimators and the papers' worked examples.

The estimators' tables (DeepSpeed documentation, "Memory Requirements") are for T5-3b on one node of 8 GPUs and for
T5-small on one GPU. They count 16-bit weights (2 bytes a parameter), float32 masters, moments and gradients (16), and
leave out the 16-bit gradients that are there as well; activations and buckets are not in them.
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to
from gauge.units import GIB

T5 = {"model_type": "t5", "vocab_size": 32128, "feed_forward_proj": "relu", "tie_word_embeddings": True}
T5_3B = T5 | {"d_model": 1024, "d_kv": 128, "d_ff": 16384, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 32}
T5_SMALL = T5 | {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_decoder_layers": 6, "num_heads": 8}
SIZES = {"3b": (T5_3B, 8, 2851), "small": (T5_SMALL, 1, 60)}


def pools(size: str, **changes: Any) -> dict[str, dict[str, Any]]:
    config, ranks, _ = SIZES[size]
    plan = {"task": "training", "runtime": "deepspeed", "config": config, "data_parallel": ranks, "sequence_length": 128}
    answer = answer_to(plan | changes, deep=False)
    assert answer["model"]["parameters"] // 10**6 == SIZES[size][2]
    return {p["name"]: p for p in answer["pools"]}


def held(pool: dict[str, Any], moment: str, *kinds: str) -> int:
    """Bytes of these components at a moment."""
    items = [i for i in pool["items"] if not i["moments"] or moment in i["moments"]]
    return sum(i["bytes"] for i in items if i["component"].partition(".")[0] in kinds)


def gib(size: float) -> float:
    return round(size / GIB, 2)


def test_estimator_of_stage_2_with_the_optimizer_in_host_memory() -> None:
    """5.31 GB a GPU: the 16-bit weights."""
    found = pools("3b", zero_stage=2, cpu_offload="optimizer")
    assert gib(held(found["gpu"], "step", "weights", "gradients", "optimizer_states", "master_weights")) == 5.31
    assert held(found["host"], "step", "gradients", "optimizer_states", "master_weights") == pytest.approx(
        held(found["gpu"], "step", "weights"), rel=1e-3
    ), "16 bytes a parameter over 8 ranks are as many as the 16-bit weights"


def test_estimator_of_stage_2() -> None:
    """15.93 GB a GPU: 4 bytes a parameter and 16 over 8 ranks; we count 2 for the weights and 2 over the ranks for
    reduced gradients, for backward keeps no whole ones besides buckets."""
    found = pools("3b", zero_stage=2)["gpu"]
    states = held(found, "step", "weights", "optimizer_states", "master_weights", "workspace")
    whole_gradients = held(found, "step", "weights")
    assert gib(states + whole_gradients) == 15.93
    assert held(found, "step", "gradients") == pytest.approx(whole_gradients / 8, rel=1e-3)


@pytest.mark.parametrize(("size", "table", "largest"), [("3b", 6.10, 32.9e6), ("small", 1.08, 16.4e6)])
def test_estimator_of_stage_3(size: str, table: float, largest: float) -> None:
    """6.10 GB and 1.08 GB a GPU: 18 bytes a parameter over the ranks, and 4 for each of the largest layer."""
    found = pools(size, zero_stage=3)["gpu"]
    states = held(found, "step", "weights", "optimizer_states", "master_weights", "workspace")
    assert gib(states + 4 * largest) == pytest.approx(table, abs=0.02)


@pytest.mark.parametrize(("size", "table", "largest"), [("3b", 0.79, 32.9e6), ("small", 0.17, 16.4e6)])
def test_estimator_of_stage_3_with_the_optimizer_in_host_memory(size: str, table: float, largest: float) -> None:
    """0.79 GB and 0.17 GB a GPU: the split weights, and 4 bytes for each of the largest layer; small ones stay whole."""
    found = pools(size, zero_stage=3, cpu_offload="optimizer")["gpu"]
    resident = held(found, "between", "weights", "gradients", "optimizer_states", "master_weights")
    assert gib(resident + 4 * largest) == pytest.approx(table, abs=0.011)


def test_estimator_of_stage_3_with_everything_in_host_memory() -> None:
    """0.12 GB a GPU: nothing stays but the largest layer while it works."""
    found = pools("3b", zero_stage=3, cpu_offload="all")
    assert held(found["gpu"], "between", "weights", "gradients", "optimizer_states", "master_weights") == 0
    assert gib(held(found["host"], "step", "weights")) == pytest.approx(5.31 / 8, abs=0.01)


def test_stages_need_less_and_less() -> None:
    kinds = ("weights", "gradients", "optimizer_states", "master_weights")
    sizes = [held(pools("3b", zero_stage=stage)["gpu"], "step", *kinds) for stage in range(4)]
    assert sizes == sorted(sizes, reverse=True)


def test_buckets_count_elements() -> None:
    """reduce_bucket_size and allgather_bucket_size are 5e8 elements: 1 GB each in 16 bits; stage 3 overlaps two."""
    for stage, copies in ((1, 1), (2, 1), (3, 2)):
        found = pools("3b", zero_stage=stage)["gpu"]
        buckets = [i for i in found["items"] if i["component"] == "communication.buckets" and "backward" in i["moments"]]
        assert sum(i["bytes"] for i in buckets) == copies * 2 * 500_000_000


def test_no_more_than_a_billion_weights_are_whole() -> None:
    """stage3_max_live_parameters."""
    found = pools("3b", zero_stage=3)["gpu"]
    live = [i for i in found["items"] if i["component"] == "communication.gathered" and "backward" in i["moments"]]
    assert sum(i["bytes"] for i in live) == 2 * 10**9


# ------------------------------------------------------------------------------------------------ 1 trillion parameters
def test_a_trillion_parameters_on_1024_devices() -> None:
    """arXiv 1910.02054, section 9: 16 TB of states for 1 trillion parameters; 16 GB on each of 1,024 devices in stage 3."""
    plan = {"task": "training", "runtime": "deepspeed", "parameters": 10**12, "sequence_length": 1024, "zero_stage": 3}
    answer = answer_to(plan | {"data_parallel": 1024}, deep=False)
    kinds = ("weights", "gradients", "optimizer_states", "master_weights")
    states = held(answer["pools"][0], "step", *kinds)
    assert states / 1e9 == pytest.approx(16_000 / 1024, rel=0.02), "the derived architecture comes within 2 % of the count"
