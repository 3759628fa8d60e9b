"""Compressed sparse attention: one key that is also the value, a window of tokens and compressed entries before it.

Source: transformers 5.23 models/deepseek_v4/modeling_deepseek_v4.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16
from gauge.layers.attention_kernels import Kernel, Scores, attend
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.layers.rotary import rotate, tables_of
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressor:
    """Folds `rate` tokens into one entry of `head` numbers; `overlaps`: neighbouring windows share tokens, which takes
    twice the width."""

    name: str
    hidden: int
    head: int
    rate: int
    overlaps: bool

    def weights(self) -> Iterator[Tensor]:
        """Entry and gate projections, a bias for each position of the window, the entry's norm."""
        width = self.head * (2 if self.overlaps else 1)
        for part in ("kv_proj", "gate_proj"):
            out = ((Dim.HEAD, width),)
            yield from Linear(f"{self.name}.{part}", "compressor", out, ((Dim.HIDDEN, self.hidden),)).weights()
        shape = dims((Dim.POSITIONS, self.rate), (Dim.HEAD, width))
        yield Tensor(f"{self.name}.position_bias", shape, BFLOAT16, role="compressor_bias")
        yield from Norm(f"{self.name}.kv_norm", self.head, over=Dim.HEAD).weights()

    def entries(self, sequence: Sequence) -> int:
        """Entries made of the tokens seen."""
        return sequence.kept() // self.rate

    def buffers(self, sequence: Sequence) -> Iterator[Tensor]:
        """Tokens not yet folded, and the last window's half that the next one reads: entries and gates of both; either may
        be empty."""
        rows = sequence.kept() % self.rate
        width = self.head * (2 if self.overlaps else 1)
        over = self.rate if self.overlaps and sequence.kept() >= self.rate else 0
        for name, tokens, size in (("buffer", rows, width), ("overlap", over, self.head)):
            shape = dims((Dim.BATCH, sequence.batch), (Dim.MATRICES, 2), (Dim.WINDOW, tokens), (Dim.HEAD, size))
            yield Tensor(f"{self.name} {name}", shape, BFLOAT16, role="compressor_cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedAttention:
    """Queries through a bottleneck against one shared head that is key and value at once; the output goes through
    `groups` narrow maps. `compressor` and `indexer` make the entries and choose among them (`index_heads` query heads).
    """

    hidden: int
    heads: int
    head: int
    rope: int
    query_rank: int
    groups: int
    out_rank: int
    window: int
    compressor: Compressor | None = None
    indexer: Compressor | None = None
    index_heads: int = 0

    def weights(self) -> Iterator[Tensor]:
        """Projections, norms, sinks, compressor, indexer."""
        yield from self.query_down.weights()
        yield from self.query_norm.weights()
        yield from self.query_up.weights()
        yield from self.key.weights()
        yield from Norm("kv_norm", self.head, over=Dim.HEAD).weights()
        yield from self.out_down.weights()
        yield from self.output.weights()
        yield Tensor("sinks", dims((Dim.HEADS, self.heads)), BFLOAT16, role="sinks")
        if self.compressor:
            yield from self.compressor.weights()
        if self.indexer:
            yield from self._index_weights(self.indexer)

    def _index_weights(self, indexer: Compressor) -> Iterator[Tensor]:
        yield from indexer.weights()
        out = ((Dim.GROUPS, self.index_heads), (Dim.HEAD, indexer.head))
        query_rank, hidden = ((Dim.LATENT, self.query_rank),), ((Dim.HIDDEN, self.hidden),)
        yield from Linear("indexer.q_b_proj", "indexer_query", out, query_rank).weights()
        heads = ((Dim.GROUPS, self.index_heads),)
        yield from Linear("indexer.scorer.weights_proj", "indexer_weights", heads, hidden).weights()

    @property
    def query_down(self) -> Linear:
        """(query rank, hidden)."""
        return Linear("q_a_proj", "latent_query_down", ((Dim.LATENT, self.query_rank),), ((Dim.HIDDEN, self.hidden),))

    @property
    def query_norm(self) -> Norm:
        """Over the bottleneck."""
        return Norm("q_a_norm", self.query_rank, over=Dim.LATENT)

    @property
    def query_up(self) -> Linear:
        """(heads, head, query rank)."""
        out = ((Dim.HEADS, self.heads), (Dim.HEAD, self.head))
        return Linear("q_b_proj", "latent_query_up", out, ((Dim.LATENT, self.query_rank),))

    @property
    def key(self) -> Linear:
        """(head, hidden): key and value of one head for all queries."""
        out = ((Dim.KV_HEADS, 1), (Dim.HEAD, self.head))
        return Linear("kv_proj", "key", out, ((Dim.HIDDEN, self.hidden),))

    @property
    def out_down(self) -> Linear:
        """(groups, rank, heads ÷ groups × head)."""
        out = ((Dim.GROUPS, self.groups), (Dim.RANK, self.out_rank))
        inp = ((Dim.HEAD, self.heads * self.head // self.groups),)
        return Linear("o_a_proj", "attention_output_down", out, inp)

    @property
    def output(self) -> Linear:
        """(hidden, groups, rank)."""
        inp = ((Dim.GROUPS, self.groups), (Dim.RANK, self.out_rank))
        return Linear("o_b_proj", "attention_output", ((Dim.HIDDEN, self.hidden),), inp)

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The window's keys, which are the values too, the compressed entries, and the index keys."""
        parts = [("window key cache", Dim.TOKENS, sequence.kept(self.window, None), self.head)]
        if self.compressor:
            parts.append(("compressed key cache", Dim.BLOCKS, self.compressor.entries(sequence), self.head))
        if self.indexer:
            parts.append(("index key cache", Dim.BLOCKS, self.indexer.entries(sequence), self.indexer.head))
        for name, dim, count, size in parts:
            shape = dims((Dim.BATCH, sequence.batch), (dim, count), (Dim.KV_HEADS, 1), (Dim.HEAD, size))
            role = "index_cache" if name.startswith("index") else "latent_cache"
            yield Tensor(name, shape, BFLOAT16, role=role)
        for fold in (self.compressor, self.indexer):
            if fold and sequence.buffers:
                yield from fold.buffers(sequence)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Project, rotate, attend with sinks (eagerly in the model's own code), project back in groups."""
        with tape.hold(x):
            q = self.query_up(tape, self.query_norm(tape, self.query_down(tape, x, "query latent")), "queries")
            q = Norm("q_b_norm", self.head, affine=False, over=Dim.HEAD)(tape, q)
            k = Norm("kv_norm", self.head, over=Dim.HEAD)(tape, self.key(tape, x, "keys"))
            q, k = (rotate(tape, v, self.rope, tables_of(tape, v, self.rope, own=True), joined=True) for v in (q, k))
            kernel: Kernel = "flash" if tape.how.kernels == "fused" else "eager"
            out = attend(tape, kernel, q, k, k, Scores(masked=True, softmax32=False, sinks=True))
            rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
            size = self.heads * self.head // self.groups
            grouped = tape.alias(out, (*rows, *dims((Dim.GROUPS, self.groups), (Dim.HEAD, size))))
            narrow = self._narrowed(tape, grouped)
        return self.output(tape, narrow)

    def _narrowed(self, tape: Tape, grouped: Value) -> Value:
        weight = tape.weight(self.out_down.weight)
        shape = (*grouped.dims[:-1], *dims((Dim.RANK, self.out_rank)))
        saves = [grouped.storage] if weight.trainable else []
        return tape.op("bmm", (grouped,), shape, tape.how.compute, label="output latent", saves=saves, weights=(weight,))
