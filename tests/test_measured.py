"""Measured runs that the package carries: those of the tests, whole, and the nearest ones come first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gauge import measured
from gauge.api import answer_to
from gauge.view import reality
from gauge.view.figures import MINUS, NBSP, Scale
from tests.truth import scoring


def test_the_carried_runs_are_those_of_the_tests() -> None:
    """Written anew by `python -m tests.truth.scoring --carry`."""
    assert scoring.CARRIED.read_text(encoding="utf-8") == scoring.carry()


@pytest.mark.parametrize("run", measured.runs()[::9], ids=lambda run: str(run.id))
def test_the_nearest_run_to_a_run_is_one_with_its_settings(run: measured.Run) -> None:
    found = measured.nearest(answer_to(dict(run.request), deep=False)["request"])[0]
    assert found.request["model"] == run.request["model"]
    assert found.request.get("quantization") == run.request.get("quantization")


def test_only_runs_of_the_same_task_and_runtime_are_near() -> None:
    for task, runtime in (("inference", "vllm"), ("training", "transformers"), ("training", "torchtune")):
        found = measured.nearest({"task": task, "runtime": runtime})
        assert found
        assert all(run.request["task"] == task and run.request["runtime"] == runtime for run in found)
    assert measured.nearest({"task": "inference", "runtime": "textbook"}) == []


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_an_error_has_the_sign_of_the_difference(said: int, true: int) -> None:
    shown = reality.percent_off(said, true)
    assert shown.endswith(f"{NBSP}%")
    assert not shown.startswith("+" if said < true else MINUS if said > true else "+")


def test_the_table_has_units_and_a_link_to_the_settings() -> None:
    runs = [run for run in measured.runs() if run.unit == "tokens"][:1] + [run for run in measured.runs() if run.unit == "bytes"][
        :1
    ]
    shown = reality.table([(run, float(run.value)) for run in runs], {}, {}, Scale.of(2**34))
    assert f"{NBSP}tokens" in shown
    assert f"{NBSP}GiB" in shown
    assert shown.count("#v=1&amp;model=") == 2
    assert shown.count(f"0.0{NBSP}%") == 2
