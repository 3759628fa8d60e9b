"""Attention over depth: a branch reads a learned mix of what stretches of earlier layers have written.

Source: Kimi K3, arXiv 2607.24653, section 2.2 (block attention residuals).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16
from gauge.layers.block import Layer
from gauge.layers.norm import Norm
from gauge.layers.together import active
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class DepthMix:
    """A query over `sources` representations of width `hidden`, whose keys are their norms."""

    name: str
    hidden: int
    sources: int

    @property
    def norm(self) -> Norm:
        """Over each representation."""
        return Norm(f"{self.name}_norm", self.hidden)

    def weights(self) -> Iterator[Tensor]:
        """The norm's vector and the query."""
        yield from self.norm.weights()
        yield Tensor(f"{self.name}_proj.weight", dims((Dim.HIDDEN, self.hidden)), BFLOAT16, role="depth_query")

    def forward(self, tape: Tape, x: Value) -> Value:
        """Stack the representations, norm them as keys, weigh their sum by the query: the stack and its norm are kept."""
        stack = (*x.dims[:-1], *dims((Dim.COPIES, self.sources)), x.dims[-1])
        joined = tape.allocate("representations of earlier layers", stack, x.format)
        keys = tape.allocate("norms of earlier layers", stack, x.format)
        own = tuple(tape.weight(t) for t in self.weights())
        kept = (joined, keys)
        return tape.op("depth_attention", (x,), x.dims, x.format, label="mix over depth", saves=kept, scratch=kept, weights=own)


@dataclass(frozen=True, slots=True)
class DepthBranch:
    """A layer behind its mix over depth."""

    mix: DepthMix
    body: Layer

    def weights(self) -> Iterator[Tensor]:
        """The mix's and the layer's."""
        yield from self.mix.weights()
        yield from self.body.weights()

    @property
    def active_elements(self) -> int:
        """Parameters that one token uses."""
        return active(self.body) + sum(t.elements for t in self.mix.weights())

    @property
    def inner_layers(self) -> tuple[Layer, ...]:
        """The layer inside."""
        return (self.body,)

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """What the layer keeps between steps."""
        keep = getattr(self.body, "state", None)
        if keep is not None:
            yield from keep(sequence)

    def forward(self, tape: Tape, x: Value) -> Value:
        """The mix, then the layer."""
        return self.body.forward(tape, self.mix.forward(tape, x))
