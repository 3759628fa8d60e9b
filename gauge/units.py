"""Reading and printing amounts: the only file that knows 1,000 from 1,024.

Everything inside the engine is an integer number of bytes, elements or tokens; text appears at the rim.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Literal

KIB = 1024
MIB = 1024**2
GIB = 1024**3
TIB = 1024**4

System = Literal["GiB", "GB"]
Rounding = Literal["nearest", "up", "down"]

_BINARY = (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
_DECIMAL = (("TB", 1000**4), ("GB", 1000**3), ("MB", 1000**2), ("kB", 1000))
_BYTE_UNITS = {name.lower(): size for name, size in (*_BINARY, *_DECIMAL)} | {"": 1, "b": 1, "bytes": 1}
_BYTE_UNITS |= {"k": KIB, "m": MIB, "g": GIB, "t": TIB}
_COUNT_UNITS = {"": 1, "k": 1000, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_TOKEN_UNITS = {"": 1, "k": 1024, "m": 1024**2, "ki": 1024, "mi": 1024**2}

_SPACES = "_'’ \u00a0\u202f"
_AMOUNT = re.compile(rf"\s*([+-]?)([0-9](?:[0-9.,{_SPACES}]*[0-9])?)((?:[eE][+-]?[0-9]{{1,3}})?)\s*([A-Za-z]*)\s*\Z")
_GROUPED = {mark: re.compile(rf"[0-9]{{1,3}}(?:\{mark}[0-9]{{3}})+\Z") for mark in ",."}
_ROUND = {"nearest": ROUND_HALF_EVEN, "up": ROUND_CEILING, "down": ROUND_FLOOR}
_LONGEST = 40


def _parse(text: str, units: dict[str, int], noun: str) -> int:
    match = _AMOUNT.match(text) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f"not a {noun}")
    sign, digits, power, unit = match.groups()
    factor = units.get(unit.lower())
    if factor is None:
        raise ValueError(f"unknown unit {unit!r}")
    value = Decimal(sign + _plain(digits, noun, whole=factor == 1 and not power) + power) * factor
    if value != value.to_integral_value():
        raise ValueError(f"not a whole {noun}")
    return int(value)


def _plain(digits: str, noun: str, whole: bool) -> str:
    """Digits as English writes them in programs, from any locale's grouping and decimal mark.

    `1,234.5`, `1.234,5`, `1 234,5` and `1’234.5` are one number. A single point before three digits groups only where
    a number without a unit must be `whole` (`8.192` tokens); a comma there always groups. Raises ValueError.
    """
    bare = re.sub(f"[{_SPACES}]", "", digits)
    marks = [mark for mark in bare if mark in ",."]
    if not marks:
        return bare
    last = marks[-1]
    before, _, after = bare.rpartition(last)
    other = "," if last == "." else "."
    if marks.count(last) == 1 and (other not in before or _GROUPED[other].match(before)):
        groups = _GROUPED[last].match(bare) and (last == "," or whole)
        return before + after if groups else f"{before.replace(other, '')}.{after}"
    if other not in bare and _GROUPED[last].match(bare):
        return bare.replace(last, "")
    raise ValueError(f"not a {noun}")


def parse_bytes(text: str) -> int:
    """Bytes from `80GiB`, `24 GB`, `1e9`; a bare `k`, `M`, `G` counts in 1,024s.

    Raises ValueError where the text is no amount or no whole number of bytes.
    """
    return _parse(text, _BYTE_UNITS, "number of bytes")


def parse_count(text: str) -> int:
    """A count from `8.03B`, `175e9`, `131,072`; `k`, `M`, `B` are 1,000-based. Raises ValueError."""
    return _parse(text, _COUNT_UNITS, "number")


def parse_tokens(text: str) -> int:
    """Tokens from `32k`, `1M`, `131,072`, `131.072`; `k` and `M` are 1,024-based. Raises ValueError."""
    return _parse(text, _TOKEN_UNITS, "number of tokens")


def scaled(size: int, system: System = "GiB") -> tuple[int, str]:
    """The unit a size is best read in: (bytes per unit, name)."""
    for name, unit in _BINARY if system == "GiB" else _DECIMAL:
        if abs(size) >= unit:
            return unit, name
    return 1, "B"


def format_bytes(size: int, system: System = "GiB", rounding: Rounding = "nearest", places: int = 2) -> str:
    """`size` in its natural unit with that unit, e.g. `15.00 GiB`; needs round up, capacities down."""
    unit, name = scaled(size, system)
    if unit == 1:
        return f"{size:,} B"
    return f"{in_unit(size, unit, rounding, places)} {name}"


def in_unit(size: int, unit: int, rounding: Rounding = "nearest", places: int = 2) -> str:
    """`size / unit` with a fixed number of decimal places, exactly rounded."""
    quantum = Decimal(1).scaleb(-places)
    return f"{(Decimal(size) / unit).quantize(quantum, _ROUND[rounding]):,}"


def format_count(count: int) -> str:
    """A short count such as `8.03 B` parameters or `405 M`."""
    for name, unit in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("k", 1000)):
        if count >= unit:
            places = max(0, 3 - len(str(count // unit)))
            return f"{in_unit(count, unit, 'nearest', places)} {name}"
    return str(count)


def ceil_div(dividend: int, divisor: int) -> int:
    """Integer division rounded up."""
    return -(-dividend // divisor)


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `value`."""
    return ceil_div(value, multiple) * multiple
