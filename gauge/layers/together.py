"""Several layers that read the same input and whose outputs are summed: attention beside Mamba, an MLP beside experts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.layers.block import Layer
from gauge.layers.norm import Norm
from gauge.sequence import Sequence
from gauge.tape import Tape, Value
from gauge.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Branch:
    """A layer with norms of its own in front and behind."""

    body: Layer
    pre: Norm | None = None
    post: Norm | None = None

    def weights(self) -> Iterator[Tensor]:
        """The layer's tensors and its norms'."""
        for owner in (self.pre, self.body, self.post):
            if owner is not None:
                yield from owner.weights()

    @property
    def active_elements(self) -> int:
        """Parameters that one token uses."""
        norms = [t for norm in (self.pre, self.post) if norm is not None for t in norm.weights()]
        return active(self.body) + sum(t.elements for t in norms)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Norm, layer, norm."""
        out = self.body.forward(tape, self.pre(tape, x) if self.pre else x)
        return self.post(tape, out) if self.post else out


def active(layer: Layer) -> int:
    """Parameters of a layer that one token uses."""
    own = getattr(layer, "active_elements", None)
    return int(own) if own is not None else sum(t.elements for t in layer.weights())


@dataclass(frozen=True, slots=True)
class Together:
    """The sum of `branches` over one input."""

    branches: tuple[Branch, ...]

    def weights(self) -> Iterator[Tensor]:
        """All tensors of all branches."""
        for branch in self.branches:
            yield from branch.weights()

    @property
    def active_elements(self) -> int:
        """Parameters that one token uses."""
        return sum(b.active_elements for b in self.branches)

    @property
    def inner_layers(self) -> tuple[Layer, ...]:
        """The layers inside, for whoever looks for one of a kind."""
        return tuple(b.body for b in self.branches)

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """What the branches keep between steps."""
        for branch in self.branches:
            keep = getattr(branch.body, "state", None)
            if keep is not None:
                yield from keep(sequence)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Each branch, then the sum."""
        total: Value | None = None
        with tape.hold(x):
            for branch in self.branches:
                out = branch.forward(tape, x)
                total = out if total is None else tape.add(total, out, label="sum of branches")
        return x if total is None else total


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers one after the other inside one residual branch."""

    parts: tuple[Branch, ...]

    def weights(self) -> Iterator[Tensor]:
        """All tensors."""
        for part in self.parts:
            yield from part.weights()

    @property
    def active_elements(self) -> int:
        """Parameters that one token uses."""
        return sum(p.active_elements for p in self.parts)

    def forward(self, tape: Tape, x: Value) -> Value:
        """One after the other."""
        for part in self.parts:
            x = part.forward(tape, x)
        return x
