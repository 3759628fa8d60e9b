"""From tensors to explained bytes: items, moments, pools. The only place where a formula becomes words.

An explanation is derived from the tensor's own dimensions, never typed beside them, so it cannot drift.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import prod
from typing import Any, Literal, NamedTuple

from gauge.overheads import Overhead
from gauge.tensor import GLOSSARY, Extent, Tensor

Certainty = Literal["exact", "policy", "measured"]
Scope = Literal["allocated", "reserved", "device"]

COMPONENTS = (
    "weights",
    "adapters",
    "gradients",
    "optimizer_states",
    "master_weights",
    "activations",
    "logits",
    "kv_cache",
    "recurrent_state",
    "workspace",
    "communication",
    "cuda_graphs",
    "framework",
)


class Factor(NamedTuple):
    """One number of a product; `divides` where it stands under the line. `note` says what split or rounded it."""

    name: str
    value: int
    note: str = ""
    meaning: str = ""
    divides: bool = False


class Item(NamedTuple):
    """Some bytes with their reason.

    `moments` are the ids of the moments at which it lives, empty for always. `scope` tells what counts it: the
    framework's allocator, its reservation, or only the device as a whole. `code` is the file and line that made it.
    """

    component: str
    label: str
    bytes: int
    low: int
    high: int
    certainty: Certainty = "exact"
    factors: tuple[Factor, ...] = ()
    why: str = ""
    source: str = ""
    moments: tuple[str, ...] = ()
    scope: Scope = "allocated"
    code: str = ""

    @property
    def kind(self) -> str:
        """The component without its finer split."""
        return self.component.partition(".")[0]

    @property
    def symbols(self) -> str:
        """The product in words: `layers × KV heads × head size × bytes`."""
        return _written(self.factors)[0]

    @property
    def substituted(self) -> str:
        """The product in numbers: `32 × 8 × 128 × 2`."""
        return _written(self.factors)[1]

    def at(self, *moments: str) -> Item:
        """The same bytes, alive only at these moments."""
        return self._replace(moments=moments)


@lru_cache(maxsize=4096)
def _written(factors: tuple[Factor, ...]) -> tuple[str, str]:
    """The product in words and in numbers."""
    return _product(factors, [f.name for f in factors]), _product(factors, [f"{f.value:,}" for f in factors])


def _product(factors: tuple[Factor, ...], shown: list[str]) -> str:
    if not any(f.divides for f in factors):
        return " × ".join(shown)
    text = ""
    for factor, word in zip(factors, shown, strict=True):
        sign = " ÷ " if factor.divides else " × "
        text += (sign if text else "1 ÷ " if factor.divides else "") + word
    return text


def made() -> str:
    """Where the caller's caller stands: `gauge/memory/weights.py#L52`."""
    frame = sys._getframe(2)
    return f"{_file(frame.f_code.co_filename)}#L{frame.f_lineno}"


@lru_cache(maxsize=256)
def _file(path: str) -> str:
    return "gauge/" + f"/{path}".replace("\\", "/").rpartition("/gauge/")[2]


_NAMES = {dim: dim.value for dim in GLOSSARY}


@lru_cache(maxsize=4096)
def _sizes(dims: tuple[Extent, ...]) -> tuple[Factor, ...]:
    return tuple([Factor(_NAMES[e.dim], e.size, e.note, GLOSSARY[e.dim]) for e in dims])


def factors_of(tensor: Tensor) -> tuple[Factor, ...]:
    """The printed factors of a tensor: its dimensions, then its format. They multiply to its bytes."""
    form = tensor.format
    sizes = _sizes(tensor.dims)
    if form.values == 1:
        return (*sizes, Factor("bytes", form.bytes, "", form.label))
    out = [*sizes]
    if tensor.elements % form.values:
        blocks = tensor.bytes // form.bytes
        note = f"{tensor.elements:,} values in blocks of {form.values}, the last one filled up"
        out = [Factor("blocks", blocks, note, form.label)]
    else:
        out.append(Factor("values a block", form.values, "", form.label, divides=True))
    out.append(Factor("bytes a block", form.bytes, "", form.label))
    return tuple(out)


def item(
    component: str,
    tensor: Tensor,
    label: str = "",
    *,
    why: str = "",
    source: str = "",
    certainty: Certainty = "exact",
    moments: tuple[str, ...] = (),
    scope: Scope = "allocated",
) -> Item:
    """An item of one tensor, explained by its dimensions."""
    size = tensor.bytes
    return Item(
        component=component,
        label=label or tensor.name,
        bytes=size,
        low=size,
        high=size,
        certainty=certainty,
        factors=factors_of(tensor),
        why=why,
        source=source,
        moments=moments,
        scope=scope,
        code=made(),
    )


def product(
    component: str,
    label: str,
    factors: tuple[Factor, ...],
    *,
    why: str = "",
    source: str = "",
    certainty: Certainty = "policy",
    moments: tuple[str, ...] = (),
    scope: Scope = "allocated",
) -> Item:
    """An item whose bytes are the product of the factors; those that divide must leave no remainder."""
    size = prod(f.value for f in factors if not f.divides) // prod(f.value for f in factors if f.divides)
    return Item(
        component=component,
        label=label,
        bytes=size,
        low=size,
        high=size,
        certainty=certainty,
        factors=factors,
        why=why,
        source=source,
        moments=moments,
        scope=scope,
        code=made(),
    )


def measured(
    component: str,
    label: str,
    size: int,
    low: int,
    high: int,
    *,
    why: str,
    source: str,
    moments: tuple[str, ...] = (),
    scope: Scope = "device",
    certainty: Certainty = "measured",
    code: str = "",
) -> Item:
    """An item that was measured rather than derived, with the range it was seen in."""
    factors = (Factor("bytes", size, "", "measured"),)
    return Item(
        component=component,
        label=label,
        bytes=size,
        low=low,
        high=high,
        certainty=certainty,
        factors=factors,
        why=why,
        source=source,
        moments=moments,
        scope=scope,
        code=code or made(),
    )


def constant(
    component: str,
    found: Overhead,
    *,
    label: str = "",
    size: tuple[int, int, int] | None = None,
    moments: tuple[str, ...] = (),
    scope: Scope = "device",
) -> Item:
    """An item of a measured constant; `size` (typical, lowest, highest) where it scales with something."""
    source = f"{found.source} ({found.versions})" if found.versions else found.source
    return measured(
        component,
        label or found.label,
        *(size or found.range),
        why=found.why,
        source=source,
        moments=moments,
        scope=scope,
        code=made(),
    )


@dataclass(frozen=True, slots=True)
class Event:
    """One point in the course of a step or request: bytes by component."""

    event: str
    layer: int | None
    bytes: dict[str, int]


@dataclass(frozen=True)
class Pool:
    """One kind of device, by its fullest member.

    `moments` are (id, label) in the order of time. An item without moments lives at all of them. `place` tells pools of
    one name apart: which pipeline stages it stands for.
    """

    name: str
    count: int
    items: tuple[Item, ...]
    moments: tuple[tuple[str, str], ...]
    timeline: tuple[Event, ...] = field(default=())
    place: str = ""

    @cached_property
    def _alive(self) -> dict[str, tuple[Item, ...]]:
        return {}

    def alive(self, moment: str) -> tuple[Item, ...]:
        """The items that live at a moment."""
        found = self._alive.get(moment)
        if found is None:
            found = self._alive[moment] = tuple([i for i in self.items if not i.moments or moment in i.moments])
        return found

    def bytes_at(self, moment: str, scopes: Iterable[str] = ("allocated", "reserved", "device")) -> int:
        """Bytes alive at a moment within the scopes."""
        wanted = frozenset(scopes)
        return sum([i.bytes for i in self.alive(moment) if i.scope in wanted])

    @cached_property
    def peak(self) -> str:
        """The id of the largest moment; the earliest where several are equal."""
        return max((m for m, _ in self.moments), key=self.bytes_at)

    @cached_property
    def allocated(self) -> int:
        """What the framework's allocator counts at the peak."""
        return self.bytes_at(self.peak, ("allocated",))

    @cached_property
    def reserved(self) -> int:
        """`allocated` and the allocator's slack."""
        return self.bytes_at(self.peak, ("allocated", "reserved"))

    @cached_property
    def device(self) -> int:
        """`reserved` and what lives outside the allocator: what the driver's tool shows."""
        return self.bytes_at(self.peak)

    @property
    def low(self) -> int:
        """The lower end of `device`."""
        return sum(i.low for i in self.alive(self.peak))

    @property
    def high(self) -> int:
        """The upper end of `device`."""
        return sum(i.high for i in self.alive(self.peak))


def merged(items: Iterable[Item]) -> tuple[Item, ...]:
    """Items that differ in nothing but the moments they live at become one; order of first appearance is kept.

    Two that live at one moment are two pieces of memory and stay apart.
    """
    found: dict[tuple[Any, ...], list[Item]] = {}
    moments: dict[tuple[Any, ...], set[str]] = {}
    for one in items:
        key: tuple[Any, ...] = (one.component, one.label, one.factors, one.certainty, one.scope, one.low, one.high)
        while (lived := moments.get(key)) is not None and not (one.moments and lived and lived.isdisjoint(one.moments)):
            key = (*key, "again")
        if lived is None:
            found[key], moments[key] = [one], set(one.moments)
        else:
            found[key].append(one)
            lived.update(one.moments)
    return tuple([_joined(same) for same in found.values()])


def _joined(same: list[Item]) -> Item:
    """The first of several items, alive at the moments of all."""
    return same[0] if len(same) == 1 else same[0].at(*(m for one in same for m in one.moments))


def within(items: tuple[Item, ...], moments: Iterable[tuple[str, str]]) -> tuple[Item, ...]:
    """The items as far as they live at one of these moments."""
    known = {id for id, _ in moments}
    cut = (i.at(*(m for m in i.moments if m in known)) if not known.issuperset(i.moments) else i for i in items)
    return tuple(new for old, new in zip(items, cut, strict=True) if new.moments or not old.moments)
