"""The stated range of what an allocator and a device hold covers what was measured in at least 80 % of the cases."""

from __future__ import annotations

from typing import Any

from gauge.api import answer_to
from tests.truth.scoring import cases

SCOPES = {"gpu.reserved": ("reserved",), "gpu.device": ("reserved", "device")}


def covered(case: dict[str, Any], of: str, size: int) -> bool:
    """Whether a measured size lies in the range of an answer's own figure."""
    pool = answer_to(case["request"], deep=False)["pools"][0]
    outside = [i for i in pool["items"] if i["scope"] in SCOPES[of]]
    low, high = (pool["allocated"] + sum(i[end] for i in outside) for end in ("low", "high"))
    return low <= size <= high


def test_training_ranges_cover_what_was_measured() -> None:
    found = [
        covered(case, one["of"], one["bytes"])
        for case in cases()
        if case["request"]["runtime"] == "transformers" and case["request"]["task"] == "training"
        for one in case["expect"]
        if one["of"] in SCOPES
    ]
    assert found and sum(found) >= 0.8 * len(found)
