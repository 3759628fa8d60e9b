"""The gated short convolution of LFM2: a depthwise filter over a few tokens between two gates.

Source: transformers 5.23 models/lfm2/modeling_lfm2.py (Lfm2ShortConv).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.layers.linear import Linear
from gauge.layers.state_space import ShortFilter
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortConvolution:
    """C × conv(B × x): three projections of the input in one matrix, `taps` tokens of memory."""

    hidden: int
    taps: int
    bias: bool = False

    @property
    def into(self) -> Linear:
        """(3 × hidden, hidden)."""
        out = ((Dim.MATRICES, 3), (Dim.INNER, self.hidden))
        return Linear("in_proj", "conv_in", out, ((Dim.HIDDEN, self.hidden),), self.bias)

    @property
    def conv(self) -> ShortFilter:
        """The filter."""
        return ShortFilter("conv", self.hidden, self.taps, self.bias, "conv_filter")

    @property
    def out(self) -> Linear:
        """(hidden, hidden)."""
        return Linear("out_proj", "conv_out", ((Dim.HIDDEN, self.hidden),), ((Dim.INNER, self.hidden),), self.bias)

    def weights(self) -> Iterator[Tensor]:
        """Projections and filter."""
        yield from self.into.weights()
        yield from self.conv.weights()
        yield from self.out.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The last inputs of the filter."""
        yield self.conv.state(sequence)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Project, gate, filter, gate, project back."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        part = (*rows, *dims((Dim.INNER, self.hidden)))
        three = self.into(tape, x, "B, C and x")
        with tape.hold(three):
            b, c, signal = (tape.alias(three, part) for _ in range(3))
            filtered = self.conv(tape, tape.mul(b, signal, label="gated input"), part)
            return self.out(tape, tape.mul(c, filtered, label="gated output"))
