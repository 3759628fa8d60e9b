"""Measured constants: what no tensor explains. Each is a row of `gauge/data/overheads/<owner>.json`.

A row has `label`, `value` with `low` and `high` (the range it was seen in), `unit` (bytes unless said), `versions` that
it was seen with, `source`, and `why` as the reader is told.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pkgutil import get_data
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """A measured number with the range it was seen in."""

    id: str
    label: str
    value: int
    low: int
    high: int
    unit: str = "bytes"
    versions: str
    source: str
    why: str

    @property
    def range(self) -> tuple[int, int, int]:
        """(typical, lowest, highest)."""
        return self.value, self.low, self.high

    def times(self, count: int) -> tuple[int, int, int]:
        """The range of `count` of them."""
        return self.value * count, self.low * count, self.high * count

    def per(self, count: int, unit: int) -> tuple[int, int, int]:
        """The range of `count` of a number that is given for `unit` of something, e.g. parts in a thousand."""
        return self.value * count // unit, self.low * count // unit, self.high * count // unit


@cache
def _rows(owner: str) -> dict[str, dict[str, Any]]:
    text = get_data("gauge", f"data/overheads/{owner}.json") or b""
    rows: dict[str, dict[str, Any]] = json.loads(text)
    return rows


@cache
def overhead(owner: str, id: str) -> Overhead:
    """The constant `id` of a runtime. Raises KeyError, FileNotFoundError: a programming error."""
    return Overhead(id=id, **_rows(owner)[id])
