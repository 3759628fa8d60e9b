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
Splits = Rules | Callable[[Tensor], Rules]
Shape = Callable[[Tensor], Tensor]
WHY = "Every weight is resident, whether a token passes through it or not."

WHY_BUFFERS = "Held beside the weights: means and variances of batch norms, masks, tables of positions."


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def stored(
    model: Model, store: Store, rules: Splits = (), mesh: Mesh | None = None, shape: Shape = _as_it_is
) -> Iterator[tuple[Tensor, int]]:
    """Every weight as one device shapes, splits and stores it, with the number of layers that own one.

    `shape` is what the runtime makes of a weight before splitting (padded vocabulary); `rules` may depend on the weight.
    What is split is the weight: each device then has the scales of its own share.
    """
    for tensor, count in model.weights():
        own = rules(tensor) if callable(rules) else rules
        for kept in store(shard(shape(tensor), own, mesh or {})):
            yield kept, count


def weight_items(
    model: Model,
    store: Store,
    rules: Splits = (),
    mesh: Mesh | None = None,
    component: str = "weights",
    shape: Shape = _as_it_is,
) -> tuple[Item, ...]:
    """One item for each kind of weight: the role, counted over layers."""
    named = ((t.named(label_of(t.role, t.name)), n) for t, n in stored(model, store, rules, mesh, shape))
    return tuple(
        item(f"{component}.{component_of(t.role)}", t, why=WHY, source=model.source) for t in layered(named, model.layers)
    )


def buffer_items(model: Model, format: Format) -> tuple[Item, ...]:
    """Running statistics of batch norms, masks and tables: held with the weights, but no parameters.

    Statistics follow the model's dtype, masks and tables keep their own.
    """
    held = ((_buffer(t, format), n) for part in model.parts for t, n in part.buffers())
    return tuple(item("workspace.statistics", t, why=WHY_BUFFERS, source=model.source) for t in stacked(held))


def _buffer(tensor: Tensor, format: Format) -> Tensor:
    if tensor.role == "buffer":
        return tensor
    kept = tensor.format if tensor.format is INT64 else format
    return replace(tensor, name=label_of(tensor.role, tensor.name), format=kept)
