"""Measured constants say what they are, where they were seen and how far they range."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from gauge.overheads import overhead

FIELDS = {"label", "value", "low", "high", "unit", "versions", "source", "why"}
ROWS = [
    (file.name.removesuffix(".json"), id, row)
    for file in sorted(files("gauge.data").joinpath("overheads").iterdir(), key=lambda f: f.name)
    if file.name.endswith(".json")
    for id, row in json.loads(file.read_text(encoding="utf-8")).items()
]


@pytest.mark.parametrize(("owner", "id", "row"), ROWS, ids=lambda v: v if isinstance(v, str) else "")
def test_a_constant_is_a_range_with_a_source(owner: str, id: str, row: dict[str, Any]) -> None:
    assert row.keys() <= FIELDS
    assert all(isinstance(row[key], int) for key in ("value", "low", "high"))
    assert 0 <= row["low"] <= row["value"] <= row["high"]
    for key in ("label", "versions", "source", "why"):
        assert row[key].strip(), key
    found = overhead(owner, id)
    assert found.range == (row["value"], row["low"], row["high"])
    assert found.unit == row.get("unit", "bytes")
    assert found.times(3) == (3 * row["value"], 3 * row["low"], 3 * row["high"])
