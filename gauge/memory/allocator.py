"""How much PyTorch's caching allocator holds beyond live tensors, from the sizes of the blocks that a step asks for.

Blocks are rounded to 512 bytes. Those up to 1 MiB are cut from segments of 2 MiB, those up to 10 MiB from segments of
20 MiB, larger ones get a segment rounded to 2 MiB. What is freed stays cached. At best every freed segment serves a
later request: then the reservation is the peak itself with its segments filled up. At worst no freed segment fits what
comes later: each size keeps as many blocks as it ever had at once, and what is born while activations die spoils their
segments for the next step. The two bound the reservation; a full device
makes the allocator give its cache back, so it never exceeds the device.

Source: PyTorch 2.13 c10/cuda/CUDACachingAllocator.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gauge.breakdown import Item, Pool
from gauge.overheads import overhead
from gauge.units import MIB, round_up

GRAIN = 512
SMALL, SMALL_SEGMENT = MIB, 2 * MIB
MIDDLE, MIDDLE_SEGMENT = 10 * MIB, 20 * MIB
LARGE_GRAIN = 2 * MIB
COUNTED = ("layers", "copies")

Blocks = dict[int, int]


def block(one: Item) -> tuple[int, int]:
    """(block size, how many of it): an item that stands for several layers or copies is so many blocks."""
    if one.scope != "allocated" or one.certainty == "measured" or not one.bytes:
        return 0, 0
    count = 1
    for factor in one.factors:
        if factor.name not in COUNTED:
            break
        count *= factor.value
    return round_up(-(-one.bytes // count), GRAIN), count


def _together(cut: Iterable[tuple[int, int]], more: Mapping[int, int] = MappingProxyType({})) -> Blocks:
    """Block size → how many of it, with `more` that were counted already."""
    found: Blocks = dict(more)
    for size, count in cut:
        found[size] = found.get(size, 0) + count
    return found


def segments(held: Blocks) -> int:
    """Bytes of the segments that hold these blocks when each kind is packed without gaps."""
    small = sum(size * n for size, n in held.items() if size <= SMALL)
    middle = sum(size * n for size, n in held.items() if SMALL < size < MIDDLE)
    large = sum(round_up(size, LARGE_GRAIN) * n for size, n in held.items() if size >= MIDDLE)
    return round_up(small, SMALL_SEGMENT) + round_up(middle, MIDDLE_SEGMENT) + large


def reserved(pool: Pool, capacity: int | None, sizes: Mapping[int, int] | None = None, born: int = 0) -> tuple[int, int, int]:
    """What the allocator holds beyond the peak's live tensors: (typical, lowest, highest).

    Typical is a measured share of the way, and no more than what the largest operators of the phases ask for.
    `sizes` are blocks that single operators have at once, `born` the bytes that are made while the first step's
    activations die and then stay (states, kept gradients): at worst they lie in the holes that those left.
    """
    peak = pool.allocated
    worst: Blocks = {}
    least = 0
    cut = [(one.moments, block(one)) for one in pool.items]
    still = _together(one for moments, one in cut if not moments)
    for moment, _ in pool.moments:
        held = _together([one for moments, one in cut if moment in moments], still)
        least = max(least, segments(held))
        _most(worst, held)
    low = max(least - peak, 0)
    coarse = max(segments(worst) - peak, low)
    _most(worst, _together((round_up(size, GRAIN), count) for size, count in (sizes or {}).items()))
    high = max(segments(worst) + born - peak, low)
    typical = min(low + overhead("pytorch", "spread").value * (high - low) // 100, coarse)
    room = high if capacity is None or capacity <= peak else capacity - peak
    return min(typical, room), min(low, room), min(high, room)


def _most(worst: Blocks, held: Blocks) -> None:
    for size, count in held.items():
        worst[size] = max(worst.get(size, 0), count)
