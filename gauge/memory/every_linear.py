"""Lightning Fabric's bitsandbytes plugin, as LitGPT uses it: every linear layer, the output head too.

A matrix arrives in 16 bits and is made contiguous in half precision before it is quantized: for a moment there are two
copies, and the allocator keeps the segments of the largest.
Source: Lightning-AI/pytorch-lightning, fabric/plugins/precision/bitsandbytes.py; litgpt tutorials/quantize.md (2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gauge.formats import FLOAT16
from gauge.model import Model
from gauge.quantization import Store
from gauge.tensor import Dim, Tensor

SOURCE = "Lightning Fabric 2.1, plugins/precision/bitsandbytes.py"
WHY = "Each matrix passes through two 16-bit copies while it is quantized; the largest one's segments stay reserved."
HEAD = "head"


def every_linear(store: Store) -> Store:
    """The store with the head treated as any other matrix."""

    def stored(weight: Tensor) -> Iterator[Tensor]:
        if weight.role != HEAD:
            yield from store(weight)
            return
        for held in store(replace(weight, role="linear")):
            yield replace(held, role=held.role.replace("linear", HEAD))

    return stored


def in_passing(model: Model, store: Store) -> Tensor | None:
    """The two 16-bit copies of the largest matrix that is quantized."""
    narrowed = [
        t for t, _ in model.weights() if any(held.format != t.format and held.elements == t.elements for held in store(t))
    ]
    largest = max(narrowed, key=lambda t: t.elements, default=None)
    return None if largest is None else largest.stored_as(FLOAT16).times(Dim.COPIES, 2)
