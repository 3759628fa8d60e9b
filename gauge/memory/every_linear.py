"""Libraries that quantize a loaded model in place, every linear layer, the output head too.

Matrices are on the device in 16 bits first. Lightning Fabric's bitsandbytes plugin, as LitGPT uses it, makes a second copy
contiguous in half precision; torchao quantizes the matrices of gpt-fast's model one after another, and what is left of the
segment of the largest one stays reserved, since something small was put in it.
Source: Lightning-AI/pytorch-lightning, fabric/plugins/precision/bitsandbytes.py; litgpt tutorials/quantize.md (2023);
pytorch/ao torchao/_models/llama/generate.py, torchao/quantization/quant_api.py (2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge.formats import FLOAT16
from gauge.model import Model
from gauge.quantization import Store
from gauge.tensor import Dim, Tensor

HEAD = "head"
SCALE = "_scale"


@dataclass(frozen=True, slots=True)
class Quantizer:
    """A library, by the `names` that a release is called by, and the `schemes` (how they begin) that it makes.

    `copies`: 16-bit copies of the largest matrix whose segments stay reserved. `zeros`: schemes whose zero points are
    stored beside the scales, in their format.
    """

    names: tuple[str, ...]
    schemes: tuple[str, ...]
    copies: int
    zeros: tuple[str, ...]
    why: str
    source: str


QUANTIZERS = (
    Quantizer(
        ("lit",),
        ("bnb",),
        2,
        (),
        "Each matrix passes through two 16-bit copies while it is quantized; the largest one's segments stay reserved.",
        "Lightning Fabric 2.1, plugins/precision/bitsandbytes.py",
    ),
    Quantizer(
        ("gpt-fast", "torchao"),
        ("int4", "int8"),
        1,
        ("int4",),
        "The matrices were on the device in 16 bits; the largest one's segment stays reserved, since something smaller is in it.",
        "pytorch/ao, torchao/_models/llama/generate.py (2024)",
    ),
)


def quantizer(release: str, quantization: str) -> Quantizer | None:
    """The library that a release's text names, if it makes this scheme."""
    text = release.lower()
    for one in QUANTIZERS:
        if any(name in text for name in one.names) and quantization.startswith(one.schemes):
            return one
    return None


def every_linear(store: Store, quantization: str, by: Quantizer) -> Store:
    """The store with the head treated as any other matrix."""

    def stored(weight: Tensor) -> Iterator[Tensor]:
        for held in store(replace(weight, role="linear") if weight.role == HEAD else weight):
            kept = replace(held, role=held.role.replace("linear", HEAD)) if weight.role == HEAD else held
            yield kept
            if quantization in by.zeros and kept.role.endswith(SCALE):
                yield replace(kept, name=kept.name.replace("scales", "zero points"))

    return stored


def in_passing(model: Model, store: Store, copies: int) -> Tensor | None:
    """The 16-bit copies of the largest matrix that is quantized."""
    narrowed = [
        t for t, _ in model.weights() if any(held.format != t.format and held.elements == t.elements for held in store(t))
    ]
    largest = max(narrowed, key=lambda t: t.elements, default=None)
    return None if largest is None else largest.stored_as(FLOAT16).times(Dim.COPIES, copies)
