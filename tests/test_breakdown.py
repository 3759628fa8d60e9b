"""Laws of every answer: factors multiply to bytes, items sum to moments, the peak is the largest."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge.api import answer_to
from gauge.breakdown import COMPONENTS
from gauge.catalog import model_index
from gauge.optimizers import OPTIMIZERS
from gauge.runtimes import runtimes

CATALOGUE = [str(entry["id"]) for entry in model_index()]
MODELS = ("gpt2", "bert-base", "t5-small", "llama-3.1-8b", "mistral-7b")
TASKS = [(id, task) for id, profiles in runtimes().items() for p in profiles for task in p.tasks]


def multiplied(text: str) -> int:
    """The value of a printed product such as `32 × 4,096 ÷ 2`."""
    words = re.split(r" (×|÷) ", text)
    top, bottom = int(words[0].replace(",", "")), 1
    for sign, word in zip(words[1::2], words[2::2], strict=True):
        number = int(word.replace(",", ""))
        top, bottom = (top * number, bottom) if sign == "×" else (top, bottom * number)
    assert top % bottom == 0
    return top // bottom


def check(answer: dict[str, Any]) -> None:
    """The laws of one answer."""
    for pool in answer["pools"]:
        for item in pool["items"]:
            assert item["component"].partition(".")[0] in COMPONENTS
            assert item["low"] <= item["bytes"] <= item["high"]
            assert item["bytes"] >= 0 and item["certainty"] in ("exact", "policy", "measured")
            if item["bytes"]:
                assert multiplied(item["substituted"]) == item["bytes"], item
        known = {m["id"] for m in pool["moments"]}
        for moment in pool["moments"]:
            alive = [i for i in pool["items"] if not i["moments"] or moment["id"] in i["moments"]]
            assert sum(i["bytes"] for i in alive) == moment["bytes"]
        assert all(set(i["moments"]) <= known for i in pool["items"])
        peak = max(m["bytes"] for m in pool["moments"])
        assert next(m["bytes"] for m in pool["moments"] if m["id"] == pool["peak"]) == peak == pool["device"]
        assert pool["allocated"] <= pool["reserved"] <= pool["device"] <= pool["high"]
        assert pool["low"] <= pool["device"]


@pytest.mark.parametrize(("runtime", "task"), TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_every_runtime_keeps_the_laws(runtime: str, task: str, model: str) -> None:
    found = answer_to({"model": model, "runtime": runtime, "task": task, "device": "h100-80gb"}, deep=False)
    if "errors" not in found:
        check(found)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.integers(1, 9),
    st.integers(2, 700),
    st.sampled_from(["none", "full"]),
    st.sampled_from(["float32", "mixed", "pure-16bit"]),
    st.sampled_from(["sdpa", "flash", "eager"]),
)
def test_training_plans_keep_the_laws(model: str, batch: int, tokens: int, checkpoint: str, precision: str, kernel: str) -> None:
    check(
        answer_to(
            {
                "model": model,
                "task": "training",
                "batch_size": batch,
                "sequence_length": tokens,
                "attention": kernel,
                "gradient_checkpointing": checkpoint,
                "precision": precision,
            },
            deep=False,
        )
    )


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(MODELS), st.integers(1, 16), st.integers(8, 500), st.sampled_from(["inference", "training"]))
def test_more_never_needs_less(model: str, batch: int, tokens: int, task: str) -> None:
    def need(**more: int) -> int:
        request = {"model": model, "task": task, "batch_size": batch, "sequence_length": tokens} | more
        return int(answer_to(request, deep=False)["pools"][0]["allocated"])

    here = need()
    assert need(batch_size=batch + 1) >= here
    assert need(sequence_length=tokens + 7) >= here


@pytest.mark.parametrize("model", MODELS)
def test_checkpointing_never_needs_more(model: str) -> None:
    sizes = [
        answer_to({"model": model, "task": "training", "gradient_checkpointing": c, "batch_size": 4}, deep=False)["pools"][0][
            "allocated"
        ]
        for c in ("none", "selective", "full")
    ]
    assert sizes == sorted(sizes, reverse=True)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(CATALOGUE),
    st.sampled_from(["inference", "training"]),
    st.integers(1, 5),
    st.integers(2, 600),
    st.sampled_from(["full", "lora", "qlora"]),
    st.sampled_from(["none", "selective", "full"]),
    st.sampled_from(["float32", "mixed", "pure-16bit", "master"]),
    st.sampled_from(sorted(OPTIMIZERS)),
    st.sampled_from(["standard", "chunked", "fused", "compiled"]),
)
def test_the_whole_catalogue_keeps_the_laws(
    model: str, task: str, batch: int, tokens: int, method: str, checkpoint: str, precision: str, optimizer: str, loss: str
) -> None:
    request = {"model": model, "task": task, "batch_size": batch, "sequence_length": tokens}
    if task == "training":
        request |= {"method": method, "gradient_checkpointing": checkpoint, "precision": precision}
        request |= {"optimizer": optimizer, "loss": loss}
    found = answer_to(request, deep=False)
    if "errors" not in found:
        check(found)


@pytest.mark.parametrize("rank", [1, 8, 64, 256])
def test_adapters_of_every_rank_have_their_exact_parameters(rank: int) -> None:
    request = {"model": "llama-3.1-8b", "task": "training", "method": "lora", "lora_rank": rank, "lora_targets": "all-linear"}
    found = answer_to(request, deep=False)
    hidden, keys, inner = 4096, 1024, 14336
    a_layer = 2 * (hidden + hidden) + 2 * (hidden + keys) + 3 * (hidden + inner)
    assert found["model"]["trainable_parameters"] == 32 * rank * a_layer
