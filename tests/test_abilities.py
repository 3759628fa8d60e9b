"""Number formats that a GPU has no units for: what the engine does instead, and what that costs."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to

LLAMA = "meta-llama/Llama-3.1-8B"


def ask(**request: Any) -> dict[str, Any]:
    """An answer without inverse questions."""
    found = answer_to({"model": LLAMA, **request}, deep=False)
    assert "errors" not in found, found
    return found


def told(found: dict[str, Any]) -> list[str]:
    """Remarks on formats."""
    return [w for w in found["warnings"] if "has no units for" in w]


def weights(found: dict[str, Any]) -> int:
    """Bytes of the weights."""
    return sum(i["bytes"] for i in found["pools"][0]["items"] if i["component"].startswith("weights"))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"runtime": "vllm", "device": "t4"}, "refuses it"),
        ({"runtime": "sglang", "device": "t4"}, "float16 instead"),
        ({"runtime": "transformers", "device": "v100"}, "emulates"),
        ({"runtime": "fsdp", "task": "training", "device": "v100"}, "emulates"),
        ({"runtime": "vllm", "device": "a100", "quantization": "fp8"}, "Marlin"),
        ({"runtime": "tensorrt-llm", "device": "a100", "quantization": "fp8"}, "no such engine"),
        ({"runtime": "vllm", "device": "h100", "quantization": "nvfp4"}, "Marlin"),
    ],
)
def test_what_an_engine_does_instead(request_: dict[str, Any], words: str) -> None:
    (remark,) = told(ask(**request_))
    assert words in remark and "compute capability" in remark


@pytest.mark.parametrize(
    "request_",
    [
        {"runtime": "vllm", "device": "t4", "dtype": "float16"},
        {"runtime": "vllm", "device": "l4", "quantization": "fp8"},
        {"runtime": "vllm", "device": "b200", "quantization": "nvfp4"},
        {"runtime": "llama.cpp", "device": "t4"},
        {"runtime": "transformers", "device": "mi300x", "quantization": "fp8"},
        {"runtime": "transformers"},
    ],
)
def test_nothing_is_said_where_the_units_exist(request_: dict[str, Any]) -> None:
    assert not told(ask(**request_))


def test_transformers_expands_fp8_where_there_are_no_units() -> None:
    """Its quantizer goes on with `dequantize` below 8.9: an A100 holds 16-bit weights."""
    request = {"runtime": "transformers", "quantization": "fp8"}
    assert weights(ask(**request, device="a100")) == weights(ask(runtime="transformers"))
    assert weights(ask(**request, device="l40s")) < 0.6 * weights(ask(runtime="transformers"))
