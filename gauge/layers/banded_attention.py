"""Attention within a band of tokens, by overlapping chunks, beside a second set of projections for tokens that see all.

Source: arXiv 2004.05150; transformers 5.23 models/longformer/modeling_longformer.py (LongformerSelfAttention).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge.formats import FLOAT32
from gauge.layers.attention import Attention
from gauge.layers.linear import Linear
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor

GLOBAL = ("query_global", "key_global", "value_global")


@dataclass(frozen=True, slots=True)
class BandedAttention:
    """`window` tokens around each; `attention` has the projections and rates."""

    attention: Attention
    window: int

    @property
    def inner_layers(self) -> tuple[Attention, ...]:
        """The attention inside."""
        return (self.attention,)

    def _everywhere(self) -> tuple[Linear, ...]:
        """Queries, keys and values of tokens that attend everywhere."""
        a = self.attention
        maps = (a.query, a.key, a.value)
        return tuple(replace(m, name=name) for m, name in zip(maps, GLOBAL, strict=True))

    def weights(self) -> Iterator[Tensor]:
        """The attention's, and the second set of projections."""
        yield from self.attention.weights()
        for linear in self._everywhere():
            yield from linear.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """Chunks of twice the half-window overlap, so queries, keys and values are copied; scores and probabilities have
        a column for each token of the band. No token is taken to attend everywhere."""
        a = self.attention
        with tape.hold(x):
            q, k, v = (linear(tape, x) for linear in (a.query, a.key, a.value))
            rows = tuple(e for e in q.dims if e.dim is not Dim.HEAD)
            band = (*rows, *dims((Dim.WINDOW, self.window + 1)))
            wide = (*rows, *dims((Dim.WINDOW, 2 * self.window)))
            twice = (*q.dims[:-1], *dims((Dim.COPIES, 2)), q.dims[-1])
            first, second = (tape.op("chunk", (r,), twice, r.format, label=f"{r.name}, in chunks") for r in (q, k))
            raw = tape.matmul(first, second, wide, label="chunked scores")
            scores = tape.op("slice", (raw,), band, raw.format, label="scores of the band")
            probabilities = tape.softmax(tape.cast(scores, FLOAT32, "scores in float32"))
            probabilities = tape.dropout(tape.cast(probabilities, v.format, "probabilities, cast"), a.dropout)
            spread = (*rows, *dims((Dim.WINDOW, 3 * self.window // 2)))
            skewed = tape.op("pad", (probabilities,), spread, v.format, label="probabilities, skewed")
            thrice = (*v.dims[:-1], *dims((Dim.COPIES, 3)), v.dims[-1])
            values = tape.op("chunk", (v,), thrice, v.format, label="values, in chunks")
            out = tape.matmul(skewed, values, q.dims, "weighted values")
        return tape.dropout(a.output(tape, tape.contiguous(out, "attention output")), a.out_dropout)
