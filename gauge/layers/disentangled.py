"""Disentangled attention: scores of content against content, content against position and position against content.

Source: arXiv 2006.03654; transformers 5.23 models/deberta_v2/modeling_deberta_v2.py (DisentangledSelfAttention).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import INT64
from gauge.layers.attention import Attention
from gauge.layers.linear import Linear
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class DisentangledAttention:
    """`kinds` are the position terms (`c2p`, `p2c`), over `distances` vectors; `shared`: they reuse the content's
    projections."""

    attention: Attention
    kinds: tuple[str, ...]
    distances: int
    shared: bool

    @property
    def inner_layers(self) -> tuple[Attention, ...]:
        """The attention inside."""
        return (self.attention,)

    def _maps(self) -> Iterator[Linear]:
        a = self.attention
        out, inp = ((Dim.HEADS, a.heads), (Dim.HEAD, a.head)), ((Dim.HIDDEN, a.hidden),)
        if not self.shared and "c2p" in self.kinds:
            yield Linear("pos_key_proj", "position_key", out, inp, True)
        if not self.shared and "p2c" in self.kinds:
            yield Linear("pos_query_proj", "position_query", out, inp, True)

    def weights(self) -> Iterator[Tensor]:
        """The attention's, and the positions' own projections."""
        yield from self.attention.weights()
        for linear in self._maps():
            yield from linear.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """Each position term gathers scores by distance: it keeps the projected vectors and an index a pair."""
        a = self.attention
        tokens = next(e.size for e in x.dims if e.dim is Dim.TOKENS)
        with tape.hold(x):
            for kind in self.kinds:
                vectors = dims((Dim.HEADS, a.heads), (Dim.POSITIONS, self.distances), (Dim.HEAD, a.head))
                projected = tape.allocate(f"{kind} positions", vectors, x.format)
                batch = tuple(e for e in x.dims if e.dim is Dim.BATCH)
                pairs = (*batch, *dims((Dim.HEADS, a.heads), (Dim.TOKENS, tokens), (Dim.KEY_TOKENS, tokens)))
                index = tape.allocate(f"{kind} index", pairs, INT64)
                own = tuple(tape.weight(t) for linear in self._maps() for t in linear.weights() if linear.name)
                tape.op("gather", (x,), pairs, x.format, label=f"{kind} scores", saves=(projected, index), weights=own)
            return a.forward(tape, x)
