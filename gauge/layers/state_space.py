"""Selective state spaces: Mamba 1 and Mamba 2. Their memory of the past does not grow with it.

Sources: arXiv 2312.00752, arXiv 2405.21060; transformers 5.23 models/mamba, models/mamba2; what the fused kernels keep
for backward: state-spaces/mamba 2.2 (mamba_inner_fn, mamba_split_conv1d_scan_combined).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16, FLOAT32
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.sequence import Sequence
from gauge.tape import Dims, Tape, Value, dims
from gauge.tensor import Dim, Tensor
from gauge.units import ceil_div

SCAN_CHUNK = 2_048


def vector(name: str, role: str, *shape: tuple[Dim, int]) -> Tensor:
    """A small weight that is no projection."""
    return Tensor(name, dims(*shape), BFLOAT16, role=role)


@dataclass(frozen=True, slots=True)
class ShortFilter:
    """A causal depthwise convolution over the last `taps` tokens of `channels` channels."""

    name: str
    channels: int
    taps: int
    bias: bool = True
    role: str = "ssm_conv"

    def weights(self) -> Iterator[Tensor]:
        """(channels, taps) and a bias."""
        yield vector(f"{self.name}.weight", self.role, (Dim.INNER, self.channels), (Dim.CONV, self.taps))
        if self.bias:
            yield vector(f"{self.name}.bias", f"{self.role}_bias", (Dim.INNER, self.channels))

    def state(self, sequence: Sequence) -> Tensor:
        """The last inputs: (batch, channels, taps)."""
        shape = dims((Dim.BATCH, sequence.batch), (Dim.INNER, self.channels), (Dim.CONV, self.taps))
        return Tensor("convolution state", shape, BFLOAT16, role="conv_state")

    def __call__(self, tape: Tape, x: Value, shape: Dims) -> Value:
        """Filter and activate: keeps its input."""
        weights = tuple(tape.weight(w) for w in self.weights())
        return tape.op("causal_conv1d", (x,), shape, x.format, label="short convolution", saves=(x.storage,), weights=weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba1:
    """A scan of `state_size` numbers for each of `inner` channels; step sizes go through a bottleneck of `rank`.

    `inner_norms`: norms on the step, B and C, with weights (Jamba) or without (Falcon Mamba).
    """

    hidden: int
    inner: int
    state_size: int
    rank: int
    taps: int = 4
    bias: bool = False
    conv_bias: bool = True
    inner_norms: str = ""

    @property
    def into(self) -> Linear:
        """(2 × inner, hidden): the signal and its gate."""
        out = ((Dim.MATRICES, 2), (Dim.INNER, self.inner))
        return Linear("in_proj", "ssm_in", out, ((Dim.HIDDEN, self.hidden),), self.bias)

    @property
    def conv(self) -> ShortFilter:
        """The short convolution in front of the scan."""
        return ShortFilter("conv1d", self.inner, self.taps, self.conv_bias)

    @property
    def selection(self) -> Linear:
        """(rank + 2 × state, inner): step, B and C."""
        out = ((Dim.STATE, self.rank + 2 * self.state_size),)
        return Linear("x_proj", "ssm_x", out, ((Dim.INNER, self.inner),))

    @property
    def step(self) -> Linear:
        """(inner, rank)."""
        return Linear("dt_proj", "ssm_dt", ((Dim.INNER, self.inner),), ((Dim.RANK, self.rank),), True)

    @property
    def out(self) -> Linear:
        """(hidden, inner)."""
        return Linear("out_proj", "ssm_out", ((Dim.HIDDEN, self.hidden),), ((Dim.INNER, self.inner),), self.bias)

    def weights(self) -> Iterator[Tensor]:
        """Projections, convolution, decay, skip, inner norms."""
        yield from self.into.weights()
        yield from self.conv.weights()
        yield from self.selection.weights()
        yield from self.step.weights()
        yield vector("A_log", "ssm_a", (Dim.INNER, self.inner), (Dim.STATE, self.state_size))
        yield vector("D", "ssm_d", (Dim.INNER, self.inner))
        yield from self.out.weights()
        yield from self._inner_norms()

    def _inner_norms(self) -> Iterator[Tensor]:
        if self.inner_norms == "weighted":
            yield from Norm("dt_layernorm", self.rank, over=Dim.RANK).weights()
            yield from Norm("b_layernorm", self.state_size, over=Dim.STATE).weights()
            yield from Norm("c_layernorm", self.state_size, over=Dim.STATE).weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The last inputs of the convolution, and (batch, inner, state) in float32."""
        yield self.conv.state(sequence)
        shape = dims((Dim.BATCH, sequence.batch), (Dim.INNER, self.inner), (Dim.STATE, self.state_size))
        yield Tensor("state", shape, FLOAT32, role="ssm_state")

    def forward(self, tape: Tape, x: Value) -> Value:
        """One fused kernel: keeps signal and gate, selections and a state each 2,048 tokens; recomputes the rest."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        channels = (*rows, *dims((Dim.INNER, self.inner)))
        both = self.into(tape, x, "signal and gate")
        tokens = next((e.size for e in rows if e.dim is Dim.TOKENS), 1)
        select = tape.allocate("step, B and C", (*rows, *self._selected), x.format)
        batch = tuple(e for e in rows if e.dim is Dim.BATCH)
        chunks = (Dim.BLOCKS, ceil_div(tokens, SCAN_CHUNK))
        states = (*batch, *dims((Dim.INNER, self.inner), chunks, (Dim.STATE, 2 * self.state_size)))
        kept = tape.allocate("states at chunk ends", states, FLOAT32)
        own = [t for owner in (self.conv, self.selection, self.step) for t in owner.weights()]
        own += [t for t in self.weights() if t.role in ("ssm_a", "ssm_d")]
        own += list(self._inner_norms())
        scanned = tape.op(
            "mamba_inner",
            (both,),
            channels,
            x.format,
            label="scan output",
            saves=(both.storage, select, kept),
            weights=tuple(tape.weight(t) for t in own),
            saves_output=True,
        )
        return self.out(tape, scanned)

    @property
    def _selected(self) -> Dims:
        return dims((Dim.STATE, self.rank + 2 * self.state_size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba2:
    """Heads with one decay each and a (head, state) matrix; B and C are shared by `groups` of heads.

    `gated_norm`: the norm over the inner width before the output projection.
    """

    hidden: int
    heads: int
    head: int
    state_size: int
    groups: int
    taps: int = 4
    chunk: int = 256
    bias: bool = False
    conv_bias: bool = True
    gated_norm: bool = True

    @property
    def inner(self) -> int:
        """heads × head."""
        return self.heads * self.head

    @property
    def filtered(self) -> int:
        """Channels of the convolution: signal, B and C."""
        return self.inner + 2 * self.groups * self.state_size

    @property
    def into(self) -> Linear:
        """(gate + signal + B + C + steps, hidden)."""
        out = ((Dim.INNER, self.inner + self.filtered + self.heads),)
        return Linear("in_proj", "ssm_in", out, ((Dim.HIDDEN, self.hidden),), self.bias)

    @property
    def conv(self) -> ShortFilter:
        """The short convolution over signal, B and C."""
        return ShortFilter("conv1d", self.filtered, self.taps, self.conv_bias)

    @property
    def out(self) -> Linear:
        """(hidden, inner)."""
        return Linear("out_proj", "ssm_out", ((Dim.HIDDEN, self.hidden),), ((Dim.INNER, self.inner),), self.bias)

    def weights(self) -> Iterator[Tensor]:
        """Projections, convolution, step bias, decay, skip, norm."""
        yield from self.into.weights()
        yield from self.conv.weights()
        yield from self._vectors()
        if self.gated_norm:
            yield from Norm("norm", self.inner, over=Dim.INNER).weights()
        yield from self.out.weights()

    def _vectors(self) -> Iterator[Tensor]:
        for name, role in (("dt_bias", "ssm_dt_bias"), ("A_log", "ssm_a"), ("D", "ssm_d")):
            yield vector(name, role, (Dim.HEADS, self.heads))

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The last inputs of the convolution, and (batch, heads, head, state) in float32."""
        yield self.conv.state(sequence)
        shape = dims((Dim.BATCH, sequence.batch), (Dim.HEADS, self.heads), (Dim.HEAD, self.head), (Dim.STATE, self.state_size))
        yield Tensor("state", shape, FLOAT32, role="ssm_state")

    def forward(self, tape: Tape, x: Value) -> Value:
        """One fused kernel from the input projection to the gated norm: keeps its input and its output."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        both = self.into(tape, x, "gate, signal, B, C and steps")
        own = [*self.conv.weights(), *self._vectors()]
        if self.gated_norm:
            own += list(Norm("norm", self.inner, over=Dim.INNER).weights())
        scanned = tape.op(
            "mamba_split_conv1d_scan",
            (both,),
            (*rows, *dims((Dim.INNER, self.inner))),
            x.format,
            label="scan output",
            saves=(
                both.storage,
                tape.allocate("normed scan output's root", (*rows, *dims((Dim.GROUPS, self.groups))), FLOAT32),
            ),
            weights=tuple(tape.weight(t) for t in own),
            saves_output=True,
        )
        return self.out(tape, scanned)
