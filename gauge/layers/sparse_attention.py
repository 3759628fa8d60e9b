"""Attention that reads only the blocks of tokens that a narrow indexer picks (MiniMax M3).

Source: transformers 5.23 models/minimax_m3_vl/modeling_minimax_m3_vl.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16
from gauge.layers.attention import Attention
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class BlockIndexer:
    """`heads` narrow queries against one key a token."""

    hidden: int
    heads: int
    head: int

    def weights(self) -> Iterator[Tensor]:
        """Query and key projections and their norms."""
        hidden = ((Dim.HIDDEN, self.hidden),)
        out = ((Dim.GROUPS, self.heads), (Dim.HEAD, self.head))
        yield from Linear("indexer.q_proj", "indexer_query", out, hidden).weights()
        yield from Linear("indexer.k_proj", "indexer_key", ((Dim.HEAD, self.head),), hidden).weights()
        for name in ("q_norm", "k_norm"):
            yield from Norm(f"indexer.{name}", self.head, "rms_unit_offset", over=Dim.HEAD).weights()


@dataclass(frozen=True, slots=True)
class SparseAttention:
    """Grouped-query attention with its indexer; every token's keys and values stay cached."""

    attention: Attention
    indexer: BlockIndexer

    @property
    def inner_layers(self) -> tuple[Attention, ...]:
        """The attention inside."""
        return (self.attention,)

    def weights(self) -> Iterator[Tensor]:
        """The attention's and the indexer's."""
        yield from self.attention.weights()
        yield from self.indexer.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """Keys and values a head, and one index key a token."""
        yield from self.attention.state(sequence)
        shape = dims((Dim.BATCH, sequence.batch), (Dim.TOKENS, sequence.kept()), (Dim.HEAD, self.indexer.head))
        yield Tensor("index key cache", shape, BFLOAT16, role="index_cache")

    def forward(self, tape: Tape, x: Value) -> Value:
        """The attention's pass; the indexer's choice needs no gradient."""
        return self.attention.forward(tape, x)
