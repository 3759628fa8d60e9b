"""Libraries that quantize a loaded model in place reach the head too, and leave the largest matrix' segment behind."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to

LLAMA = "meta-llama/Meta-Llama-3-8B"
HEAD, LINEAR = 128_256 * 4096, 8_030_261_248 - 2 * 128_256 * 4096 - 65 * 4096


def pool(version: str, quantization: str) -> dict[str, Any]:
    """The accelerator's pool of a short generation."""
    request = {"model": LLAMA, "runtime_version": version, "quantization": quantization, "sequence_length": 206}
    (found,) = answer_to(request, deep=False)["pools"]
    return dict(found)


def test_torchao_narrows_the_head_and_stores_zero_points() -> None:
    """Weights without the embedding are half a byte each, with a scale and a zero point for each 128 of them."""
    items = pool("gpt-fast 2024-09", "int4")["items"]
    held = sum(i["bytes"] for i in items if i["component"].startswith("weights.") and "embedding" not in i["component"])
    assert held == (HEAD + LINEAR) // 2 + (HEAD + LINEAR) // 128 * 4 + 65 * 4096 * 2


@pytest.mark.parametrize(
    ("version", "quantization", "copies"), [("gpt-fast 2024-09", "int8", 1), ("lit-gpt 2023-10", "bnb-nf4", 2)]
)
def test_the_largest_matrix_leaves_its_segment(version: str, quantization: str, copies: int) -> None:
    (left,) = (i for i in pool(version, quantization)["items"] if i["component"] == "workspace.quantizing")
    assert left["bytes"] == copies * HEAD * 2 and left["scope"] == "reserved"


def test_quantized_checkpoints_leave_nothing() -> None:
    assert not [i for i in pool("4.57", "int4")["items"] if i["component"] == "workspace.quantizing"]
