"""Low-rank adapters: which matrices get one, and what its two factors take.

Source: arXiv 2106.09685, section 4; PEFT 0.21 tuners/lora.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gauge.layers.linear import Linear
from gauge.model import Model
from gauge.tape import AdapterPlan
from gauge.tensor import Tensor

ATTENTION_TARGETS = {"query", "key", "value", "qkv", "attention_output"}


def targets_of(model: Model, asked: str) -> frozenset[str] | None:
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


def adapters(model: Model, plan: AdapterPlan) -> Iterator[tuple[Tensor, int]]:
    """The adapters' factors, with the number of layers that own one."""
    for part in model.parts:
        for block, count in part.runs():
            for linear in linears(block):
                if plan.targets is None or linear.name in plan.targets:
                    for factor in linear.adapters(plan.rank):
                        yield replace(factor, format=plan.format), count


def linears(owner: object) -> Iterator[Linear]:
    """Every adaptable linear map inside a block, in order."""
    for layer in getattr(owner, "layers", ()):
        for name in type(layer).__dict__:
            found = getattr(layer, name, None) if isinstance(type(layer).__dict__[name], property) else None
            if isinstance(found, Linear) and found.adaptable and _owned(layer, found):
                yield found


def _owned(layer: object, linear: Linear) -> bool:
    return any(t.name == linear.weight.name for t in layer.weights())  # type: ignore[attr-defined]
