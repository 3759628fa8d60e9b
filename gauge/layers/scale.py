"""A learned factor on a branch: one a channel (layer scale) or one in all (a gate)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class LayerScale:
    """The branch's output times `size` learned numbers. Source: arXiv 2103.17239, section 2."""

    name: str
    size: int

    @property
    def weight(self) -> Tensor:
        """(hidden), or a single number."""
        return Tensor(self.name, dims((Dim.HIDDEN, self.size)), BFLOAT16, role="norm")

    def weights(self) -> Iterator[Tensor]:
        """The factors."""
        yield self.weight

    def __call__(self, tape: Tape, x: Value) -> Value:
        """The product: the input is kept where the factors are trained."""
        return tape.scale(x, tape.weight(self.weight))
