"""AutoAWQ's fused layers against the memory column of its README (version 0.1.6, RTX 4090, GiB)."""

from __future__ import annotations

import pytest

from gauge.api import answer_to

GIB = 2**30
ROWS = (  # model, batch, prompt = generated tokens, GiB
    ("lmsys/vicuna-7b-v1.5", 1, 64, 4.50),
    ("lmsys/vicuna-7b-v1.5", 1, 2048, 6.15),
    ("mistralai/Mistral-7B-v0.1", 8, 64, 4.35),
    ("meta-llama/Llama-2-13b-hf", 1, 64, 8.47),
    ("meta-llama/Llama-2-13b-hf", 1, 2048, 10.28),
    ("meta-llama/Llama-2-13b-hf", 3, 64, 8.57),
    ("meta-llama/Llama-2-13b-hf", 3, 2048, 16.90),
    ("tiiuae/falcon-7b", 1, 2048, 6.83),
    ("codellama/CodeLlama-34b-hf", 1, 64, 19.05),
    ("deepseek-ai/deepseek-coder-33b-base", 1, 64, 18.92),
    ("deepseek-ai/deepseek-coder-33b-base", 1, 2048, 19.87),
)


def asked(model: str, batch: int, prompt: int, version: str = "AutoAWQ 0.1.6") -> dict[str, object]:
    request = {
        "model": model,
        "runtime": "transformers",
        "runtime_version": version,
        "dtype": "float16",
        "quantization": "awq-int4-g128",
        "batch_size": batch,
        "prompt_length": prompt,
        "sequence_length": 2 * prompt,
        "attention": "eager",
    }
    pool: dict[str, object] = answer_to(request, deep=False)["pools"][0]
    return pool


@pytest.mark.parametrize(("model", "batch", "prompt", "stated"), ROWS)
def test_the_readme_is_hit_within_two_percent(model: str, batch: int, prompt: int, stated: float) -> None:
    assert asked(model, batch, prompt)["allocated"] == pytest.approx(stated * GIB, rel=0.02)


def test_short_prompts_peak_while_layers_are_fused() -> None:
    assert asked("mistralai/Mistral-7B-v0.1", 1, 64)["peak"] == "load"
    assert asked("mistralai/Mistral-7B-v0.1", 1, 2048)["peak"] == "prefill"


def test_plain_transformers_has_no_fused_layers() -> None:
    items = asked("mistralai/Mistral-7B-v0.1", 1, 64, "4.46")["items"]
    assert isinstance(items, list)
    assert not any(i["component"] == "workspace.fusing" for i in items)
