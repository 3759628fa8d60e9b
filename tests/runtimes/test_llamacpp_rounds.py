"""Blocks that repeat are left out of llama.cpp's graph only where the layout proves that they change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gauge.catalog import load_model
from gauge.formats import FLOAT16, FORMATS
from gauge.model import Model
from gauge.readers import huggingface
from gauge.runtimes.llamacpp.cache import Formats
from gauge.runtimes.llamacpp.context import Context
from gauge.runtimes.llamacpp.graph.builder import Builder, Setting
from gauge.runtimes.llamacpp.graph.forward import compute_peak, forward
from gauge.runtimes.llamacpp.graph.rounds import cut
from gauge.runtimes.llamacpp.policies import policy_of
from gauge.runtimes.llamacpp.reserve import Peak, reserve

MODELS = (
    "Qwen/Qwen3-4B",
    "Qwen/Qwen3.5-0.8B",
    "google/gemma-3-12b-pt",
    "ibm-granite/granite-4.0-h-micro",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
    "microsoft/phi-1",
    "nvidia/Nemotron-H-56B-Base-8K",
    "EleutherAI/gpt-j-6b",
    "LiquidAI/LFM2-700M",
    "openai/gpt-oss-120b",
    "deepseek-ai/DeepSeek-R1",
)


def whole(model: Model, setting: Setting) -> Peak:
    """Every block laid out."""
    graph = Builder(model, setting)
    forward(graph, model.decoder.blocks)
    return reserve(graph.recorded)[0]


@pytest.mark.parametrize("build", ["b8683", "b11000", "b11548"])
@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("id", MODELS)
def test_the_same_as_every_block_laid_out(id: str, flash: bool, build: str) -> None:
    model = huggingface.read(load_model(id)["config"])
    context = Context(
        tokens=4096, slots=1, streams=1, cells=4096, ubatch=512, windowed=True, flash=flash, outputs=512, policy=policy_of(build)
    )
    for key in (FLOAT16, FORMATS["Q8_0"]):
        for outputs in (1, 512):
            setting = Setting(replace(context, outputs=outputs), Formats(key, key if flash else FLOAT16))
            assert compute_peak(model, setting) == whole(model, setting)


def test_whole_rounds_are_cut_and_the_last_block_stays() -> None:
    kinds = ["dense", *["near", "near", "full"] * 10, "last"]
    found = cut(kinds)
    assert found and found.period == 3 and found.dropped % 6 == 0
    left = [kinds[i] for i in found.of(len(kinds))]
    assert left == [*kinds[: len(left) - 1], "last"]
    assert cut(["one"]) is None and cut(["a", "b"] * 4) is None


def test_only_a_state_that_comes_back_in_whole_rounds_is_proof() -> None:
    found = cut(["a"] * 32)
    assert found
    assert found.harmless(["settled"] * 32)
    assert found.harmless([i % 3 for i in range(32)])
    assert not found.harmless(list(range(32)))
    assert not found.harmless([i % 7 for i in range(32)])
