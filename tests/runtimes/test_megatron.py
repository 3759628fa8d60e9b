"""The activation equations of arXiv 2205.05198 (Korthikanti et al.), reproduced to the byte by the Megatron profile.

The paper leaves out the statistics of norms, 2 × 4 bytes a token and norm; here they are added to its equations.
"""

from __future__ import annotations

from typing import Any

import pytest

from gauge.request import parse
from gauge.runtimes.megatron import Megatron

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
