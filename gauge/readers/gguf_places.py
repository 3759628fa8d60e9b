"""Where in a file tensors of a type lie, packed into the keys of `gguf_types`: `Q6_K@0-3,6` beside the plain `Q6_K`.

A place is a block's number, `3x` for the experts of block 3, `in` for the tables that input tokens are looked up in, `out`
for what stands behind the blocks. The count of such a key is the elements in each of its places; plain keys are sums over
the file and stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

SIGN = "@"
INPUTS = ("token_embd", "position_embd", "token_types", "per_layer_token_embd")
_BLOCK = re.compile(r"(?:enc\.|dec\.)?blk\.(\d+)\.(.*)")
_PLACE = re.compile(r"(\d+)(?:-(\d+))?(x?)")


def place_of(name: str) -> str:
    """The place of a tensor by its name in the file."""
    found = _BLOCK.match(name)
    if found:
        return found[1] + ("x" if "_exps" in found[2] else "")
    return "in" if name.startswith(INPUTS) else "out"


def packed(tensors: Iterable[tuple[str, str, int]]) -> dict[str, int]:
    """Keys with places of tensors (name, type, elements): places with the same count of a type share one key."""
    counts: dict[tuple[str, str], int] = {}
    for name, kind, elements in tensors:
        key = kind, place_of(name)
        counts[key] = counts.get(key, 0) + elements
    alike: dict[tuple[str, int, str], list[str]] = {}
    for (kind, place), elements in counts.items():
        suffix = "x" if place.endswith("x") else "" if place.isdigit() else place
        alike.setdefault((kind, elements, suffix), []).append(place)
    return {f"{kind}{SIGN}{_joined(places, suffix)}": elements for (kind, elements, suffix), places in alike.items()}


def _joined(places: list[str], suffix: str) -> str:
    if suffix in ("in", "out"):
        return suffix
    numbers = sorted(int(p.removesuffix("x")) for p in places)
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join((str(a) if a == b else f"{a}-{b}") + suffix for a, b in runs)


def unpacked(types: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """(type, place, elements) of every key that has places. Raises ValueError on a place that is none."""
    for key, elements in types.items():
        kind, sign, places = key.partition(SIGN)
        if not sign:
            continue
        for one in places.split(","):
            if one in ("in", "out"):
                yield kind, one, elements
                continue
            found = _PLACE.fullmatch(one)
            if found is None or int(found[2] or found[1]) - int(found[1]) not in range(10_000):
                raise ValueError(one)
            for number in range(int(found[1]), int(found[2] or found[1]) + 1):
                yield kind, f"{number}{found[3]}", elements
