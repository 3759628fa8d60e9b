"""One vector a sequence from its first token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge import kernels
from gauge.layers.linear import Linear
from gauge.tape import Tape, Value
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class Pooler:
    """A dense layer (with tanh) over the first token."""

    hidden: int
    outputs: int
    activation: str = "tanh"
    over: Dim = Dim.INNER

    @property
    def dense(self) -> Linear:
        """(outputs, hidden)."""
        return Linear("pooler.dense", "pooler", ((self.over, self.outputs),), ((Dim.HIDDEN, self.hidden),), True, False)

    def weights(self) -> Iterator[Tensor]:
        """The matrix and its bias."""
        return self.dense.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """(batch, outputs)."""
        first = tape.alias(x, tuple(e for e in x.dims if e.dim not in (Dim.TOKENS, Dim.PATCHES)))
        return kernels.activation(tape, self.activation, self.dense(tape, first))
