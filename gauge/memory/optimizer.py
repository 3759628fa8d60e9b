"""Optimizer states and what the optimizer step needs on top, as items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gauge.breakdown import Item, item
from gauge.memory.collect import stacked
from gauge.memory.roles import component_of, label_of
from gauge.optimizers import OPTIMIZERS, Optimizer
from gauge.tensor import Tensor

WHY_STATES = "What the optimizer remembers of each trained weight between steps."
WHY_TEMPORARY = "Made inside the optimizer step and freed with it."

Weights = Iterable[tuple[Tensor, int]]


def optimizer_of(id: str) -> Optimizer:
    """The optimizer's row. Raises KeyError."""
    return OPTIMIZERS[id]


def state_items(optimizer: Optimizer, weights: Weights, moments: tuple[str, ...] = ()) -> Iterator[Item]:
    """Its states for these weights, equal ones counted."""
    states = (
        (state, count)
        for weight, count in weights
        for state in optimizer.states(weight.named(label_of(weight.role, weight.name)))
    )
    for one in stacked(states):
        part = component_of(one.role)
        yield item(f"optimizer_states.{part}", one, why=WHY_STATES, source=optimizer.source, moments=moments)


def temporary_items(optimizer: Optimizer, weights: Weights, moment: str = "step") -> Iterator[Item]:
    """What its step makes on top, at its worst."""
    for made in optimizer.temporaries(weights):
        yield item("workspace", made, why=WHY_TEMPORARY, source=optimizer.source, moments=(moment,))
