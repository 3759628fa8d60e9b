"""Inverse questions: every answer is the largest that fits, found with few estimates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gauge.api import answer_to
from gauge.fit import MOST_ESTIMATES, largest


@given(st.integers(1, 5000), st.integers(1, 4096), st.integers(1, 10_000))
def test_straight_lines_are_met_exactly(cost: int, start: int, room: int) -> None:
    calls: list[int] = []

    def left(number: int) -> int:
        calls.append(number)
        return room * 100 - cost * number

    found = largest(left, 65_536, start, left(start))
    true = min(room * 100 // cost, 65_536)
    assert found <= true
    assert found == true or found >= true * 0.98
    assert len(calls) <= MOST_ESTIMATES + 6


@pytest.mark.parametrize("runtime", ["transformers", "vllm", "sglang", "tensorrt-llm"])
def test_largest_context_fits_and_a_longer_one_does_not(runtime: str) -> None:
    request = {"model": "meta-llama/Llama-3.1-8B", "runtime": runtime, "device_memory": "24GiB"}
    most = answer_to(request)["capacity"]["max_sequence_length"]
    if most in (0, 131_072):
        return
    for tokens, fits in ((most, True), (most + most // 32 + 32, False)):
        asked = answer_to({**request, "sequence_length": tokens, "prompt_length": tokens})
        assert (asked["fit"]["verdict"] != "short") is fits
