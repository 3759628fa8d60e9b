"""Gathers many tensors into few items: equal ones are counted, not repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gauge.breakdown import Item, item
from gauge.tensor import Dim, Extent, Tensor

Kind = tuple[str, tuple[Extent, ...], str]


def counted(tensors: Iterable[tuple[Tensor, int]], by_name: bool = True) -> dict[Kind, tuple[Tensor, int]]:
    """Equal tensors with how many there are; `by_name` false takes those of one role for equal."""
    found: dict[Kind, tuple[Tensor, int]] = {}
    for one, count in tensors:
        key = (one.name if by_name else one.role, one.dims, one.format.id)
        held = found.get(key)
        found[key] = (one, count) if held is None else (held[0], held[1] + count)
    return found


def stacked(tensors: Iterable[tuple[Tensor, int]], by_name: bool = True) -> Iterator[Tensor]:
    """Equal tensors as one with a further dimension: layers, or copies where a layer has several."""
    for one, count in counted(tensors, by_name).values():
        yield one.times(Dim.COPIES, count)


def layered(tensors: Iterable[tuple[Tensor, int]], layers: int) -> Iterator[Tensor]:
    """As `stacked`, but a count that is a whole number of layers says so: 64 norms in 32 layers are 32 × 2."""
    for one in stacked(tensors):
        head = one.dims[0] if one.dims else None
        if head is not None and head.dim is Dim.COPIES and layers > 1 and head.size % layers == 0:
            inner = Tensor(one.name, one.dims[1:], one.format, one.trainable, one.role)
            yield inner.times(Dim.COPIES, head.size // layers).times(Dim.LAYERS, layers)
        elif head is not None and head.dim is Dim.COPIES:
            yield Tensor(
                one.name,
                (Extent(Dim.LAYERS, head.size, head.whole), *one.dims[1:]),
                one.format,
                one.trainable,
                one.role,
            )
        else:
            yield one


def items(component: str, tensors: Iterable[Tensor], **words: str) -> tuple[Item, ...]:
    """An item of each tensor under one component."""
    return tuple(item(component, one, **words) for one in tensors)  # type: ignore[arg-type]
