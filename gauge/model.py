"""A model: parts (decoder, encoder, vision tower) of blocks in order, embeddings in front and heads behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from gauge.layers.block import Layer, Residual, Stage
from gauge.layers.embedding import Entry
from gauge.layers.head import Head
from gauge.layers.norm import Norm
from gauge.sequence import Sequence
from gauge.tensor import Tensor

TOWER = "tower."


@dataclass(frozen=True, slots=True)
class Part:
    """A stack of blocks over one sequence.

    `sequence` says whose tokens it reads: `tokens` (the request's sequence), `source` (an encoder's, of `length`
    positions where that is fixed), `target` (an encoder-decoder's decoder) or `image`, then `length` is the pixels on
    one side. `feeds`: later parts attend to its output. `optional`: it runs only when the request has an image.
    `dropout` is the rate behind the final norm.
    """

    name: str
    blocks: tuple[Stage, ...]
    embeddings: Entry | None = None
    norm: Norm | None = None
    extras: tuple[Layer, ...] = ()
    sequence: str = "tokens"
    length: int = 0
    feeds: bool = True
    optional: bool = False
    dropout: float = 0.0

    def runs(self) -> list[tuple[Stage, int]]:
        """Distinct blocks with their counts, in the order of first appearance."""
        counts = Counter(map(id, self.blocks))
        known = dict(zip(map(id, self.blocks), self.blocks, strict=True))
        return [(known[key], count) for key, count in counts.items()]

    def outer(self) -> Iterator[Tensor]:
        """Tensors outside the blocks: embeddings, final norm, extras."""
        if self.embeddings:
            yield from self.embeddings.weights()
        if self.norm:
            yield from self.norm.weights()
        for extra in self.extras:
            yield from extra.weights()

    def weights(self) -> Iterator[tuple[Tensor, int]]:
        """Every tensor with the number of layers that own one; a tower's are named as such."""
        for tensor, count in self._weights():
            yield (replace(tensor, name=TOWER + tensor.name) if self.optional else tensor), count

    def _weights(self) -> Iterator[tuple[Tensor, int]]:
        for tensor in self.outer():
            yield tensor, 1
        for block, count in self.runs():
            for tensor in block.weights():
                yield tensor, count

    def buffers(self) -> Iterator[tuple[Tensor, int]]:
        """Tensors held beside the weights (running statistics), with the number of layers that hold one."""
        for owner, count in ((self.embeddings, 1), *self.runs()):
            held = getattr(owner, "buffers", None)
            for tensor in held() if held else ():
                yield tensor, count


@dataclass(frozen=True, eq=False)
class Model:
    """An architecture, whatever it was read from.

    `config` are the keys it came from; `notes` are sentences for the answer's warnings; `total` is
    set where a generic model stands for a parameter count that its layers only come near. `predictors` are
    multi-token-prediction layers that the checkpoint holds beside the model: they count only where
    `with_predictors` is asked for, as engines load them only for speculative decoding.
    """

    id: str
    family: str
    parts: tuple[Part, ...]
    head: Head | None
    max_length: int
    hidden: int
    vocab: int
    config: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: str = ""
    title: str = ""
    active: int = 0
    total: int = 0
    predictors: tuple[Part, ...] = ()

    def weights(self) -> Iterator[tuple[Tensor, int]]:
        """Every tensor once, with the number of layers that own one; a tied head is not repeated."""
        return iter(self._owned)

    @cached_property
    def _owned(self) -> tuple[tuple[Tensor, int], ...]:
        return tuple(self._weights())

    def _weights(self) -> Iterator[tuple[Tensor, int]]:
        for part in self.parts:
            yield from part.weights()
        if self.head:
            for tensor in self.head.weights():
                yield tensor, 1

    @cached_property
    def parameters(self) -> int:
        """Numbers in all weights, tied ones once; a generic model answers with the count it stands for."""
        return self.total or sum(tensor.elements * count for tensor, count in self.weights())

    @cached_property
    def active_parameters(self) -> int:
        """Parameters that one token uses: experts count as many times as it visits."""
        if self.active:
            return self.active
        total = 0
        for part in self.parts:
            total += sum(t.elements for t in part.outer())
            for block, count in part.runs():
                total += count * sum(_active(layer) for layer in block.steps)
        return total + (sum(t.elements for t in self.head.weights()) if self.head else 0)

    @cached_property
    def predictor_parameters(self) -> int:
        """Numbers in the multi-token-prediction layers, without the copies of embedding and head some checkpoints hold."""
        return sum(tensor.elements * count for part in self.predictors for tensor, count in part.weights())

    def with_predictors(self) -> Model:
        """The model with its multi-token-prediction layers as parts like the others, in front of the writing one."""
        return self.edited(parts=(*self.parts[:-1], *self.predictors, self.parts[-1]), predictors=())

    @property
    def decoder(self) -> Part:
        """The part that writes tokens: the last one."""
        return self.parts[-1]

    @property
    def layers(self) -> int:
        """Blocks in all parts."""
        return sum(len(part.blocks) for part in self.parts)

    @property
    def tied(self) -> bool:
        """Whether the head shares the token embedding."""
        return self.head is not None and self.head.tied

    def state(self, sequence: Sequence) -> Iterator[tuple[Tensor, int]]:
        """What inference keeps between steps, with the number of layers that keep one."""
        for part in self.parts:
            for block, count in part.runs():
                for tensor in block.state(sequence):
                    yield tensor, count

    def first(self, kind: type) -> Any:
        """The first layer of that kind in the writing part, or None."""
        for block, _ in self.decoder.runs():
            for layer in block.layers:
                if isinstance(layer, kind):
                    return layer
        return None

    def edited(self, **changes: Any) -> Model:
        """A copy with some fields changed."""
        return replace(self, **changes)


def _active(step: Residual) -> int:
    active = getattr(step.body, "active_elements", None)
    if active is None:
        return sum(t.elements for t in step.weights())
    norms = (n for n in (step.pre, step.post, step.after) if n is not None)
    return int(active) + sum(t.elements for n in norms for t in n.weights())
