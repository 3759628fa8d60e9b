"""What a runtime is asked: a model, a plan, a cluster; and what it answers: pools, capacity, remarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gauge.breakdown import Pool
from gauge.errors import RequestError
from gauge.hardware import Cluster
from gauge.model import Model
from gauge.plan import Plan


@dataclass(frozen=True)
class Case:
    """One question, ready to be computed. `given` names the fields that the user set."""

    model: Model
    plan: Plan
    cluster: Cluster
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """A runtime's answer. `capacity` holds what the runtime itself knows (`kv_pool_bytes`, `kv_pool_tokens`).

    `spare`, for an engine that reserves a share of the device: bytes that the share leaves beyond what the request
    needs, negative where it falls short.
    """

    pools: tuple[Pool, ...]
    capacity: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    trainable: int | None = None
    spare: int | None = None


Pools = Callable[[Case], Breakdown]


Remedy = tuple[str, dict[str, Any], str]


def _no_command(case: Case) -> str:
    return ""


def _anything(case: Case) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """An engine's or trainer's allocation policy.

    `uses` are the fields it reads beyond model, task, batch, lengths, dtype and hardware: others that the user set are
    reported as unused. `check(case)` raises RequestError on what cannot be; `command(case)` starts it so;
    `remedies(case)` are its own ways to need less: (label, changed fields, cost in words). `newest` names the newest
    release, build or month whose rules it knows; later ones are answered by those.
    """

    id: str
    label: str
    tasks: tuple[str, ...]
    breakdown: Pools
    uses: frozenset[str] = frozenset()
    command: Callable[[Case], str] = _no_command
    check: Callable[[Case], None] = _anything
    remedies: Callable[[Case], list[Remedy]] | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    source: str = ""
    newest: tuple[str, ...] = ()


def check_divides(field: str, degree: int, noun: str, count: int) -> None:
    """A degree must divide a count of the model. Raises RequestError."""
    if degree > 1 and count % degree:
        raise RequestError(field, f"{degree} does not divide {count} {noun}", f"use a divisor of {count}")
