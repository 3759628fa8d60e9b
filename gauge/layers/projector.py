"""What stands between a tower and the language model: norms, merged patches, linear maps.

Source: transformers 5.23, the multi-modal projectors and mergers of models/llava, qwen2_vl, mistral3, idefics3, llama4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge import kernels
from gauge.formats import BFLOAT16
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor
from gauge.units import ceil_div


@dataclass(frozen=True, slots=True)
class Merge:
    """`factor` neighbouring patches become one token of `factor` times the width."""

    factor: int

    def __call__(self, tape: Tape, x: Value) -> Value:
        """(batch, patches ÷ factor, hidden × factor)."""
        shape = tuple(
            e._replace(size=ceil_div(e.size, self.factor), whole=ceil_div(e.whole, self.factor))
            if e.dim is Dim.PATCHES
            else e._replace(size=e.size * self.factor, whole=e.whole * self.factor)
            if e.dim is Dim.HIDDEN
            else e
            for e in x.dims
        )
        return tape.contiguous(x, "merged patches", shape)


@dataclass(frozen=True, slots=True)
class Activate:
    """A nonlinearity by its name in a config."""

    name: str

    def __call__(self, tape: Tape, x: Value) -> Value:
        """The same shape."""
        return kernels.activation(tape, self.name, x)


@dataclass(frozen=True, slots=True)
class Held:
    """Weights that stand by: they count, but their own small pass is left out."""

    tensors: tuple[Tensor, ...]

    def __call__(self, tape: Tape, x: Value) -> Value:
        """The input as it is."""
        return x


Step = Linear | Norm | Merge | Activate | Held


@dataclass(frozen=True, slots=True)
class Projector:
    """Steps in order."""

    steps: tuple[Step, ...]

    def weights(self) -> Iterator[Tensor]:
        """Of its maps and norms."""
        for step in self.steps:
            if isinstance(step, (Linear, Norm)):
                yield from step.weights()
            elif isinstance(step, Held):
                yield from step.tensors

    def forward(self, tape: Tape, x: Value) -> Value:
        """The tokens that the language model reads."""
        for step in self.steps:
            x = step(tape, x)
        return x


def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Linear:
    """A map between two widths of the residual kind."""
    return Linear(name, "projector", ((Dim.HIDDEN, outputs),), ((Dim.HIDDEN, inputs),), bias, False)


def held(*named: tuple[str, tuple[int, ...]]) -> Held:
    """Weights by name and shape."""
    return Held(tuple(Tensor(name, dims(*((Dim.HIDDEN, n) for n in shape)), BFLOAT16, role="projector") for name, shape in named))
