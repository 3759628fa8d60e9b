"""Every architecture that llama.cpp could be asked for, against what it printed and chose itself: `llamacpp_b11548.json`.

Caches and states agree to the printed rounding, files to the byte. Compute buffers agree to the rounding too where the
engine's graph is written down; elsewhere the error reached is a gate that may only be tightened.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gauge.api import answer_to
from gauge.catalog import load_model
from gauge.gguf.file_types import stored_types, traits_of
from gauge.gguf.tensors import file_tensors
from gauge.readers import huggingface
from gauge.units import MIB

FACTS = json.loads((Path(__file__).parent / "llamacpp_b11548.json").read_text("utf-8"))
ROUNDING = 0.016  # MiB: two figures of two decimals are added
PHASES = {
    "Snowflake/snowflake-arctic-instruct": 0.005,
    "google/gemma-3n-E2B": 0.39,
    "moonshotai/Kimi-Linear-48B-A3B-Instruct": 0.012,
    "MiniMaxAI/MiniMax-M3": 0.77,
    "Qwen/Qwen3.5-0.8B": 0.005,
}


@cache
def answered(model: str, setting: int) -> dict[str, Any]:
    """The host's items for one setting."""
    request = FACTS["settings"][setting] | {"model": model, "runtime": "llama.cpp", "runtime_version": "b11548"}
    found = answer_to(request | {"quantization": "F16", "devices": 0}, deep=False)
    assert "errors" not in found, found["errors"]
    return found


def held(answer: dict[str, Any], component: str) -> float:
    """MiB of a component."""
    items = [i for pool in answer["pools"] for i in pool["items"]]
    return float(sum(i["bytes"] for i in items if i["component"].partition(".")[0] == component) / MIB)


def cases() -> list[tuple[str, int]]:
    """Model and setting of everything that was printed."""
    return [(m, i) for m, facts in FACTS["models"].items() for i, row in enumerate(facts["printed"]) if row]


@pytest.mark.parametrize(("model", "setting"), cases())
def test_buffers_as_printed(model: str, setting: int) -> None:
    cache, state, workspace = FACTS["models"][model]["printed"][setting]
    found = answered(model, setting)
    assert held(found, "kv_cache") == pytest.approx(cache, abs=ROUNDING)
    assert held(found, "recurrent_state") == pytest.approx(state, abs=ROUNDING)
    assert held(found, "workspace") == pytest.approx(workspace, abs=ROUNDING, rel=PHASES.get(model, 0))


@pytest.mark.parametrize("model", [m for m, facts in FACTS["models"].items() if facts["tensors"]])
def test_files_to_the_byte(model: str) -> None:
    read = huggingface.read(load_model(model)["config"])
    tensors = list(file_tensors(read))
    for file_type, size in zip(FACTS["file_types"], FACTS["models"][model]["tensors"], strict=True):
        chosen = stored_types(tensors, file_type, traits_of(read))
        assert sum(s.tensor.stored_as(form).bytes for s, form in chosen) == size, file_type


def test_many_architectures() -> None:
    assert len({facts["architecture"] for facts in FACTS["models"].values()}) >= 60
