"""The weights as one device holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from gauge.breakdown import Item, item
from gauge.formats import INT64, Format
from gauge.memory.collect import layered, stacked
from gauge.memory.roles import component_of, label_of
from gauge.model import Model
from gauge.tensor import Mesh, Rules, Tensor, shard

Store = Callable[[Tensor], Iterable[Tensor]]
WHY = "Every weight is resident: each token passes through all of them."

WHY_BUFFERS = "Batch norms remember a mean and a variance of each channel."


def stored(model: Model, store: Store, rules: Rules = (), mesh: Mesh | None = None) -> Iterator[tuple[Tensor, int]]:
    """Every weight as it is stored and split, with the number of layers that own one."""
    for tensor, count in model.weights():
        for kept in store(tensor):
            yield shard(kept, rules, mesh or {}), count


def weight_items(
    model: Model, store: Store, rules: Rules = (), mesh: Mesh | None = None, component: str = "weights"
) -> tuple[Item, ...]:
    """One item for each kind of weight: the role, counted over layers."""
    named = ((replace(t, name=label_of(t.role, t.name)), n) for t, n in stored(model, store, rules, mesh))
    return tuple(
        item(f"{component}.{component_of(t.role)}", t, why=WHY, source=model.source)
        for t in layered(named, model.layers)
    )


def buffer_items(model: Model, format: Format) -> tuple[Item, ...]:
    """Running statistics of batch norms: held with the weights, but no parameters."""
    held = (
        (replace(t, name=label_of(t.role, t.name), format=t.format if t.format is INT64 else format), n)
        for part in model.parts
        for t, n in part.buffers()
    )
    return tuple(item("workspace.statistics", t, why=WHY_BUFFERS, source=model.source) for t in stacked(held))
