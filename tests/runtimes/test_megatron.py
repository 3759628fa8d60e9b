"""The activation equations of arXiv 2205.05198 (Korthikanti et al.), reproduced to the byte by the Megatron profile.

The paper leaves out the statistics of norms, 2 × 4 bytes a token and norm; here they are added to its equations.
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to
from gauge.request import parse
from gauge.runtimes.megatron import Megatron
from gauge.units import MIB
from tests.truth.scoring import cases

TOKENS, BATCH, HIDDEN, HEADS, DEGREE = 1024, 4, 512, 8, 4
CONFIG = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_embd": HIDDEN,
    "n_layer": 2,
    "n_head": HEADS,
    "n_positions": TOKENS,
    "vocab_size": 50304,
    "activation_function": "gelu_new",
    "resid_pdrop": 0.1,
    "embd_pdrop": 0.1,
    "attn_pdrop": 0.1,
}
SBH = TOKENS * BATCH * HIDDEN
SCORES = 5 * HEADS * TOKENS // HIDDEN
STATISTICS = 2 * 2 * 4 * TOKENS * BATCH
PARALLEL = {"tensor_parallel": DEGREE}
SEQUENCE = PARALLEL | {"sequence_parallel": True}
SELECTIVE = {"gradient_checkpointing": "selective"}
FULL = {"gradient_checkpointing": "full"}


def of_layer(**changes: Any) -> int:
    """Bytes that one transformer layer keeps for backward."""
    request = {"task": "training", "runtime": "megatron", "config": CONFIG, "batch_size": BATCH, "sequence_length": TOKENS}
    one = Megatron(parse(request | {"attention": "eager"} | changes))
    layer = next(s for s in one.run.segments if s.layer is not None)
    return sum(s.size for s in one.step.kept(layer))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, SBH * (34 + SCORES) + STATISTICS, id="equation 1: no parallelism"),
        pytest.param(PARALLEL, SBH * 10 + SBH * (24 + SCORES) // DEGREE + STATISTICS, id="equation 2: tensor"),
        pytest.param(SEQUENCE, SBH * (34 + SCORES) // DEGREE + STATISTICS // DEGREE, id="equation 4: tensor and sequence"),
        pytest.param(SELECTIVE, SBH * 34 + STATISTICS, id="table 2: selective"),
        pytest.param(PARALLEL | SELECTIVE, SBH * 10 + SBH * 24 // DEGREE + STATISTICS, id="table 2: tensor, selective"),
        pytest.param(SEQUENCE | SELECTIVE, (SBH * 34 + STATISTICS) // DEGREE, id="table 2: tensor, sequence, selective"),
        pytest.param(FULL, SBH * 2, id="table 2: full"),
        pytest.param(SEQUENCE | FULL, SBH * 2 // DEGREE, id="full, sequence parallel"),
    ],
)
def test_activations_of_a_layer(changes: dict[str, Any], expected: int) -> None:
    assert of_layer(**changes) == expected


# ------------------------------------------------------------------------------------------------ resident memory
POSITIONS = 8192 * 4096  # Megatron's GPT learns its positions unless told otherwise; StarCoder2 has no such table


def measured(name: str) -> dict[str, Any]:
    """A measured case of the project by its id."""
    return next(case for case in cases() if case["id"] == name)


@pytest.mark.parametrize(
    ("name", "more", "within"),
    [
        pytest.param("megatron-gpt3_mcore_te_tp1_pp1_dist_optimizer_no_mmap_bin_files", 0, 1e-5, id="12 layers, ZeRO-1"),
        pytest.param("megatron-gpt3_mcore_te_tp1_pp1_uniform_full_recompute", -28 * MIB, 0.006, id="12 layers, A100"),
        pytest.param("megatron-gpt3_7b_tp4_pp1_memory_speed", POSITIONS * (2 + 4 + 12 // 2), 2e-4, id="7B, ZeRO-1"),
        pytest.param("megatron-t5_11b_mcore_tp4_pp1", 0, 0.006, id="T5, 11B"),
    ],
)
def test_what_stays_between_steps(name: str, more: int, within: float) -> None:
    """`mem-allocated-bytes` of Megatron-LM's functional tests: states, TE's workspace, cuBLAS's for two threads.

    On an A100 Transformer Engine's workspace is 28 MiB smaller; cuBLAS's is what the tests' environment asks for.
    """
    case = measured(name)
    pool = answer_to(case["request"], deep=False)["pools"][0]
    resident = next(m["bytes"] for m in pool["moments"] if m["id"] == "between")
    outside = sum(i["bytes"] for i in pool["items"] if i["scope"] != "allocated")
    expected = next(e["bytes"] for e in case["expect"] if "weights" in e["of"])
    assert resident - outside + more == pytest.approx(expected, rel=within)


def test_workspaces_follow_the_device() -> None:
    def blas(device: str) -> tuple[int, int]:
        request = {"task": "training", "runtime": "megatron", "config": CONFIG, "device": device}
        items = answer_to(request, deep=False)["pools"][0]["items"]
        return next((i["bytes"], i["high"]) for i in items if i["component"] == "workspace.cublas")

    assert blas("h100-80gb") == (64 * MIB, 64 * MIB)
    assert blas("a100-80gb") == (2 * 8_519_680, 64 * MIB)
