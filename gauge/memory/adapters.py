"""Low-rank adapters: which matrices get one, and what its two factors take.

Source: arXiv 2106.09685, section 4; PEFT 0.21 tuners/lora.
"""

from __future__ import annotations

from collections.abc import Iterator

from gauge.memory.segments import Pass
from gauge.model import Model
from gauge.tensor import Tensor

ATTENTION_TARGETS = {"query", "key", "value", "qkv", "attention_output"}


def targets_of(model: Model, asked: str) -> frozenset[str] | None:
    """Names of the adapted matrices, None for every linear map inside the blocks (PEFT's `all-linear`)."""
    if asked == "all-linear":
        return None
    linears = linear_names(model)
    if asked == "attention":
        return frozenset(name for name, role in linears if role in ATTENTION_TARGETS)
    return frozenset(part.strip() for part in asked.split(","))


def linear_names(model: Model) -> set[tuple[str, str]]:
    """(name, role) of every matrix inside the blocks."""
    return {
        (t.name.removesuffix(".weight"), t.role)
        for part in model.parts
        for block, _ in part.runs()
        for t in block.weights()
        if t.name.endswith(".weight")
    }


def adapters(run: Pass) -> Iterator[tuple[Tensor, int]]:
    """The adapters' factors that a traced pass met, with the number of layers that own one."""
    for segment in run.segments:
        for weight in segment.trace.weight_gradients:
            if weight.role == "adapter":
                yield weight, 1
