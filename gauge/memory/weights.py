"""The weights as one device holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from gauge.breakdown import Item, item
from gauge.memory.collect import layered
from gauge.memory.roles import component_of, label_of
from gauge.model import Model
from gauge.tensor import Mesh, Rules, Tensor, shard

Store = Callable[[Tensor], Iterable[Tensor]]
WHY = "Every weight is resident: each token passes through all of them."


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
