"""What would do instead: the values nearest to one that was refused, each of them tried before it is offered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from math import ceil, floor
from typing import Any

from gauge.errors import RequestError, listed, word
from gauge.fields import FLAGS, LARGEST_COUNT, choices, nearest
from gauge.plan import KNOBS
from gauge.units import parse_count

Works = Callable[[Mapping[str, Any]], bool]
"""Whether a request with these fields changed is one that can be answered."""

NEIGHBOURS = 48  # whole numbers tried on either side, before powers of two
LARGEST_POWER = 2**12
FEW = 6  # choices offered where none is spelled alike


def remedied(error: RequestError, value: Any, works: Works) -> RequestError:
    """The error with remedies that were tried: other values of its own field, and the fixes that it came with.

    Its words stand where nothing was found, and where every fix it came with works as it says.
    """
    own = [{error.field: v} for v in _others(error.field, value, lambda v: works({error.field: v}))]
    came = [f for f in error.fixes if f not in own and works(f)]
    if not own and len(came) == len(error.fixes):
        return error
    fixes = [*own, *came]
    return error.edited(remedy=_told(error.field, fixes) or error.remedy, fixes=fixes)


def _told(field: str, fixes: Iterable[Mapping[str, Any]]) -> str:
    """`use 2, 4 or 8, or data_parallel=2`; a field that goes is `leave out parameters`."""
    own = [f[field] for f in fixes if f.keys() == {field} and f[field] is not None]
    others = [_words(f) for f in fixes if f.keys() != {field} or f[field] is None]
    return ", or ".join([f"use {listed(own)}"] * bool(own) + others)


def _words(fix: Mapping[str, Any]) -> str:
    put = " ".join(f"{name}={word(value)}" for name, value in fix.items() if value is not None)
    gone = " and ".join(name for name, value in fix.items() if value is None)
    return ", ".join(filter(None, (put and f"use {put}", gone and f"leave out {gone}")))


def _others(field: str, value: Any, works: Callable[[Any], bool]) -> list[Any]:
    knob = KNOBS.get(field)
    if knob is not None and knob.kind == "choice":
        return _choices(str(value), [v for v, _ in choices(knob) if v != str(value)], works)
    if isinstance(value, int) and not isinstance(value, bool) and (knob is None or knob.kind in ("count", "tokens")):
        return numbers(value, works)
    return list(filter(works, _readings(value))) if knob is None else []


def _readings(value: Any) -> list[Any]:
    """What a key of a config may have been meant as: a number or a flag written as text, a whole number beside a broken one."""
    if isinstance(value, float) and abs(value) < LARGEST_COUNT:
        return list(dict.fromkeys([floor(value), ceil(value)]))
    if not isinstance(value, str):
        return []
    try:
        return [parse_count(value)]
    except ValueError:
        return [FLAGS[said]] if (said := value.strip().lower()) in FLAGS and said else []


def _choices(value: str, offered: list[str], works: Callable[[Any], bool]) -> list[str]:
    """Choices that work: those spelled alike, or all of them where they are few."""
    alike = [v for v in nearest(value, offered, most=FEW) if works(v)]
    if alike:
        return alike[:3]
    working = list(islice((v for v in offered if works(v)), FEW + 1))
    return working if len(working) <= FEW else []


def numbers(value: int, works: Callable[[Any], bool]) -> list[int]:
    """Up to two numbers below and one above that work; 1 only where there is no other."""
    below = list(islice(filter(works, _below(value)), 3))
    above = list(islice(filter(works, _above(value)), 1))
    found = sorted({*below[:2], *above})
    return [n for n in found if n > 1] or found


def _below(value: int) -> Iterator[int]:
    least = max(value - NEIGHBOURS, 1)
    yield from range(value - 1, least - 1, -1)
    power = min(1 << max(least - 1, 0).bit_length() >> 1, LARGEST_POWER)
    while 0 < power < least:
        yield power
        power //= 2


def _above(value: int) -> Iterator[int]:
    most = max(value, 0) + NEIGHBOURS
    if value < LARGEST_POWER:
        yield from range(max(value, 0) + 1, most + 1)
    power = 1 << most.bit_length()
    while power <= min(8 * max(value, 1), LARGEST_POWER):
        yield power
        power *= 2
