"""Pipeline stages of a served model: which blocks each one runs, and what else it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge.model import Model, Part


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage as a model of its own: embeddings on the first, final norm and head on the last."""

    model: Model
    index: int
    count: int

    @property
    def first(self) -> bool:
        """Whether it reads tokens."""
        return self.index == 0

    @property
    def last(self) -> bool:
        """Whether it writes logits."""
        return self.index == self.count - 1


def shares(layers: int, count: int) -> list[int]:
    """Layers a stage; what is left over goes to the stages before the last one.

    Source: vLLM distributed/utils.py, get_pp_indices.
    """
    each, left = divmod(layers, count)
    sizes = [each] * count
    for i in range(left):
        sizes[-2 - i if count - 2 - i >= 0 else i] += 1
    return sizes


def stages(model: Model, count: int) -> Iterator[Stage]:
    """The model cut into `count` stages; other parts than the writing one run on the first stage."""
    if count == 1:
        yield Stage(model, 0, 1)
        return
    start = 0
    for index, size in enumerate(shares(len(model.decoder.blocks), count)):
        blocks = model.decoder.blocks[start : start + size]
        start += size
        yield Stage(_cut(model, replace(model.decoder, blocks=blocks), index, count), index, count)


def _cut(model: Model, part: Part, index: int, count: int) -> Model:
    first, last = index == 0, index == count - 1
    part = replace(
        part,
        embeddings=part.embeddings if first else None,
        norm=part.norm if last else None,
        extras=part.extras if last else (),
    )
    head = replace(model.head, tied=model.head.tied and first) if model.head and last else None
    return model.edited(parts=(*model.parts[:-1], part) if first else (part,), head=head, total=0)
