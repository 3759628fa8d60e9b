"""Attention with keys and values a head: multi-head, grouped, multi-query, windowed, cross, with or without extras.

One class covers everything that caches "K and V per head, over some tokens"; latent attention is another kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge import kernels
from gauge.formats import BFLOAT16
from gauge.layers.attention_kernels import Kernel, Scores, attend, pick
from gauge.layers.linear import Linear, Shape
from gauge.layers.norm import Norm
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Queries from the residual stream against keys and values of the tokens seen.

    `window` limits how far back a layer sees; `chunk` cuts the sequence into blocks that see only themselves. `cross`
    is the width of another stream that keys and values come from. `rotary` is the rotated part of a head, 0 for none.
    `names` are the checkpoint's names of query, key, value and output; a fused projection has one name for the first
    three. `has_sdpa` is false where the family's code offers only the composed kernel.
    """

    hidden: int
    heads: int
    kv_heads: int
    head: int
    value_head: int | None = None
    qkv_bias: bool = False
    key_bias: bool | None = None
    out_bias: bool = False
    fused: bool = False
    norms: str = ""  # "", "head" (one weight vector for all heads) or "full" (over all heads together)
    norm_kind: str = "rms"
    window: int | None = None
    chunk: int | None = None
    causal: bool = True
    cross: int | None = None
    rotary: int = 0
    relative_buckets: int = 0
    shared_bias: str = ""
    softmax32: bool = True
    soft_cap: bool = False
    sinks: bool = False
    scaled: bool = True
    dropout: float = 0.0
    out_dropout: float = 0.0
    has_sdpa: bool = True
    copies_output: bool = False
    caches: bool = True
    names: tuple[str, str, str, str] = ("q_proj", "k_proj", "v_proj", "o_proj")

    # ---------------------------------------------------------------- weights
    @property
    def values_head(self) -> int:
        """Numbers in one value head."""
        return self.head if self.value_head is None else self.value_head

    @property
    def query(self) -> Linear:
        """(heads, head, hidden)."""
        out = ((Dim.HEADS, self.heads), (Dim.HEAD, self.head))
        return Linear(self.names[0], "query", out, ((Dim.HIDDEN, self.hidden),), self.qkv_bias)

    @property
    def key(self) -> Linear:
        """(kv_heads, head, hidden or the other stream's width)."""
        out = ((Dim.KV_HEADS, self.kv_heads), (Dim.HEAD, self.head))
        bias = self.qkv_bias if self.key_bias is None else self.key_bias
        return Linear(self.names[1], "key", out, ((Dim.HIDDEN, self.cross or self.hidden),), bias)

    @property
    def value(self) -> Linear:
        """(kv_heads, value head, hidden or the other stream's width)."""
        out = ((Dim.KV_HEADS, self.kv_heads), (Dim.HEAD, self.values_head))
        return Linear(self.names[2], "value", out, ((Dim.HIDDEN, self.cross or self.hidden),), self.qkv_bias)

    @property
    def qkv(self) -> Linear:
        """Queries, keys and values as one matrix: (head × (heads + 2 kv_heads), hidden)."""
        out: Shape
        if self.kv_heads == self.heads:
            out = ((Dim.MATRICES, 3), (Dim.HEADS, self.heads), (Dim.HEAD, self.head))
        else:
            out = ((Dim.HEADS, self.heads + 2 * self.kv_heads), (Dim.HEAD, self.head))
        return Linear(self.names[0], "qkv", out, ((Dim.HIDDEN, self.hidden),), self.qkv_bias)

    @property
    def output(self) -> Linear:
        """(hidden, heads, value head)."""
        inp = ((Dim.HEADS, self.heads), (Dim.HEAD, self.values_head))
        return Linear(self.names[3], "attention_output", ((Dim.HIDDEN, self.hidden),), inp, self.out_bias)

    def norm(self, name: str, heads_dim: Dim, heads: int) -> Norm:
        """The norm over queries or keys: a head's size, or all heads together."""
        if self.norms == "full":
            return Norm(name, self.head, self.norm_kind, over=Dim.HEAD, heads=(heads_dim, heads))  # type: ignore[arg-type]
        return Norm(name, self.head, self.norm_kind, over=Dim.HEAD)  # type: ignore[arg-type]

    def weights(self) -> Iterator[Tensor]:
        """Projections, norms, relative biases and sinks."""
        for linear in (self.qkv,) if self.fused else (self.query, self.key, self.value):
            yield from linear.weights()
        yield from self.output.weights()
        if self.norms:
            yield from self.norm("q_norm", Dim.HEADS, self.heads).weights()
            yield from self.norm("k_norm", Dim.KV_HEADS, self.kv_heads).weights()
        if self.relative_buckets:
            yield self._relative_table()
        if self.sinks:
            yield Tensor("sinks", dims((Dim.HEADS, self.heads)), BFLOAT16, role="sinks")

    def _relative_table(self) -> Tensor:
        shape = dims((Dim.POSITIONS, self.relative_buckets), (Dim.HEADS, self.heads))
        return Tensor("relative_attention_bias.weight", shape, BFLOAT16, role="relative_bias")

    # ---------------------------------------------------------------- state
    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """Keys and values of the tokens that later tokens may still attend to: 2 × (batch, tokens, kv_heads, head)."""
        if not self.caches:
            return
        tokens = sequence.source_tokens if self.cross else sequence.kept(self.window, self.chunk)
        where = Dim.SOURCE_TOKENS if self.cross else Dim.TOKENS
        for name, size in (("key", self.head), ("value", self.values_head)):
            shape = ((Dim.BATCH, sequence.batch), (where, tokens), (Dim.KV_HEADS, self.kv_heads), (Dim.HEAD, size))
            yield Tensor(f"{name} cache", dims(*shape), BFLOAT16, role=f"{'cross_' if self.cross else ''}{name}_cache")

    # ---------------------------------------------------------------- forward
    def forward(self, tape: Tape, x: Value, source: Value | None = None) -> Value:
        """Project, rotate, attend, project back."""
        with tape.hold(x):
            q, k, v = self._projected(tape, x, x if source is None else source)
            if self.norms:
                q = self.norm("q_norm", Dim.HEADS, self.heads)(tape, q)
                k = self.norm("k_norm", Dim.KV_HEADS, self.kv_heads)(tape, k)
            if self.rotary:
                q, k = self._rotated(tape, q), self._rotated(tape, k)
            out = attend(tape, self.kernel(tape, x, k), q, k, v, self._scores(tape, q, k))
            if self.copies_output:
                out = tape.contiguous(out, "attention output, reordered")
        return tape.dropout(self.output(tape, out), self.out_dropout)

    def _projected(self, tape: Tape, x: Value, source: Value) -> tuple[Value, Value, Value]:
        if not self.fused:
            return self.query(tape, x, "queries"), self.key(tape, source, "keys"), self.value(tape, source, "values")
        both = self.qkv(tape, x, "queries, keys and values")
        rows = tuple(e for e in both.dims if e.dim not in (Dim.MATRICES, Dim.HEADS, Dim.HEAD))
        q = (*rows, *dims((Dim.HEADS, self.heads), (Dim.HEAD, self.head)))
        kv = (*rows, *dims((Dim.KV_HEADS, self.kv_heads), (Dim.HEAD, self.head)))
        return tape.alias(both, q), tape.alias(both, kv), tape.alias(both, kv)

    def _rotated(self, tape: Tape, value: Value) -> Value:
        tokens = next(e.size for e in value.dims if e.dim in (Dim.TOKENS, Dim.PATCHES))
        return kernels.rotary(tape, value, kernels.rotary_table(tape, 1, tokens, self.rotary), f"{value.name}, rotated")

    def masked(self, tokens: int) -> bool:
        """Whether a window or chunk shorter than the sequence forces an explicit mask."""
        reach = self.window or self.chunk
        return self.causal and reach is not None and tokens >= reach

    def kernel(self, tape: Tape, x: Value, k: Value) -> Kernel:
        """The kernel that PyTorch picks for this layer and these shapes."""
        tokens = next((e.size for e in k.dims if e.dim in (Dim.TOKENS, Dim.SOURCE_TOKENS, Dim.PATCHES)), 1)
        return pick(
            tape.how.attention,
            half=tape.how.compute.bytes == 2,
            masked=self.masked(tokens) or bool(self.shared_bias),
            grouped=self.kv_heads != self.heads,
            head=self.head,
            value_head=self.values_head,
            has_sdpa=self.has_sdpa,
        )

    def _scores(self, tape: Tape, q: Value, k: Value) -> Scores:
        tokens = next((e.size for e in k.dims if e.dim in (Dim.TOKENS, Dim.SOURCE_TOKENS, Dim.PATCHES)), 1)
        return Scores(
            masked=self.masked(tokens) or (self.causal and tape.how.attention == "eager"),
            softmax32=self.softmax32,
            soft_cap=self.soft_cap,
            bias=self._bias(tape, q, k, tokens),
            dropout=self.dropout,
            scaled=self.scaled,
        )

    def _bias(self, tape: Tape, q: Value, k: Value, tokens: int) -> Value | None:
        if not self.shared_bias:
            return None
        rows = next(e for e in q.dims if e.dim in (Dim.TOKENS, Dim.SOURCE_TOKENS))
        shape = (*dims((Dim.HEADS, self.heads)), rows, *dims((Dim.KEY_TOKENS, tokens)))
        return tape.shared(f"position bias ({self.shared_bias})", shape, tape.how.stored)

    def edited(self, **changes: object) -> Attention:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
