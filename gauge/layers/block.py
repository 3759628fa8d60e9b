"""One transformer block: branches around the residual stream, with their norms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from gauge.layers.attention import Attention
from gauge.layers.norm import Norm
from gauge.layers.scale import LayerScale
from gauge.sequence import Sequence
from gauge.tape import Tape, Value
from gauge.tensor import Tensor


class Layer(Protocol):
    """What every kind of layer answers. `state` is optional: a layer that keeps nothing between steps leaves it out."""

    def weights(self) -> Iterator[Tensor]:
        """The tensors it owns."""
        ...

    def forward(self, tape: Tape, x: Value) -> Value:
        """Its pass over `x`."""
        ...


@dataclass(frozen=True, slots=True)
class Residual:
    """x + body(pre(x)): `pre` norms the branch's input, `post` its output, `after` the sum (BERT)."""

    body: Layer
    pre: Norm | None = None
    post: Norm | LayerScale | None = None
    after: Norm | None = None

    def weights(self) -> Iterator[Tensor]:
        """The body's tensors and its norms'."""
        for owner in (self.pre, self.body, self.post, self.after):
            if owner is not None:
                yield from owner.weights()


class Stage(Protocol):
    """One step of a part: a transformer block, or a stretch of a convolutional net."""

    @property
    def kind(self) -> str:
        """What it is called in a timeline."""
        ...

    @property
    def steps(self) -> tuple[Residual, ...]:
        """Its layers with their norms, in order."""
        ...

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its layers, in order."""
        ...

    def weights(self) -> Iterator[Tensor]:
        """All tensors of the block."""
        ...

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """What its layers keep between steps."""
        ...

    def forward(self, tape: Tape, x: Value, source: Value | None = None) -> Value:
        """The stream after this block."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """Residual branches in order, or side by side from one input where `parallel` (a branch without its own norm then
    reads the first one's)."""

    steps: tuple[Residual, ...]
    parallel: bool = False
    kind: str = "block"

    def weights(self) -> Iterator[Tensor]:
        """All tensors of the block."""
        for step in self.steps:
            yield from step.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """What its layers keep between steps."""
        for step in self.steps:
            keep = getattr(step.body, "state", None)
            if keep is not None:
                yield from keep(sequence)

    def buffers(self) -> Iterator[Tensor]:
        """Tables that its layers hold beside their weights."""
        for layer in self.layers:
            hold = getattr(layer, "buffers", None)
            if hold is not None:
                yield from hold()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in order; those inside a layer that combines several stand for it."""
        return tuple(layer for step in self.steps for layer in _inside(step.body))

    def forward(self, tape: Tape, x: Value, source: Value | None = None) -> Value:
        """The residual stream after this block; `source` is the encoder's output for cross-attention."""
        if self.parallel:
            return self._side_by_side(tape, x)
        for step in self.steps:
            if source is None and isinstance(step.body, Attention) and step.body.cross:
                continue  # a decoder alone: nobody to attend to
            with tape.hold(x):
                branch = step.pre(tape, x) if step.pre else x
                branch = _through(tape, step.body, branch, source)
                if step.post:
                    branch = step.post(tape, branch)
                x = tape.add(x, branch, label="residual stream")
            if step.after:
                x = step.after(tape, x)
        return x

    def _side_by_side(self, tape: Tape, x: Value) -> Value:
        """All branches read the same input; their outputs are summed before the residual stream joins."""
        with tape.hold(x):
            total, normed = None, x
            for step in self.steps:
                normed = step.pre(tape, x) if step.pre else normed
                branch = step.body.forward(tape, normed)
                total = branch if total is None else tape.add(branch, total, label="sum of branches")
            return x if total is None else tape.add(total, x, label="residual stream")


@dataclass(frozen=True, slots=True)
class Again:
    """A block run once more with the weights of an earlier place (ALBERT): it owns none."""

    block: Block

    @property
    def kind(self) -> str:
        """What it is called in a timeline."""
        return self.block.kind

    @property
    def steps(self) -> tuple[Residual, ...]:
        """No weights of its own to count."""
        return ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that it runs."""
        return self.block.layers

    def weights(self) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """What its layers keep between steps."""
        return self.block.state(sequence)

    def buffers(self) -> Iterator[Tensor]:
        """None of its own."""
        return iter(())

    def forward(self, tape: Tape, x: Value, source: Value | None = None) -> Value:
        """The block's pass."""
        return self.block.forward(tape, x, source)


def _inside(layer: Layer) -> Iterator[Layer]:
    inner: tuple[Layer, ...] = getattr(layer, "inner_layers", ())
    if not inner:
        yield layer
    for one in inner:
        yield from _inside(one)


def _through(tape: Tape, body: Layer, x: Value, source: Value | None) -> Value:
    if isinstance(body, Attention) and body.cross:
        return body.forward(tape, x, source)
    return body.forward(tape, x)
