"""Hand-written answers in the contract's shape, so that the fragments are tested without the engine."""

from __future__ import annotations

from typing import Any

GIB = 1024**3


def item(component: str, label: str, size: int, certainty: str = "exact", **more: Any) -> dict[str, Any]:
    """One item of a pool; `more` overrides."""
    return {
        "component": component,
        "label": label,
        "bytes": size,
        "low": size,
        "high": size,
        "certainty": certainty,
        "symbols": "layers × tokens × KV heads × head size × bytes × 2",
        "substituted": "32 × 4,096 × 8 × 128 × 2 × 2",
        "why": "What each sequence keeps.",
        "source": "https://arxiv.org/abs/2205.05198",
        "moments": [],
        **more,
    }


def inference() -> dict[str, Any]:
    """Llama 3.1 8B answering one sequence of 4,096 tokens."""
    items = [
        item("weights.embedding", "Embedding", 1050673152),
        item("weights.layers", "Layers", 13958643712),
        item("weights.head", "Output head", 1050681344),
        item("kv_cache", "KV cache", 536870912, moments=["decode"]),
        item("activations", "Activations", 402653184, "policy", moments=["prefill"]),
        item("logits", "Logits", 256512, moments=["decode"]),
        item("framework", "CUDA context", 498 * 1024**2, "measured", low=420 * 1024**2, high=640 * 1024**2),
    ]
    return _answer(
        "inference",
        items,
        [("prefill", "Prefill"), ("decode", "Decode")],
        {"max_sequence_length": 131072, "max_batch_size": 118, "min_devices": 1},
    )


def training() -> dict[str, Any]:
    """Llama 3.1 8B trained in full: far too large for one device."""
    weights = 8030261248 * 4
    items = [
        item("weights", "Weights", weights),
        item("gradients", "Gradients", weights, moments=["backward", "step"]),
        item("optimizer_states", "AdamW moments", 2 * weights, moments=["backward", "step"]),
        item("activations", "Activations", 24 * GIB, "policy", moments=["forward", "backward"]),
        item("logits", "Logits and loss", 3 * GIB, moments=["forward"]),
        item("workspace", "Optimizer temporaries", weights, "policy", moments=["step"]),
        item("framework", "CUDA context", 498 * 1024**2, "measured", low=420 * 1024**2, high=640 * 1024**2),
    ]
    return _answer(
        "training",
        items,
        [("forward", "Forward"), ("backward", "Backward"), ("step", "Optimizer step")],
        {"max_sequence_length": 0, "max_batch_size": 0, "min_devices": 4},
    )


def _answer(task: str, items: list[dict[str, Any]], moments: list[tuple[str, str]], capacity: dict[str, int]) -> dict[str, Any]:
    def alive(moment: str) -> list[dict[str, Any]]:
        return [i for i in items if not i["moments"] or moment in i["moments"]]

    sums = {moment: sum(i["bytes"] for i in alive(moment)) for moment, _ in moments}
    peak = max(sums, key=lambda m: sums[m])
    device = sums[peak]
    outside = next(i for i in items if i["component"] == "framework")
    allocated = device - outside["bytes"]
    usable = 79 * GIB
    pool = {
        "name": "gpu",
        "count": 1,
        "items": items,
        "moments": [{"id": m, "label": n, "bytes": sums[m]} for m, n in moments],
        "peak": peak,
        "allocated": allocated,
        "reserved": allocated,
        "device": device,
        "low": sum(i["low"] for i in alive(peak)),
        "high": sum(i["high"] for i in alive(peak)),
    }
    return {
        "schema": 1,
        "gauge": "0.1.0",
        "request": {
            "model": "meta-llama/Llama-3.1-8B",
            "task": task,
            "runtime": "transformers",
            "dtype": "bfloat16",
            "device": "h100-80gb",
            "devices": 1,
            "batch_size": 1,
            "sequence_length": 4096,
        },
        "model": {
            "id": "meta-llama/Llama-3.1-8B",
            "family": "Llama 3",
            "parameters": 8030261248,
            "active_parameters": 8030261248,
            "trainable_parameters": 8030261248 if task == "training" else 0,
            "source": "https://huggingface.co/meta-llama/Llama-3.1-8B",
        },
        "pools": [pool],
        "capacity": {"kv_pool_bytes": None, "kv_pool_tokens": None, **capacity},
        "fit": {
            "device": "h100-80gb",
            "usable_bytes": usable,
            "headroom_bytes": usable - device,
            "verdict": "fits" if usable > device else "short",
            "remedies": []
            if usable > device
            else [
                {
                    "label": "8-bit AdamW",
                    "saves_bytes": 2 * weights_saved(items),
                    "cost": "slightly noisier updates",
                    "changes": {"optimizer": "adamw-8bit"},
                }
            ],
        },
        "warnings": ["`gpu_layers` is not used by transformers."],
    }


def weights_saved(items: list[dict[str, Any]]) -> int:
    """Bytes that 8-bit moments save."""
    return int(next(i["bytes"] for i in items if i["component"] == "optimizer_states")) * 3 // 8


CARDS = {
    "h100-80gb": {
        "id": "h100-80gb",
        "title": "NVIDIA H100 80 GB",
        "usable_bytes": 79 * GIB,
        "reported_bytes": 81559 * 1024**2,
        "marketing_gb": 80,
        "aliases": [],
        "vendor": "NVIDIA",
        "kind": "gpu",
    }
}


def field(name: str, label: str, kind: str, default: Any = None, group: str = "", **more: Any) -> dict[str, Any]:
    """One field of a schema."""
    return {
        "name": name,
        "label": label,
        "help": f"About {label}.",
        "kind": kind,
        "unit": None,
        "default": default,
        "choices": [],
        "tasks": None,
        "runtimes": None,
        "group": group,
        "prominent": not group,
        "placeholder": "",
        **more,
    }


def _choices(*values: str) -> list[dict[str, str]]:
    return [{"value": v, "label": v} for v in values]


SCHEMA = {
    "schema": 1,
    "gauge": "0.1.0",
    "groups": [
        {"id": "precision", "label": "Precision"},
        {"id": "parallelism", "label": "Parallelism"},
        {"id": "model", "label": "Architecture"},
    ],
    "fields": [
        field("model", "Model", "model", "meta-llama/Llama-3.1-8B"),
        field("task", "Task", "choice", "inference", choices=_choices("inference", "training")),
        field(
            "runtime",
            "Runtime",
            "choice",
            "transformers",
            choices=_choices("transformers", "textbook", "vllm", "llama.cpp"),
        ),
        field("device", "Device", "device", "h100-80gb"),
        field("batch_size", "Sequences at once", "count", 1),
        field("sequence_length", "Context", "tokens", None, unit="tokens"),
        field("dtype", "Data type", "choice", "bfloat16", "precision", choices=_choices("bfloat16", "float16", "float32")),
        field(
            "optimizer",
            "Optimizer",
            "choice",
            "adamw",
            "precision",
            choices=_choices("adamw", "adamw-8bit", "sgd"),
            tasks=["training"],
        ),
        field("tensor_parallel", "Tensor parallel", "count", 1, "parallelism"),
        field("sequence_parallel", "Sequence parallel", "flag", False, "parallelism"),
        field("config", "config.json", "config", None, "model"),
    ],
}
