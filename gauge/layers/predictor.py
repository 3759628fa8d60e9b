"""What a multi-token-prediction layer has in front of its block: the next token's embedding and the last hidden state,
each behind its own norm, side by side through one matrix.

Source: DeepSeek-V3, arXiv 2412.19437, section 2.2, equation 21.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.tape import Tape, Value
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class Joint:
    """(batch, tokens, hidden) twice → (batch, tokens, hidden); `names` of the embedding's norm, the state's, the matrix."""

    hidden: int
    names: tuple[str, str, str] = ("enorm", "hnorm", "eh_proj")

    @property
    def norms(self) -> tuple[Norm, Norm]:
        """Of the embedding and of the hidden state."""
        return Norm(self.names[0], self.hidden), Norm(self.names[1], self.hidden)

    @property
    def projection(self) -> Linear:
        """(hidden, 2 × hidden)."""
        inp = ((Dim.MATRICES, 2), (Dim.HIDDEN, self.hidden))
        return Linear(self.names[2], "predictor_projection", ((Dim.HIDDEN, self.hidden),), inp)

    def weights(self) -> Iterator[Tensor]:
        """Both norms and the matrix."""
        for norm in self.norms:
            yield from norm.weights()
        yield from self.projection.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """The stream that the layer's block reads; the embedding has the size of the state."""
        both = tuple(norm(tape, x) for norm in self.norms)
        return self.projection(tape, tape.concat(both, x.dims, "embedding and state"))
