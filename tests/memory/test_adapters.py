"""Which matrices an adapter request means."""

from __future__ import annotations

import pytest

from gauge.api import answer_to
from gauge.memory.adapters import targets_of
from gauge.request import parse


@pytest.mark.parametrize(
    ("model", "asked", "names"),
    [
        ("llama-3.1-8b", "q_proj,v_proj", {"q_proj", "v_proj"}),
        ("tiiuae/falcon-7b", "q_proj,v_proj", {"query_key_value"}),
        ("microsoft/Phi-3-mini-4k-instruct", "q_proj,gate_proj", {"qkv_proj", "gate_up_proj"}),
        ("gpt2", "attention", {"c_attn", "c_proj"}),
    ],
)
def test_llamas_names_mean_roles_elsewhere(model: str, asked: str, names: set[str]) -> None:
    assert targets_of(parse({"model": model}).model, asked) == names


def test_a_name_that_means_nothing_is_an_error() -> None:
    (error,) = answer_to({"model": "gpt2", "task": "training", "method": "lora", "lora_targets": "q_prj"})["errors"]
    assert error["field"] == "lora_targets" and "c_attn" in error["remedy"]


def test_all_linear_means_every_matrix() -> None:
    assert targets_of(parse({"model": "gpt2"}).model, "all-linear") is None
