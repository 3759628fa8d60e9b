"""What is remembered from one answer to the next never shows: a warm answer is the cold one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from gauge import architecture, breakdown
from gauge.runtimes import transformers_training
from gauge.view import html, page

CONFIG = {
    "model_type": "llama",
    "hidden_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "intermediate_size": 2816,
    "vocab_size": 32_000,
}
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"hidden_size": 2048},
    {"num_hidden_layers": 7},
    {"tie_word_embeddings": True},
    {"vocab_size": 32_001},
)
PLANS: tuple[dict[str, Any], ...] = (
    {"runtime": "vllm"},
    {"task": "training"},
    {"task": "training", "precision": "master"},
    {"task": "training", "optimizer": "adamw-8bit"},
    {"task": "training", "batch_size": 3, "sequence_length": 700},
    {"task": "training", "method": "lora"},
    {"task": "training", "runtime": "fsdp", "data_parallel": 2},
)


def requests() -> Iterator[str]:
    for plan in PLANS:
        for change in CHANGES:
            yield json.dumps({"config": {**CONFIG, **change}, "device": "h100-80gb", **plan})
            yield json.dumps({"model": "Qwen/Qwen3-0.6B", **{f"config.{k}": v for k, v in change.items()}, **plan})


def forget() -> None:
    architecture._known.clear()
    for remembered in (
        transformers_training._at_rest,
        breakdown._sizes,
        breakdown._written,
        html._attribute,
        page._answer,
    ):
        remembered.cache_clear()


def test_a_warm_answer_is_the_cold_one() -> None:
    asked = list(requests())
    cold = []
    for request in asked:
        forget()
        cold.append(page.update(request))
        assert "errors" not in json.loads(cold[-1])["answer"]
    order = [*range(len(asked))] * 2
    Random(7).shuffle(order)
    forget()
    for index in order:
        page._answer.cache_clear()
        assert page.update(asked[index]) == cold[index], asked[index]


def test_few_models_are_remembered() -> None:
    for layers in range(2, 30):
        page.update(json.dumps({"config": {**CONFIG, "num_hidden_layers": layers}}))
    assert len(architecture._known) == architecture.MOST_KNOWN


@pytest.mark.parametrize("wrong", [{"num_hidden_layers": 0}, {"hidden_size": "wide"}])
def test_a_mistake_is_told_every_time(wrong: dict[str, Any]) -> None:
    request = json.dumps({"config": {**CONFIG, **wrong}})
    assert json.loads(page.update(request))["answer"]["errors"]
    assert page.update(request) == page.update(request)
