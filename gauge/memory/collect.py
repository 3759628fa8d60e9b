"""Gathers many tensors into few items: equal ones are counted, not repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gauge.breakdown import Item, item
from gauge.tensor import Dim, Extent, Tensor


def stacked(tensors: Iterable[tuple[Tensor, int]], by_name: bool = True) -> Iterator[Tensor]:
    """Equal tensors as one with a further dimension: layers, or copies where a layer has several."""
    counts: dict[tuple[object, ...], int] = {}
    first: dict[tuple[object, ...], Tensor] = {}
    for one, count in tensors:
        key: tuple[object, ...] = (one.name if by_name else one.role, one.dims, one.format.id)
        counts[key] = counts.get(key, 0) + count
        first.setdefault(key, one)
    for key, one in first.items():
        yield one.times(Dim.COPIES, counts[key])


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
