"""Attention with keys and values a head: multi-head, grouped, multi-query, windowed, cross, with or without extras.

One class covers everything that caches "K and V per head, over some tokens"; latent attention is another kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge.formats import BFLOAT16, BOOL, FLOAT32, INT64
from gauge.layers.attention_kernels import Kernel, Scores, attend, pick, repeat_heads
from gauge.layers.linear import Linear, Shape, adapted_together
from gauge.layers.norm import Kind, Norm
from gauge.layers.rotary import resized, rotate, tables_of
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

    `rotary_joined`: the rotated part is concatenated with the rest of the head, so that the output comes in heads-first
    order and is copied; `rotary_tables`: each layer repeats the tables for itself, once or for queries and keys apart.
    `norms` and `norm_kind` describe q/k norms, `value_norm` one without weight over the values.
    `gate`: a sigmoid gate on the output, from a doubled query projection (`query`), or from its own projection with
    one number a head (`head`) or as many as the output has (`full`). `borrows`: keys and values come from an earlier
    layer's cache. `value_from_key`: the key projection serves for the values too. `heads_first`: queries are scaled by
    an operator of their own, and queries, keys and values copied into heads-first order (Whisper); `scales_queries`
    and `copies_heads` are either alone (OPT, BLOOM). `alibi`: a slope a head is added to the scores. `broadcasts`: keys
    and values are copied to all heads before attention (Falcon 40B). `out_norm` names a norm over all heads' outputs
    (BitNet). `clamped`: masked scores are compared with the least number (XGLM). `narrow`: the output's width where it
    is not the input's (Zamba). `mask_buffer` and `rotary_buffer` are the positions for which each layer holds its own
    causal mask or table of sines.
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
    norm_kind: Kind = "rms"
    norm_bias: bool = False
    norm_affine: bool = True
    norm_names: tuple[str, str] = ("q_norm", "k_norm")
    norm_after_rotary: bool = False
    value_norm: bool = False
    window: int | None = None
    chunk: int | None = None
    causal: bool = True
    cross: int | None = None
    rotary: int = 0
    rotary_joined: bool = False
    rotary_tables: int = 0
    rotary_scope: str = ""
    gate: str = ""
    borrows: bool = False
    value_from_key: bool = False
    relative_buckets: int = 0
    shared_bias: str = ""
    softmax32: bool = True
    scores32: bool = False
    multi_query_math: bool = False
    soft_cap: bool = False
    sinks: bool = False
    scaled: bool = True
    dropout: float = 0.0
    out_dropout: float = 0.0
    has_sdpa: bool = True
    clamped: bool = False
    copies_output: bool = False
    heads_first: bool = False
    copies_heads: bool = False
    scales_queries: bool = False
    alibi: bool = False
    broadcasts: bool = False
    narrow: int = 0
    mask_buffer: int = 0
    rotary_buffer: int = 0
    caches: bool = True
    names: tuple[str, str, str, str] = ("q_proj", "k_proj", "v_proj", "o_proj")
    gate_name: str = "g_proj"
    out_norm: str = ""

    # ---------------------------------------------------------------- weights
    @property
    def values_head(self) -> int:
        """Numbers in one value head."""
        return self.head if self.value_head is None else self.value_head

    @property
    def query(self) -> Linear:
        """(heads, head, hidden); twice as wide where it makes the output's gate too."""
        out = ((Dim.HEADS, self.heads), (Dim.HEAD, self.head * (2 if self.gate == "query" else 1)))
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
    def gate_projection(self) -> Linear:
        """(heads or heads × value head, hidden): what the output is multiplied with after a sigmoid."""
        out: Shape = ((Dim.HEADS, self.heads),)
        if self.gate == "full":
            out = (*out, (Dim.HEAD, self.values_head))
        return Linear(self.gate_name, "attention_gate", out, ((Dim.HIDDEN, self.hidden),))

    @property
    def output(self) -> Linear:
        """(hidden, heads, value head)."""
        inp = ((Dim.HEADS, self.heads), (Dim.HEAD, self.values_head))
        out = ((Dim.HIDDEN, self.narrow or self.hidden),)
        return Linear(self.names[3], "attention_output", out, inp, self.out_bias)

    def norm(self, which: int) -> Norm:
        """The norm over queries (0) or keys (1): a head's size, or all heads together."""
        heads = ((Dim.HEADS, self.heads), (Dim.KV_HEADS, self.kv_heads))[which]
        own = heads if self.norms in ("full", "heads") else None
        joint = self.norms == "full"
        return Norm(self.norm_names[which], self.head, self.norm_kind, self.norm_bias, self.norm_affine, Dim.HEAD, own, joint)

    def _projections(self) -> Iterator[Linear]:
        if self.fused:
            yield self.qkv
        else:
            yield self.query
            if not self.borrows:
                yield self.key
                if not self.value_from_key:
                    yield self.value
        if self.gate in ("head", "full"):
            yield self.gate_projection
        yield self.output

    def weights(self) -> Iterator[Tensor]:
        """Projections, norms, relative biases and sinks."""
        for linear in self._projections():
            yield from linear.weights()
        if self.norms:
            yield from self.norm(0).weights()
            if not self.borrows:
                yield from self.norm(1).weights()
        if self.out_norm:
            yield from self._output_norm().weights()
        if self.relative_buckets:
            yield self._relative_table()
        if self.sinks:
            yield Tensor("sinks", dims((Dim.HEADS, self.heads)), BFLOAT16, role="sinks")

    def _output_norm(self) -> Norm:
        return Norm(self.out_norm, self.values_head, over=Dim.HEAD, heads=(Dim.HEADS, self.heads), joint=True)

    def _relative_table(self) -> Tensor:
        shape = dims((Dim.POSITIONS, self.relative_buckets), (Dim.HEADS, self.heads))
        return Tensor("relative_attention_bias.weight", shape, BFLOAT16, role="relative_bias")

    def buffers(self) -> Iterator[Tensor]:
        """Tables that the layer holds beside its weights: a one-byte mask, sines and cosines in float32."""
        if self.mask_buffer:
            square = dims((Dim.POSITIONS, self.mask_buffer), (Dim.KEY_TOKENS, self.mask_buffer))
            yield Tensor("causal mask", square, BOOL, trainable=False, role="buffer")
        if self.rotary_buffer:
            table = dims((Dim.POSITIONS, self.rotary_buffer), (Dim.HEAD, self.rotary))
            yield Tensor("rotary table", table, FLOAT32, trainable=False, role="buffer")

    # ---------------------------------------------------------------- state
    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """Keys and values of the tokens that later tokens may still attend to: 2 × (batch, tokens, kv_heads, head)."""
        if not self.caches or self.borrows:
            return
        tokens = sequence.source_tokens if self.cross else sequence.kept(self.window, self.chunk)
        where = Dim.SOURCE_TOKENS if self.cross else Dim.TOKENS
        for name, size in (("key", self.head), ("value", self.values_head)):
            shape = ((Dim.BATCH, sequence.batch), (where, tokens), (Dim.KV_HEADS, self.kv_heads), (Dim.HEAD, size))
            yield Tensor(f"{name} cache", dims(*shape), BFLOAT16, role=f"{'cross_' if self.cross else ''}{name}_cache")

    # ---------------------------------------------------------------- forward
    def forward(self, tape: Tape, x: Value, source: Value | None = None) -> Value:
        """Project, norm, rotate, attend, gate, project back."""
        with tape.hold(x):
            q, k, v = self._projected(tape, x, x if source is None else source)
            if self.heads_first or self.scales_queries:
                q = tape.op("mul", (q,), q.dims, q.format, label="scaled queries")
            if self.heads_first or self.copies_heads:
                q, k, v = (tape.contiguous(value, f"{value.name}, heads first") for value in (q, k, v))
            gate = tape.alias(q, q.dims, "gate") if self.gate == "query" else None
            if self.norms and not self.norm_after_rotary:
                q, k = self._normed(tape, q, k)
            if self.value_norm:
                v = Norm("v_norm", self.values_head, "rms", affine=False, over=Dim.HEAD)(tape, v)
            spread = self._spread(tape)
            if tape.how.fused_qkv and spread:
                k, v = repeat_heads(tape, k, q, "keys"), repeat_heads(tape, v, q, "values")
            if self.rotary:
                q, k = self._rotated(tape, q, k)
            if self.norms and self.norm_after_rotary:
                q, k = self._normed(tape, q, k)
            if spread and not tape.how.fused_qkv:
                k, v = repeat_heads(tape, k, q, "keys"), repeat_heads(tape, v, q, "values")
            kernel = self.kernel(tape, x, k)
            out = attend(tape, kernel, q, k, v, self._scores(tape, kernel, q, k))
            if (self.copies_output or self.rotary_joined) and kernel == "flash":
                out = tape.contiguous(out, "attention output, reordered")
            out = self._gated(tape, x, out, gate)
            out = self._output_norm()(tape, out) if self.out_norm else out
        return tape.dropout(self.output(tape, out), self.out_dropout)

    def _spread(self, tape: Tape) -> bool:
        """Whether keys and values are copied to all heads before attention."""
        return self.broadcasts or (tape.how.spread_heads and not self.cross)

    def _normed(self, tape: Tape, q: Value, k: Value) -> tuple[Value, Value]:
        return self.norm(0)(tape, q), k if self.borrows else self.norm(1)(tape, k)

    def _gated(self, tape: Tape, x: Value, out: Value, gate: Value | None) -> Value:
        if not self.gate:
            return out
        raw = self.gate_projection(tape, x, "output gate") if gate is None else gate
        if gate is not None:
            raw = tape.contiguous(gate, "output gate", out.dims)
        return tape.mul(out, tape.unary("sigmoid", raw, keeps="output", label="open gate"), label="gated output")

    def _projected(self, tape: Tape, x: Value, source: Value) -> tuple[Value, Value, Value]:
        if tape.how.fused_qkv and source is x and not (self.gate or self.borrows or self.value_from_key):
            return self._joined(tape, x)
        if self.fused:
            return self._split(tape, self.qkv(tape, x, "queries, keys and values"))
        q = self.query(tape, x, "queries")
        if self.gate == "query":
            q = tape.alias(q, resized(q.dims, self.head))
        if self.borrows:
            return q, self._borrowed(tape, q, "key", self.head), self._borrowed(tape, q, "value", self.values_head)
        k = self.key(tape, source, "keys")
        return q, k, k if self.value_from_key else self.value(tape, source, "values")

    def _joined(self, tape: Tape, x: Value) -> tuple[Value, Value, Value]:
        """One matrix with one adapter over what is adapted of queries, keys and values (LitGPT's LoRAQKVLinear)."""
        plan = tape.how.adapters
        thirds = (self.query, self.key, self.value)
        both = self.qkv.base(tape, x, "queries, keys and values")
        adapted = [m for m in thirds if plan is not None and plan.adapts(m.name if not self.fused else "", m.role)]
        if plan is not None and adapted:
            both = adapted_together(tape, x, both, adapted, plan)
        return self._split(tape, both)

    def _split(self, tape: Tape, both: Value) -> tuple[Value, Value, Value]:
        rows = tuple(e for e in both.dims if e.dim not in (Dim.MATRICES, Dim.HEADS, Dim.HEAD))
        q = (*rows, *dims((Dim.HEADS, self.heads), (Dim.HEAD, self.head)))
        kv = (*rows, *dims((Dim.KV_HEADS, self.kv_heads), (Dim.HEAD, self.head)))
        return tape.alias(both, q), tape.alias(both, kv), tape.alias(both, kv)

    def _borrowed(self, tape: Tape, q: Value, what: str, size: int) -> Value:
        rows = tuple(e for e in q.dims if e.dim not in (Dim.HEADS, Dim.HEAD))
        shape = (*rows, *dims((Dim.KV_HEADS, self.kv_heads), (Dim.HEAD, size)))
        return tape.shared(f"{what}s of an earlier layer ({self.window})", shape, q.format, q.grad)

    def _rotated(self, tape: Tape, q: Value, k: Value) -> tuple[Value, Value]:
        tables = [tables_of(tape, q, self.rotary, self.rotary_scope, own=self.rotary_tables > 0)]
        if self.rotary_tables > 1:
            tables.append(tables_of(tape, k, self.rotary, self.rotary_scope, own=True))
        turned = rotate(tape, q, self.rotary, tables[0], joined=self.rotary_joined)
        return turned, k if self.borrows else rotate(tape, k, self.rotary, tables[-1], joined=self.rotary_joined)

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
            masked=self.masked(tokens) or bool(self.shared_bias) or self.alibi,
            grouped=self.kv_heads != self.heads and not self._spread(tape),
            head=self.head,
            value_head=self.values_head,
            has_sdpa=self.has_sdpa,
            multi_query_math=self.multi_query_math,
        )

    def _scores(self, tape: Tape, kernel: Kernel, q: Value, k: Value) -> Scores:
        tokens = next((e.size for e in k.dims if e.dim in (Dim.TOKENS, Dim.SOURCE_TOKENS, Dim.PATCHES)), 1)
        return Scores(
            masked=self.masked(tokens) or self.alibi or (self.causal and kernel == "eager"),
            softmax32=self.softmax32,
            scores32=self.scores32,
            sinks=self.sinks,
            soft_cap=self.soft_cap,
            bias=self._bias(tape, q, k, tokens),
            bias_copied=not self.cross,
            bias_masked=self.causal,
            mask=f" ({self.window or self.chunk} tokens)" if self.window or self.chunk else "",
            dropout=self.dropout,
            scaled=self.scaled,
            clamped=self.clamped,
            broadcast=self.multi_query_math,
        )

    def _bias(self, tape: Tape, q: Value, k: Value, tokens: int) -> Value | None:
        if not self.shared_bias:
            return None
        rows = next(e for e in q.dims if e.dim in (Dim.TOKENS, Dim.SOURCE_TOKENS))
        keys = dims((Dim.KEY_TOKENS, tokens))
        name, shape = f"position bias ({self.shared_bias})", (*dims((Dim.HEADS, self.heads)), rows, *keys)
        bias = tape.shared(name, shape, tape.how.compute if self.cross else tape.how.stored, grad=not self.cross)
        if self.relative_buckets:
            buckets = tape.allocate(f"buckets of {name}", (rows, *keys), INT64)
            tape.make(bias, "embedding", saves=(buckets,), weights=(tape.weight(self._relative_table()),))
        return bias

    def edited(self, **changes: object) -> Attention:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
