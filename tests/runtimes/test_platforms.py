"""What a device is decides what lies outside tensors: a driver's context, captured graphs, or only the process."""

from __future__ import annotations

from typing import Any

import pytest

from gauge.api import answer_to

SMALL = "meta-llama/Llama-3.2-1B"


def asked(**request: Any) -> dict[str, Any]:
    found = answer_to({"model": SMALL, "sequence_length": 2048, **request}, deep=False)
    assert "errors" not in found, found
    return found


def labels(found: dict[str, Any]) -> str:
    return " / ".join(i["label"] for p in found["pools"] for i in p["items"])


@pytest.mark.parametrize("device", ["raspberry-pi-5-8gb", "cpu-64gb", "pixel-8", "iphone-16"])
@pytest.mark.parametrize("runtime", ["llama.cpp", "transformers"])
def test_a_processor_has_one_pool_and_no_driver(device: str, runtime: str) -> None:
    found = asked(runtime=runtime, device=device)
    assert [p["name"] for p in found["pools"]] == ["host"]
    assert "CUDA" not in labels(found)
    assert found["fit"]["verdict"]


def test_llamacpp_offers_no_layers_elsewhere_on_a_processor() -> None:
    found = answer_to(
        {"model": "meta-llama/Llama-3.1-8B", "runtime": "llama.cpp", "device": "raspberry-pi-5-8gb", "quantization": "F16"}
    )
    assert found["fit"]["verdict"] == "short"
    assert not any("gpu_layers" in r["changes"] for r in found["fit"]["remedies"])


@pytest.mark.parametrize("runtime", ["llama.cpp", "transformers", "vllm", "sglang"])
def test_a_mac_has_metal_and_no_cuda(runtime: str) -> None:
    found = asked(runtime=runtime, device="apple-m3-max-64gb")
    assert "Metal" in labels(found)
    assert "CUDA" not in labels(found)
    assert "cuBLAS" not in labels(found)


@pytest.mark.parametrize(("device", "label"), [("rx-7900-xtx", "HIP"), ("arc-b580", "Level Zero"), ("tpu-v5e", "TPU")])
def test_contexts_are_named_by_platform_with_a_range(device: str, label: str) -> None:
    items = asked(runtime="transformers", device=device)["pools"][0]["items"]
    (context,) = (i for i in items if i["component"] == "framework.context")
    assert label in context["label"]
    assert context["low"] < context["bytes"] < context["high"]


def test_engines_say_where_their_policies_come_from() -> None:
    assert any("another backend" in w for w in asked(runtime="vllm", device="tpu-v5e")["warnings"])
    assert not any("another backend" in w for w in asked(runtime="vllm", device="mi300x")["warnings"])


@pytest.mark.parametrize("runtime", ["vllm", "sglang", "tensorrt-llm"])
def test_engines_on_processors_are_refused_with_a_way_out(runtime: str) -> None:
    (error,) = answer_to({"model": SMALL, "runtime": runtime, "device": "cpu-64gb"}, deep=False)["errors"]
    assert error["field"] == "runtime" and error["remedy"]


@pytest.mark.parametrize(("device", "gib"), [("h100-80gb", 0.51), ("a100-80gb", 0.45), ("rtx-3060-12gb", 0.27), ("t4", 0.30)])
def test_contexts_grow_with_multiprocessors(device: str, gib: float) -> None:
    """In use before weights are loaded, by start-up logs: 0.51 GiB on an H100, 0.27 on a card of 12 GB."""
    found = answer_to({"model": "gpt2", "runtime": "sglang", "device": device}, deep=False)["pools"][0]["items"]
    (context,) = (i for i in found if i["component"] == "framework.context")
    assert context["bytes"] / 2**30 == pytest.approx(gib, abs=0.006)
    assert context["low"] < context["bytes"] < context["high"]
