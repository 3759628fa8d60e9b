"""Multi-head latent attention: caches one compressed vector a token instead of keys and values a head.

Source: DeepSeek-V2 (arXiv 2405.04434), section 2.1; transformers 5.23 models/deepseek_v3/modeling_deepseek_v3.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16
from gauge.layers.attention_kernels import Scores, attend, pick
from gauge.layers.linear import Linear, Shape
from gauge.layers.norm import Norm
from gauge.layers.rotary import rotate, tables_of
from gauge.sequence import Sequence
from gauge.tape import Dims, Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexer:
    """Picks the tokens that sparse attention reads: its own narrow queries, one key a token, head weights.

    `query_from` is the width that its queries are made of. `pool` tokens share one key; `top` of them are read.
    Source: DeepSeek-V3.2 report, section 2.1; transformers 5.23 models/deepseek_v32.
    """

    hidden: int
    heads: int
    head: int
    query_from: int
    norm_bias: bool = True
    pool: int = 1
    top: int = 2048

    def weights(self) -> Iterator[Tensor]:
        """Query, key and head-weight projections, the key's norm, and what pools keys where `pool` tokens share one."""
        out = ((Dim.GROUPS, self.heads), (Dim.HEAD, self.head))
        inp = (Dim.LATENT if self.query_from != self.hidden else Dim.HIDDEN, self.query_from)
        yield from Linear("indexer.wq_b", "indexer_query", out, (inp,)).weights()
        yield from Linear("indexer.wk", "indexer_key", ((Dim.HEAD, self.head),), ((Dim.HIDDEN, self.hidden),)).weights()
        yield from Norm("indexer.k_norm", self.head, "layer", bias=self.norm_bias, over=Dim.HEAD).weights()
        heads = ((Dim.GROUPS, self.heads),)
        yield from Linear("indexer.weights_proj", "indexer_weights", heads, ((Dim.HIDDEN, self.hidden),)).weights()
        if self.pool > 1:
            shape = dims((Dim.POSITIONS, self.pool), (Dim.HEAD, self.head))
            yield Tensor("indexer.index_kpool_compress_ape", shape, BFLOAT16, role="indexer_position")
            gate = dims((Dim.HEAD, self.head), (Dim.HIDDEN, self.hidden))
            yield Tensor("indexer.index_kpool_compress_gate", gate, BFLOAT16, role="indexer_gate")

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """One index key a token: (batch, tokens, head)."""
        tokens = -(-sequence.kept() // self.pool)
        shape = dims((Dim.BATCH, sequence.batch), (Dim.TOKENS, tokens), (Dim.HEAD, self.head))
        yield Tensor("index key cache", shape, BFLOAT16, role="index_cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention:
    """Queries and keys made of an unrotated part (`nope`) and a rotated one (`rope`); values of `value_head`.

    `query_rank` is the queries' own bottleneck (None: none), `kv_rank` the width that keys and values are compressed
    to. `gate`: a sigmoid gate from a projection of the input, as wide as the output (`full`) or one number a `head`.
    """

    hidden: int
    heads: int
    kv_rank: int
    query_rank: int | None
    nope: int
    rope: int
    value_head: int
    bias: bool = False
    nope_only: bool = False
    gate: str = ""
    gate_name: str = "g_proj"
    indexer: Indexer | None = None
    dropout: float = 0.0
    has_sdpa: bool = True

    @property
    def head(self) -> int:
        """Numbers in one query or key head."""
        return self.nope + self.rope

    # ---------------------------------------------------------------- weights
    @property
    def _heads_out(self) -> tuple[tuple[Dim, int], ...]:
        return ((Dim.HEADS, self.heads), (Dim.HEAD, self.head))

    @property
    def query(self) -> Linear:
        """(heads, head, hidden), where queries have no bottleneck."""
        return Linear("q_proj", "query", self._heads_out, ((Dim.HIDDEN, self.hidden),))

    @property
    def query_down(self) -> Linear:
        """(query rank, hidden)."""
        out = ((Dim.LATENT, self.query_rank or 0),)
        return Linear("q_a_proj", "latent_query_down", out, ((Dim.HIDDEN, self.hidden),), self.bias)

    @property
    def query_up(self) -> Linear:
        """(heads, head, query rank)."""
        return Linear("q_b_proj", "latent_query_up", self._heads_out, ((Dim.LATENT, self.query_rank or 0),))

    @property
    def kv_down(self) -> Linear:
        """(kv rank + rotated key, hidden): its output is what inference caches."""
        out = ((Dim.LATENT, self.kv_rank + self.rope),)
        return Linear("kv_a_proj_with_mqa", "latent_kv_down", out, ((Dim.HIDDEN, self.hidden),), self.bias)

    @property
    def kv_up(self) -> Linear:
        """(heads, unrotated key + value, kv rank)."""
        out = ((Dim.HEADS, self.heads), (Dim.HEAD, self.nope + self.value_head))
        return Linear("kv_b_proj", "latent_kv_up", out, ((Dim.LATENT, self.kv_rank),))

    @property
    def output(self) -> Linear:
        """(hidden, heads, value head)."""
        inp = ((Dim.HEADS, self.heads), (Dim.HEAD, self.value_head))
        return Linear("o_proj", "attention_output", ((Dim.HIDDEN, self.hidden),), inp, self.bias)

    @property
    def gate_projection(self) -> Linear:
        """(heads, value head, hidden), or one number a head."""
        out: Shape = ((Dim.HEADS, self.heads),)
        if self.gate == "full":
            out = (*out, (Dim.HEAD, self.value_head))
        return Linear(self.gate_name, "attention_gate", out, ((Dim.HIDDEN, self.hidden),))

    @property
    def query_norm(self) -> Norm:
        """Over the query bottleneck."""
        return Norm("q_a_layernorm", self.query_rank or 0, over=Dim.LATENT)

    @property
    def kv_norm(self) -> Norm:
        """Over the compressed keys and values, without the rotated key."""
        return Norm("kv_a_layernorm", self.kv_rank, over=Dim.LATENT)

    def weights(self) -> Iterator[Tensor]:
        """Projections down and up, their norms, the indexer."""
        if self.query_rank is None:
            yield from self.query.weights()
        else:
            yield from self.query_down.weights()
            yield from self.query_norm.weights()
            yield from self.query_up.weights()
        yield from self.kv_down.weights()
        yield from self.kv_norm.weights()
        yield from self.kv_up.weights()
        if self.gate:
            yield from self.gate_projection.weights()
        yield from self.output.weights()
        if self.indexer:
            yield from self.indexer.weights()

    # ---------------------------------------------------------------- state
    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The compressed keys and values and the one rotated key of each token: (batch, tokens, kv rank + rope)."""
        shape = ((Dim.BATCH, sequence.batch), (Dim.TOKENS, sequence.kept()), (Dim.LATENT, self.kv_rank + self.rope))
        yield Tensor("latent cache", dims(*shape), BFLOAT16, role="latent_cache")
        if self.indexer:
            yield from self.indexer.state(sequence)

    # ---------------------------------------------------------------- forward
    def forward(self, tape: Tape, x: Value) -> Value:
        """Compress, rotate the shared part, expand to heads, attend, project back."""
        with tape.hold(x):
            q = self._queries(tape, x)
            k, v = self._keys_and_values(tape, x)
            kernel = pick(
                tape.how.attention,
                half=tape.how.compute.bytes == 2,
                masked=False,
                grouped=False,
                head=self.head,
                value_head=self.value_head,
                has_sdpa=self.has_sdpa,
            )
            out = attend(tape, kernel, q, k, v, Scores(masked=tape.how.attention == "eager", dropout=self.dropout))
            if self.gate:
                open_ = tape.unary("sigmoid", self.gate_projection(tape, x), keeps="output", label="open gate")
                out = tape.mul(out, open_, label="gated output")
        return self.output(tape, out)

    def _queries(self, tape: Tape, x: Value) -> Value:
        if self.query_rank is None:
            q = self.query(tape, x, "queries")
        else:
            q = self.query_up(tape, self.query_norm(tape, self.query_down(tape, x, "query latent")), "queries")
        if not self.rope or self.nope_only:
            return q
        with tape.hold(q):
            turned = self._turned(tape, tape.alias(q, _sized(q, self.rope)))
            return tape.concat((q, turned), q.dims, "queries, rotated")

    def _keys_and_values(self, tape: Tape, x: Value) -> tuple[Value, Value]:
        both = self.kv_down(tape, x, "latent and rotated key")
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        latent = self.kv_norm(tape, tape.alias(both, (*rows, *dims((Dim.LATENT, self.kv_rank)))))
        shared_key = tape.alias(both, (*rows, *dims((Dim.HEAD, self.rope))))
        if self.rope and not self.nope_only:
            shared_key = self._turned(tape, shared_key)
        expanded = self.kv_up(tape, latent, "keys and values")
        with tape.hold(expanded):
            keys = (*rows, *dims((Dim.HEADS, self.heads), (Dim.HEAD, self.head)))
            k = tape.concat((expanded, shared_key), keys, "keys") if self.rope else tape.alias(expanded, keys)
            values = (*rows, *dims((Dim.HEADS, self.heads), (Dim.HEAD, self.value_head)))
            return k, tape.alias(expanded, values)

    def _turned(self, tape: Tape, part: Value) -> Value:
        return rotate(tape, part, self.rope, tables_of(tape, part, self.rope), joined=False)


def _sized(value: Value, size: int) -> Dims:
    last = value.dims[-1]
    return (*value.dims[:-1], last._replace(size=size, whole=size))
