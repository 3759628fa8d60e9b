"""Position tables that serving engines keep: as many rows as the stretched context, on every rank.

Published weights of vLLM 0.19 beyond parameters (start-up logs): Llama 3.1 8B 0.03 GiB, Gemma 3 4B and 12B 0.57 GiB,
Llama 4 Scout 2.5 GiB.
"""

from __future__ import annotations

import pytest

from gauge.api import answer_to


def table(model: str, **request: object) -> int:
    found = answer_to({"model": model, "runtime": "vllm", "device": "h100-80gb", "sequence_length": 1600, **request}, deep=False)
    assert "errors" not in found, found
    return sum(i["bytes"] for i in found["pools"][0]["items"] if i["component"] == "weights.rotary")


@pytest.mark.parametrize(
    ("model", "gib"),
    [
        ("meta-llama/Llama-3.1-8B", 0.03),
        ("google/gemma-3-4b-pt", 0.57),
        ("google/gemma-3-12b-pt", 0.57),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 2.5),
    ],
)
def test_tables_as_published(model: str, gib: float) -> None:
    assert table(model) / 2**30 == pytest.approx(gib, abs=0.01)


def test_every_rank_keeps_the_whole_table() -> None:
    assert table("meta-llama/Llama-3.1-8B", tensor_parallel=4) == table("meta-llama/Llama-3.1-8B")


def test_the_sampler_takes_about_14_bytes_a_sequence_and_word() -> None:
    """1,024 sequences in the profile of a large device; published fit 14.2 bytes."""
    found = answer_to({"model": "meta-llama/Llama-3.1-8B", "runtime": "vllm", "runtime_version": "0.19", "device": "h100-80gb"})
    logits = sum(i["bytes"] for i in found["pools"][0]["items"] if i["component"] == "logits")
    assert logits / 1024 / 128_256 == pytest.approx(14.2, rel=0.03)
