"""The feed-forward part: two matrices around a nonlinearity, or three with a gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge import kernels
from gauge.formats import BFLOAT16
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MLP:
    """hidden → inner → hidden. `gated`: activation(gate) × up; `fused`: gate and up are one matrix (Phi-3).

    `names` are the checkpoint's names of gate, up and down. `activation_numbers` counts trained scalars of the
    nonlinearity (xIELU), `inner_norm` names a norm in front of down (BitNet).
    """

    hidden: int
    inner: int
    activation: str = "silu"
    gated: bool = True
    fused: bool = False
    bias: bool = False
    out_bias: bool | None = None
    dropout: float = 0.0
    inner_dropout: float = 0.0
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    prefix: str = "mlp"
    activation_numbers: int = 0
    inner_norm: str = ""

    @property
    def gate(self) -> Linear:
        """(MLP size, hidden)."""
        return Linear(self.names[0], f"{self.prefix}_gate", ((Dim.FFN, self.inner),), ((Dim.HIDDEN, self.hidden),), self.bias)

    @property
    def up(self) -> Linear:
        """(MLP size, hidden), or gate and up together where they are fused."""
        out = ((Dim.MATRICES, 2), (Dim.FFN, self.inner)) if self.fused else ((Dim.FFN, self.inner),)
        return Linear(self.names[1], f"{self.prefix}_up", out, ((Dim.HIDDEN, self.hidden),), self.bias)

    @property
    def down(self) -> Linear:
        """(hidden, MLP size)."""
        bias = self.bias if self.out_bias is None else self.out_bias
        return Linear(self.names[2], f"{self.prefix}_down", ((Dim.HIDDEN, self.hidden),), ((Dim.FFN, self.inner),), bias)

    def weights(self) -> Iterator[Tensor]:
        """Gate, up and down."""
        if self.gated and not self.fused:
            yield from self.gate.weights()
        yield from self.up.weights()
        yield from self.down.weights()
        if self.inner_norm:
            yield from self._norm().weights()
        if self.activation_numbers:
            yield self._numbers()

    def _norm(self) -> Norm:
        return Norm(self.inner_norm, self.inner, over=Dim.FFN)

    def _numbers(self) -> Tensor:
        return Tensor("act_fn.alpha", dims((Dim.COPIES, self.activation_numbers)), BFLOAT16, role="mlp_activation")

    def forward(self, tape: Tape, x: Value) -> Value:
        """Through the nonlinearity and back to the residual width."""
        with tape.hold(x):
            inner = self._inner(tape, x)
            inner = self._norm()(tape, inner) if self.inner_norm else inner
            if self.inner_dropout:
                inner = tape.dropout(inner, self.inner_dropout)
            out = self.down(tape, inner)
        return tape.dropout(out, self.dropout)

    def _inner(self, tape: Tape, x: Value) -> Value:
        if self.activation_numbers:
            return kernels.trained_activation(tape, self.activation, self.up(tape, x), tape.weight(self._numbers()))
        if not self.gated:
            return kernels.activation(tape, self.activation, self.up(tape, x))
        if self.fused:
            both = self.up(tape, x)
            half = (*both.dims[:-2], *dims((Dim.FFN, self.inner)))
            with tape.hold(both):
                return kernels.gated(tape, self.activation, tape.alias(both, half), tape.alias(both, half))
        gate = self.gate(tape, x)
        if kernels.is_fused(tape):
            return kernels.gated(tape, self.activation, gate, self.up(tape, x))
        active = kernels.activation(tape, self.activation, gate)
        return tape.mul(active, self.up(tape, x), label="gated product")
