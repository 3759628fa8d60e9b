"""Tables of relative positions that a whole stack of layers shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16
from gauge.layers.norm import Norm
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class RelativeTable:
    """A bias for each bucket of distances and each head (MPNet)."""

    buckets: int
    heads: int

    def weights(self) -> Iterator[Tensor]:
        """(buckets, heads)."""
        shape = dims((Dim.POSITIONS, self.buckets), (Dim.HEADS, self.heads))
        yield Tensor("relative_attention_bias.weight", shape, BFLOAT16, role="relative_bias")

    def forward(self, tape: Tape, x: Value) -> Value:
        """Nothing happens to the stream: layers look the bias up."""
        return x


@dataclass(frozen=True, slots=True)
class RelativeEmbeddings:
    """A vector for each distance, with a norm (DeBERTa)."""

    distances: int
    hidden: int
    norm: Norm | None

    def weights(self) -> Iterator[Tensor]:
        """(distances, hidden) and the norm."""
        shape = dims((Dim.POSITIONS, self.distances), (Dim.HIDDEN, self.hidden))
        yield Tensor("rel_embeddings.weight", shape, BFLOAT16, role="position_embedding")
        if self.norm:
            yield from self.norm.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """Nothing happens to the stream: layers project the vectors for themselves."""
        return x
