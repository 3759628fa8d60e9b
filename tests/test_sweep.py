"""Every model of the catalogue through every runtime: an answer or a reason, never a fault of ours.

Each runtime gets every sixth model, shifted from runtime to runtime, so that every model is asked and the sweep stays
short.
"""

from __future__ import annotations

import json

import pytest

from gauge import api, catalog
from gauge.runtimes import of_task

EVERY = 6
PAIRS = [(task, id) for task in ("inference", "training") for id in of_task(task)]
IDS = [entry["id"] for entry in catalog.model_index()]


def asked(model: str, task: str, runtime: str, deep: bool) -> dict[str, object]:
    fields = {"model": model, "task": task, "runtime": runtime, "batch_size": 1, "sequence_length": 128}
    return api.answer_text(json.dumps({**fields, "device": "h100-80gb"}), deep)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p[0]}-{p[1]}")
def test_every_model_is_answered_or_refused_with_a_reason(pair: tuple[str, str]) -> None:
    shift = PAIRS.index(pair)
    for model in IDS[shift % EVERY :: EVERY]:
        found = asked(model, *pair, deep=False)
        errors = found.get("errors")
        assert isinstance(errors, list) or found["pools"], model
        for error in errors if isinstance(errors, list) else ():
            assert api.OUR_FAULT not in error["message"], f"{model}: {error['message']}"
            assert error["field"], model
            assert error["remedy"], model


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p[0]}-{p[1]}")
def test_inverse_questions_are_answered_too(pair: tuple[str, str]) -> None:
    shift = PAIRS.index(pair)
    for model in IDS[shift :: len(IDS) // 3]:
        assert api.OUR_FAULT not in json.dumps(asked(model, *pair, deep=True)), model
