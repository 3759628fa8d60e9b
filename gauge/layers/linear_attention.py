"""Linear attention: a state matrix a head instead of a cache, updated by a gated delta rule or a plain decay.

Sources: Gated DeltaNet arXiv 2412.06464; Kimi Delta Attention arXiv 2510.26692; Lightning Attention arXiv 2501.08313;
RWKV-4 arXiv 2305.13048; transformers 5.23 models/qwen3_next, kimi_linear, minimax, rwkv.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import FLOAT32, Format
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.layers.state_space import ShortFilter, vector
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


def matrix_state(sequence: Sequence, heads: int, key: int, value: int, format: Format = FLOAT32) -> Tensor:
    """(batch, heads, key, value): what the past is folded into."""
    shape = dims((Dim.BATCH, sequence.batch), (Dim.HEADS, heads), (Dim.STATE, key), (Dim.HEAD, value))
    return Tensor("state", shape, format, role="linear_state")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedDeltaNet:
    """`key_heads` query and key heads, `value_heads` value heads, a short convolution over all three.

    `split` says how the input projections are cut: `fused` (Qwen3-Next: qkvz and ba), `parts` (Qwen3.5: qkv, z, b, a)
    or `each` (OLMo Hybrid: q, k, v, a, b, g).
    """

    hidden: int
    key_heads: int
    value_heads: int
    key_head: int
    value_head: int
    taps: int = 4
    split: str = "fused"

    @property
    def keys(self) -> int:
        """Key width."""
        return self.key_heads * self.key_head

    @property
    def values(self) -> int:
        """Value width."""
        return self.value_heads * self.value_head

    @property
    def filtered(self) -> int:
        """Channels of the convolution."""
        return 2 * self.keys + self.values

    def _map(self, name: str, role: str, width: int, dim: Dim = Dim.INNER) -> Linear:
        return Linear(name, role, ((dim, width),), ((Dim.HIDDEN, self.hidden),))

    def inputs(self) -> tuple[Linear, ...]:
        """The projections of the input, as the family cuts them."""
        if self.split == "fused":
            return (
                self._map("in_proj_qkvz", "linear_qkvz", self.filtered + self.values),
                self._map("in_proj_ba", "linear_ba", 2 * self.value_heads, Dim.HEADS),
            )
        steps = [self._map(f"in_proj_{n}", f"linear_{n}", self.value_heads, Dim.HEADS) for n in ("b", "a")]
        if self.split == "parts":
            return (
                self._map("in_proj_qkv", "linear_qkv", self.filtered),
                self._map("in_proj_z", "linear_gate", self.values),
                *steps,
            )
        return (
            self._map("q_proj", "linear_query", self.keys),
            self._map("k_proj", "linear_key", self.keys),
            self._map("v_proj", "linear_value", self.values),
            *(self._map(f"{n}_proj", f"linear_{n}", self.value_heads, Dim.HEADS) for n in ("a", "b")),
            self._map("g_proj", "linear_gate", self.values),
        )

    @property
    def conv(self) -> ShortFilter:
        """One convolution over queries, keys and values."""
        return ShortFilter("conv1d", self.filtered, self.taps, False)

    @property
    def norm(self) -> Norm:
        """Over one value head, before the gate."""
        return Norm("norm", self.value_head, over=Dim.HEAD)

    @property
    def out(self) -> Linear:
        """(hidden, values)."""
        return Linear("out_proj", "linear_out", ((Dim.HIDDEN, self.hidden),), ((Dim.INNER, self.values),))

    def _vectors(self) -> Iterator[Tensor]:
        yield vector("dt_bias", "ssm_dt_bias", (Dim.HEADS, self.value_heads))
        yield vector("A_log", "ssm_a", (Dim.HEADS, self.value_heads))

    def weights(self) -> Iterator[Tensor]:
        """Projections, convolutions, decay and step, norm."""
        for linear in self.inputs():
            yield from linear.weights()
        yield from self.conv.weights()
        yield from self._vectors()
        yield from self.norm.weights()
        yield from self.out.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The last inputs of the convolutions, and a (key, value) matrix a value head in float32."""
        yield self.conv.state(sequence)
        yield matrix_state(sequence, self.value_heads, self.key_head, self.value_head)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Project, filter, run the delta rule in chunks, norm and gate, project back."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        with tape.hold(x):
            made = [linear(tape, x) for linear in self.inputs()]
            wide = (*rows, *dims((Dim.INNER, self.filtered)))
            qkv, others = made[0], made[1:]
            if self.split == "each":
                qkv, others = tape.concat(made[:3], wide, "queries, keys and values"), made[3:]
            filtered = self.conv(tape, qkv, wide)
            gates = tape.allocate("decay and step", (*rows, *dims((Dim.HEADS, 2 * self.value_heads))), FLOAT32)
            shape = (*rows, *dims((Dim.HEADS, self.value_heads), (Dim.HEAD, self.value_head)))
            mixed = tape.op(
                "chunk_gated_delta_rule",
                (filtered, *others),
                shape,
                x.format,
                label="delta rule output",
                saves=(filtered.storage, gates),
                weights=tuple(tape.weight(t) for t in self._vectors()),
            )
            normed = self.norm(tape, mixed)
            source = {"fused": made[0], "parts": made[1]}.get(self.split, made[-1])
            gate = tape.unary("silu", tape.alias(source, shape), label="gate")
            out = tape.mul(normed, gate, label="gated output")
        flat = tape.alias(out, (*rows, *dims((Dim.INNER, self.values))))
        return self.out(tape, flat)


@dataclass(frozen=True, slots=True, kw_only=True)
class KimiDelta:
    """Kimi Delta Attention: a decay for every channel.

    `decay` and `gate` are each made by a bottleneck as wide as a head (`low`) or by one projection (`full`). `padded`:
    the decays' vector is as long as a head, though there are fewer heads (Kimi K3).
    """

    hidden: int
    heads: int
    head: int
    taps: int = 4
    decay: str = "low"
    gate: str = "low"
    padded: bool = False

    @property
    def inner(self) -> int:
        """heads × head."""
        return self.heads * self.head

    def _wide(self, name: str, role: str) -> Linear:
        return Linear(name, role, ((Dim.INNER, self.inner),), ((Dim.HIDDEN, self.hidden),))

    def _made(self, letter: str, kind: str, role: str) -> tuple[Linear, ...]:
        """One projection, or one down to a head's size and one up."""
        if kind == "full":
            return (self._wide(f"{letter}_proj", role),)
        down = ((Dim.RANK, self.head),)
        return (
            Linear(f"{letter}_a_proj", f"{role}_down", down, ((Dim.HIDDEN, self.hidden),)),
            Linear(f"{letter}_b_proj", f"{role}_up", ((Dim.INNER, self.inner),), down),
        )

    @property
    def qkv(self) -> tuple[Linear, ...]:
        """Queries, keys and values, each (inner, hidden)."""
        return tuple(self._wide(f"{n}_proj", f"linear_{w}") for n, w in (("q", "query"), ("k", "key"), ("v", "value")))

    @property
    def decays(self) -> tuple[Linear, ...]:
        """What the decay is made by."""
        return self._made("f", self.decay, "linear_decay")

    @property
    def gates(self) -> tuple[Linear, ...]:
        """What the output's gate is made by."""
        return self._made("g", self.gate, "linear_gate")

    @property
    def step(self) -> Linear:
        """(heads, hidden)."""
        return Linear("b_proj", "linear_b", ((Dim.HEADS, self.heads),), ((Dim.HIDDEN, self.hidden),))

    @property
    def conv(self) -> ShortFilter:
        """One convolution over queries, keys and values."""
        return ShortFilter("conv1d", 3 * self.inner, self.taps, False)

    @property
    def out(self) -> Linear:
        """(hidden, inner)."""
        return Linear("o_proj", "linear_out", ((Dim.HIDDEN, self.hidden),), ((Dim.INNER, self.inner),))

    @property
    def norm(self) -> Norm:
        """Over one head."""
        return Norm("o_norm", self.head, over=Dim.HEAD)

    def _vectors(self) -> Iterator[Tensor]:
        yield vector("A_log", "ssm_a", (Dim.HEADS, max(self.heads, self.head) if self.padded else self.heads))
        yield vector("dt_bias", "ssm_dt_bias", (Dim.INNER, self.inner))

    def weights(self) -> Iterator[Tensor]:
        """Projections, convolution, decay and step, norm."""
        for linear in (*self.qkv, *self.decays, self.step, *self.gates):
            yield from linear.weights()
        yield from self.conv.weights()
        yield from self._vectors()
        yield from self.norm.weights()
        yield from self.out.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The last inputs of the convolution, and a (head, head) matrix a head in float32."""
        yield self.conv.state(sequence)
        yield matrix_state(sequence, self.heads, self.head, self.head)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Project, filter, run the delta rule in chunks, norm and gate, project back."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        wide = (*rows, *dims((Dim.HEADS, self.heads), (Dim.HEAD, self.head)))
        joined = (*rows, *dims((Dim.INNER, 3 * self.inner)))
        with tape.hold(x):
            qkv = tape.concat([p(tape, x) for p in self.qkv], joined, "queries, keys and values")
            filtered = self.conv(tape, qkv, joined)
            slow, beta = _chain(tape, self.decays, x), self.step(tape, x)
            read = (filtered, slow, beta)
            weights = tuple(tape.weight(t) for t in self._vectors())
            kept = tuple(v.storage for v in read)
            mixed = tape.op("chunk_kda", read, wide, x.format, label="delta rule output", saves=kept, weights=weights)
            gate = tape.alias(_chain(tape, self.gates, x), wide)
            opened = tape.unary("sigmoid", gate, keeps="output", label="open gate")
            out = tape.mul(self.norm(tape, mixed), opened, label="gated output")
        return self.out(tape, tape.alias(out, (*rows, *dims((Dim.INNER, self.inner)))))


def _chain(tape: Tape, maps: tuple[Linear, ...], x: Value) -> Value:
    for linear in maps:
        x = linear(tape, x)
    return x


@dataclass(frozen=True, slots=True, kw_only=True)
class Lightning:
    """A fixed decay a head; queries, keys and values from one projection, the output normed and gated (MiniMax)."""

    hidden: int
    heads: int
    head: int

    @property
    def inner(self) -> int:
        """heads × head."""
        return self.heads * self.head

    @property
    def qkv(self) -> Linear:
        """(3 × inner, hidden)."""
        out = ((Dim.MATRICES, 3), (Dim.HEADS, self.heads), (Dim.HEAD, self.head))
        return Linear("qkv_proj", "linear_qkv", out, ((Dim.HIDDEN, self.hidden),))

    @property
    def gate(self) -> Linear:
        """(inner, hidden)."""
        out = ((Dim.HEADS, self.heads), (Dim.HEAD, self.head))
        return Linear("output_gate", "linear_gate", out, ((Dim.HIDDEN, self.hidden),))

    @property
    def norm(self) -> Norm:
        """Over all heads together."""
        return Norm("norm", self.head, over=Dim.HEAD, heads=(Dim.HEADS, self.heads))

    @property
    def out(self) -> Linear:
        """(hidden, inner)."""
        inp = ((Dim.HEADS, self.heads), (Dim.HEAD, self.head))
        return Linear("out_proj", "linear_out", ((Dim.HIDDEN, self.hidden),), inp)

    def weights(self) -> Iterator[Tensor]:
        """Projections, gate, norm."""
        yield from self.qkv.weights()
        yield from self.gate.weights()
        yield from self.norm.weights()
        yield from self.out.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """A (head, head) matrix a head in float32."""
        yield matrix_state(sequence, self.heads, self.head, self.head)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Project and activate, mix with decay, norm and gate, project back."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        wide = (*rows, *dims((Dim.HEADS, self.heads), (Dim.HEAD, self.head)))
        with tape.hold(x):
            qkv = tape.unary("silu", self.qkv(tape, x, "queries, keys and values"), label="activated")
            mixed = tape.op("lightning", (qkv,), wide, x.format, label="mixed values", saves=(qkv.storage,))
            opened = tape.unary("sigmoid", self.gate(tape, x), keeps="output", label="open gate")
            out = tape.mul(opened, self.norm(tape, mixed), label="gated output")
        return self.out(tape, out)


@dataclass(frozen=True, slots=True, kw_only=True)
class RwkvMixing:
    """RWKV-4's time mixing: decay and first weights a channel, mixes with the token before."""

    hidden: int
    inner: int

    def _map(self, name: str, role: str) -> Linear:
        return Linear(name, role, ((Dim.INNER, self.inner),), ((Dim.HIDDEN, self.hidden),))

    @property
    def out(self) -> Linear:
        """(hidden, inner)."""
        return Linear("output", "linear_out", ((Dim.HIDDEN, self.hidden),), ((Dim.INNER, self.inner),))

    def _maps(self) -> tuple[Linear, ...]:
        return (
            self._map("key", "linear_key"),
            self._map("value", "linear_value"),
            self._map("receptance", "linear_gate"),
        )

    def _vectors(self) -> Iterator[Tensor]:
        yield vector("time_decay", "linear_decay", (Dim.INNER, self.inner))
        yield vector("time_first", "linear_first", (Dim.INNER, self.inner))
        for name in ("key", "value", "receptance"):
            yield vector(f"time_mix_{name}", "linear_mix", (Dim.HIDDEN, self.hidden))

    def weights(self) -> Iterator[Tensor]:
        """Projections and channel vectors."""
        yield from self._vectors()
        for linear in (*self._maps(), self.out):
            yield from linear.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The last input, and numerator, denominator and maximum a channel in float32."""
        shape = dims((Dim.BATCH, sequence.batch), (Dim.HIDDEN, self.hidden))
        yield Tensor("last input of time mixing", shape, FLOAT32, role="shift_state")
        inner = dims((Dim.BATCH, sequence.batch), (Dim.MATRICES, 3), (Dim.INNER, self.inner))
        yield Tensor("state", inner, FLOAT32, role="linear_state")

    def forward(self, tape: Tape, x: Value) -> Value:
        """Mix with the token before, project, scan, gate, project back."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        with tape.hold(x):
            mixes = [_mix(tape, x, w) for w in self._vectors() if w.role == "linear_mix"]
            k, v, r = (linear(tape, mix) for linear, mix in zip(self._maps(), mixes, strict=True))
            opened = tape.unary("sigmoid", r, keeps="output", label="receptance")
            own = tuple(tape.weight(w) for w in self._vectors() if w.role != "linear_mix")
            shape = (*rows, *dims((Dim.INNER, self.inner)))
            mixed = tape.op(
                "rwkv",
                (k, v),
                shape,
                x.format,
                label="mixed values",
                saves=(k.storage, v.storage),
                weights=own,
                saves_output=True,
            )
            return self.out(tape, tape.mul(opened, mixed, label="gated output"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RwkvChannels:
    """RWKV-4's channel mixing: a squared ReLU MLP behind a receptance gate."""

    hidden: int
    inner: int

    @property
    def up(self) -> Linear:
        """(MLP size, hidden)."""
        return Linear("key", "mlp_up", ((Dim.FFN, self.inner),), ((Dim.HIDDEN, self.hidden),))

    @property
    def receptance(self) -> Linear:
        """(hidden, hidden)."""
        return Linear("receptance", "mlp_gate", ((Dim.HIDDEN, self.hidden),), ((Dim.HIDDEN, self.hidden),))

    @property
    def down(self) -> Linear:
        """(hidden, MLP size)."""
        return Linear("value", "mlp_down", ((Dim.HIDDEN, self.hidden),), ((Dim.FFN, self.inner),))

    def weights(self) -> Iterator[Tensor]:
        """Projections and mixes."""
        for name in ("key", "receptance"):
            yield vector(f"time_mix_{name}", "linear_mix", (Dim.HIDDEN, self.hidden))
        for linear in (self.up, self.receptance, self.down):
            yield from linear.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The last input in float32."""
        shape = dims((Dim.BATCH, sequence.batch), (Dim.HIDDEN, self.hidden))
        yield Tensor("last input of channel mixing", shape, FLOAT32, role="shift_state")

    def forward(self, tape: Tape, x: Value) -> Value:
        """Mix with the token before, up, squared ReLU, down, gate."""
        with tape.hold(x):
            mixes = [_mix(tape, x, w) for w in self.weights() if w.role == "linear_mix"]
            inner = tape.unary("relu", self.up(tape, mixes[0]), keeps="output", label="relu")
            inner = tape.unary("square", inner, label="squared")
            out = self.down(tape, inner)
            opened = tape.unary("sigmoid", self.receptance(tape, mixes[1]), keeps="output", label="receptance")
            return tape.mul(opened, out, label="gated output")


def _mix(tape: Tape, x: Value, weight: Tensor) -> Value:
    """hidden × mix + shifted × (1 − mix)."""
    shifted = tape.op("pad", (x,), x.dims, x.format, label="token before")
    left = tape.scale(x, tape.weight(weight), label="mixed with itself")
    right = tape.scale(shifted, tape.weight(weight), label="mixed with the token before")
    return tape.add(left, right, label="mix")
