"""What an engine does where a GPU has no units for a number format: one table of facts.

Sources: vLLM platforms/cuda.py (check_if_supports_dtype) and quantization/utils/marlin_utils_fp4.py; SGLang
model_executor/model_runner.py; TensorRT-LLM's support matrix; transformers quantizers/quantizer_finegrained_fp8.py and
quantizer_mxfp4.py; PyTorch torch/cuda/__init__.py (is_bf16_supported).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.case import Case

Capability = tuple[int, int]
WEIGHT_ONLY = "{engine} keeps the weights in {format} and computes in 16 bits (Marlin kernels)"
EXPANDED = "{engine} expands the weights to 16 bits while they load, which is counted here"


@dataclass(frozen=True, slots=True)
class Fact:
    """Below the compute capability `least`, `runtime` does what `does` says with `value` in `field`.

    An empty runtime stands for every PyTorch program without a fact of its own.
    """

    field: str
    value: str
    format: str
    runtime: str
    least: Capability
    does: str


FACTS = (
    Fact("dtype", "bfloat16", "bfloat16", "vllm", (8, 0), "{engine} refuses it; give dtype=float16"),
    Fact("dtype", "bfloat16", "bfloat16", "sglang", (8, 0), "{engine} computes in float16 instead"),
    Fact("dtype", "bfloat16", "bfloat16", "tensorrt-llm", (8, 0), "{engine} refuses it; give dtype=float16"),
    Fact("dtype", "bfloat16", "bfloat16", "", (8, 0), "PyTorch emulates it slowly; such GPUs compute in float16"),
    Fact("quantization", "fp8", "FP8", "vllm", (8, 9), WEIGHT_ONLY),
    Fact("quantization", "fp8", "FP8", "sglang", (8, 9), WEIGHT_ONLY),
    Fact("quantization", "fp8", "FP8", "tensorrt-llm", (8, 9), "{engine} builds no such engine for it"),
    Fact("quantization", "fp8", "FP8", "transformers", (8, 9), EXPANDED),
    Fact("quantization", "nvfp4", "NVFP4", "vllm", (10, 0), WEIGHT_ONLY),
    Fact("quantization", "nvfp4", "NVFP4", "tensorrt-llm", (10, 0), "{engine} builds no such engine for it"),
    Fact("quantization", "mxfp4", "MXFP4", "vllm", (9, 0), WEIGHT_ONLY),
    Fact("quantization", "mxfp4", "MXFP4", "transformers", (7, 5), EXPANDED),
)
ELSEWHERE = frozenset({"llama.cpp", "textbook"})  # kernels of their own, or none


def facts(case: Case) -> Iterator[Fact]:
    """The facts that concern a case: formats that its GPU has no units for."""
    device, plan = case.cluster.device, case.plan
    capability = device.capability if device else None
    if capability is None or plan.runtime in ELSEWHERE:
        return
    for field in ("dtype", "quantization"):
        of_field = [f for f in FACTS if f.field == field and f.value == getattr(plan, field) and f.runtime in (plan.runtime, "")]
        yield from (f for f in of_field[:1] if capability < f.least)


def expands(case: Case) -> bool:
    """Whether the weights are expanded to 16 bits while they load."""
    return any(f.does is EXPANDED for f in facts(case))


def remarks(case: Case, engine: str) -> Iterator[str]:
    """What the engine does with each format that the GPU has no units for."""
    device = case.cluster.device
    for fact in facts(case):
        assert device is not None and device.capability is not None
        major, minor = device.capability
        does = fact.does.format(engine=engine, format=fact.format)
        yield f"{device.title} (compute capability {major}.{minor}) has no units for {fact.format}: {does}."
