"""Normalisation over the residual stream or over one head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gauge import kernels
from gauge.formats import BFLOAT16
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor

Kind = Literal["rms", "rms_late", "rms_wide", "rms_unit_offset", "layer", "layer_wide"]


@dataclass(frozen=True, slots=True)
class Norm:
    """One of six kinds of norm.

    `rms` (Llama), `rms_late` (T5: the input itself is scaled), `rms_wide` (OLMo 2: scaled in float32),
    `rms_unit_offset` (Gemma: 1 + weight in float32), `layer` (mean and deviation), `layer_wide` (Cohere: the same, written
    out in float32).

    `affine` and `bias` say whether it has a weight and a bias of `size` along `over`. `joint`: the mean runs over all
    `heads` together.
    """

    name: str
    size: int
    kind: Kind = "rms"
    bias: bool = False
    affine: bool = True
    over: Dim = Dim.HIDDEN
    heads: tuple[Dim, int] | None = None
    joint: bool = False

    def weights(self) -> Iterator[Tensor]:
        """A weight and, where there is one, a bias."""
        if self.affine:
            yield self._vector("weight")
        if self.bias:
            yield self._vector("bias")

    def _vector(self, suffix: str) -> Tensor:
        shape = ((self.heads,) if self.heads else ()) + ((self.over, self.size),)
        return Tensor(f"{self.name}.{suffix}", dims(*shape), BFLOAT16, role="norm" if suffix == "weight" else "norm_bias")

    def __call__(self, tape: Tape, x: Value) -> Value:
        """Normalise `x` along `over`."""
        weight = self._vector("weight") if self.affine else None
        if self.kind == "layer":
            return kernels.layer_norm(tape, x, weight, self._vector("bias") if self.bias else None)
        if self.kind == "layer_wide":
            return kernels.wide_layer_norm(tape, x, weight, self.over)
        offset, late = self.kind == "rms_unit_offset", self.kind == "rms_late"
        wide, also = self.kind == "rms_wide", self.heads[0] if self.heads and self.joint else None
        return kernels.rms_norm(tape, x, weight, unit_offset=offset, over=self.over, late=late, wide_scale=wide, also=also)
