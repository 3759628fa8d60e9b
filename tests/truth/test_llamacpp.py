"""What llama.cpp printed and what its quantizer chose, case by case: `llamacpp.jsonl`.

Figures in MiB with two decimals are exact when they agree to the printed rounding; tensor bytes are exact to the byte.
Compute buffers have a gate that may only be tightened.
"""

from __future__ import annotations

import json
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gauge.api import answer_to
from gauge.units import MIB

CASES = [json.loads(line) for line in (Path(__file__).parent / "llamacpp.jsonl").read_text("utf-8").splitlines()]
ROUNDING = MIB // 100  # two decimals of a MiB, twice where two printed figures were added
WORST_COMPUTE = 0.0006  # two decimals of small buffers
TYPICAL_COMPUTE = 0.00005


@cache
def errors(index: int) -> dict[str, tuple[float, float]]:
    """Figure → (ours, printed) in bytes."""
    case = CASES[index]
    found = answer_to(case["request"], deep=False)
    assert "errors" not in found, found["errors"]
    return {e["of"]: (held(found, e["of"]), e["bytes"]) for e in case["expect"]}


def held(answer: dict[str, Any], path: str) -> float:
    """Bytes of `pool.component` at the peak; `all` adds the pools."""
    pool, component = path.split(".")
    return sum(
        i["bytes"]
        for p in answer["pools"]
        if pool in ("all", p["name"])
        for i in p["items"]
        if i["component"].partition(".")[0] == component
    )


@pytest.mark.parametrize("index", range(len(CASES)), ids=[c["id"] for c in CASES])
def test_weights_caches_and_states_are_exact(index: int) -> None:
    for of, (ours, printed) in errors(index).items():
        allowed = 0 if of.endswith("weights") else ROUNDING if not of.endswith("workspace") else None
        if allowed is not None:
            assert abs(ours - printed) <= allowed, of


def test_compute_buffers() -> None:
    off = [
        abs(ours / printed - 1)
        for index in range(len(CASES))
        for of, (ours, printed) in errors(index).items()
        if of == "host.workspace"
    ]
    assert statistics.median(off) <= TYPICAL_COMPUTE
    assert max(off) <= WORST_COMPUTE
