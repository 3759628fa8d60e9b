"""The real-gated linear recurrent unit of Griffin: one number a channel, forgotten and fed by gates.

Source: arXiv 2402.19427, section 2.4; transformers 5.23 models/recurrent_gemma/modeling_recurrent_gemma.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge import kernels
from gauge.formats import FLOAT32
from gauge.layers.linear import Linear
from gauge.layers.state_space import ShortFilter, vector
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedRecurrence:
    """A short filter and a recurrence over `width` channels in `heads` blocks, beside an activated branch."""

    hidden: int
    width: int
    heads: int
    taps: int = 4
    activation: str = "gelu_pytorch_tanh"

    def _into(self, letter: str) -> Linear:
        """(width, hidden)."""
        role = "linear_gate" if letter == "y" else "linear_value"
        return Linear(f"linear_{letter}", role, ((Dim.INNER, self.width),), ((Dim.HIDDEN, self.hidden),), True)

    @property
    def out(self) -> Linear:
        """(hidden, width)."""
        return Linear("linear_out", "linear_out", ((Dim.HIDDEN, self.hidden),), ((Dim.INNER, self.width),), True)

    @property
    def filter(self) -> ShortFilter:
        """The convolution in front of the recurrence."""
        return ShortFilter("conv_1d", self.width, self.taps)

    def _gates(self) -> Iterator[Tensor]:
        block = self.width // self.heads
        yield vector("rg_lru.recurrent_param", "linear_decay", (Dim.INNER, self.width))
        for name in ("input_gate", "recurrent_gate"):
            square = ((Dim.HEADS, self.heads), (Dim.INNER, block), (Dim.HEAD, block))
            yield vector(f"rg_lru.{name}_weight", "linear_gate", *square)
            yield vector(f"rg_lru.{name}_bias", "linear_gate_bias", (Dim.HEADS, self.heads), (Dim.INNER, block))

    def weights(self) -> Iterator[Tensor]:
        """Both branches, filter, gates, the way out."""
        for letter in ("y", "x"):
            yield from self._into(letter).weights()
        yield from self.filter.weights()
        yield from self._gates()
        yield from self.out.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """The filter's last inputs but the newest, and a number a channel in float32."""
        shape = ((Dim.BATCH, sequence.batch), (Dim.INNER, self.width))
        kept = ShortFilter("conv_1d", self.width, max(1, self.taps - 1)).state(sequence)
        yield kept
        yield Tensor("state", dims(*shape), FLOAT32, role="linear_state")

    def forward(self, tape: Tape, x: Value) -> Value:
        """The recurrence keeps its input, two gates and its states; all of them in float32."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        wide = (*rows, *dims((Dim.INNER, self.width)))
        with tape.hold(x):
            branch = kernels.activation(tape, self.activation, self._into("y")(tape, x))
            filtered = self.filter(tape, self._into("x")(tape, x), wide)
            kept = tape.allocate("gates, decays and states", (*wide, *dims((Dim.COPIES, 4))), FLOAT32)
            own = tuple(tape.weight(t) for t in self._gates())
            saves = (filtered.storage, kept)
            mixed = tape.op(
                "rg_lru", (filtered,), wide, x.format, label="mixed values", saves=saves, scratch=(kept,), weights=own
            )
            return self.out(tape, tape.mul(mixed, branch, label="gated output"))
