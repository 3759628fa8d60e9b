"""transformers itself as the oracle of the image classifiers: numbers in all weights, and the peak of a training step.

Not part of the default run; needs torch and transformers:

    python -m pytest -m oracle tests/oracle

Steps run as in `test_step`: the allocator's own events on a computer, float32, composed attention. What the processor's
convolution library takes for itself while it runs is left out: on a GPU that is another library's choice.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gauge.readers import huggingface
from tests.oracle.test_step import peak_of, worst_moment

pytestmark = pytest.mark.oracle

BATCH = 4
CONVOLUTIONS = ("aten::convolution_backward", "aten::mkldnn_convolution")
CONVNEXT = {"hidden_sizes": [24, 32, 48, 64], "depths": [2, 2, 3, 2], "image_size": 128}
SWIN = {"embed_dim": 32, "depths": [2, 4, 2], "num_heads": [2, 4, 8], "window_size": 6, "image_size": 96}
VIT = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 384, "image_size": 96}
CLASSES = {"vit": "ViTForImageClassification", "deit": "DeiTForImageClassification"}
STEPS: dict[str, dict[str, Any]] = {
    "convnext": {"model_type": "convnext", **CONVNEXT},
    "convnext, without scales": {"model_type": "convnext", **CONVNEXT, "layer_scale_init_value": 0.0},
    "convnext, branches dropped": {"model_type": "convnext", **CONVNEXT, "drop_path_rate": 0.2},
    "convnextv2": {"model_type": "convnextv2", **CONVNEXT},
    "swin": {"model_type": "swin", **SWIN, "drop_path_rate": 0.0},
    "swin, branches dropped": {"model_type": "swin", **SWIN},
    "swin, padded": {"model_type": "swin", **SWIN, "window_size": 5},
    "vit": {"model_type": "vit", **VIT, "patch_size": 8},
    "deit": {"model_type": "deit", **VIT, "patch_size": 8, "architectures": [CLASSES["deit"]]},
    "swinv2, deeper, branches dropped": {"model_type": "swinv2", **SWIN, "depths": [4, 6, 4]},
    "swinv2": {"model_type": "swinv2", **SWIN, "drop_path_rate": 0.0},
}


def drawn(kind: str, draw: Random) -> dict[str, Any]:
    """A config of random small sizes."""
    stages = draw.randint(2, 4)
    depths = [draw.randint(1, 3) for _ in range(stages)]
    common = {"model_type": kind, "depths": depths, "num_channels": draw.choice([1, 3]), "image_size": draw.choice([64, 96])}
    if kind in ("vit", "deit"):
        heads, size = draw.randint(1, 4), draw.choice([8, 16])
        shape = {"hidden_size": heads * size, "num_attention_heads": heads, "intermediate_size": 8 * draw.randint(2, 9)}
        shape |= {"architectures": [CLASSES[kind]]}
        return {"model_type": kind, "num_hidden_layers": draw.randint(1, 4), "image_size": 64, "patch_size": 8} | shape
    if kind.startswith("swin"):
        heads = [draw.randint(1, 3)] * stages
        width = heads[0] * 8 * draw.randint(1, 3)
        sizes = {"window_size": draw.choice([3, 4, 7]), "mlp_ratio": draw.choice([2.0, 3.5]), "qkv_bias": draw.random() < 0.7}
        absolute = draw.random() < 0.5
        return common | sizes | {"embed_dim": width, "num_heads": heads, "use_absolute_embeddings": absolute}
    widths = [8 * draw.randint(1, 6) for _ in depths]
    return common | {"hidden_sizes": widths, "num_stages": stages, "patch_size": draw.choice([2, 4])}


def made(config: dict[str, Any], labels: int) -> Any:
    """The classifier as its users would build it."""
    transformers = pytest.importorskip("transformers")
    read = transformers.AutoConfig.for_model(**config, num_labels=labels)
    return transformers.AutoModelForImageClassification.from_config(read, attn_implementation="eager").float().train()


@pytest.mark.parametrize("kind", ["convnext", "convnextv2", "swin", "swinv2", "vit", "deit"])
@pytest.mark.parametrize("seed", range(4))
def test_parameters_are_the_classs_own(kind: str, seed: int) -> None:
    draw = Random(f"{kind} {seed}")
    config, labels = drawn(kind, draw), draw.randint(2, 40)
    theirs = sum(p.numel() for p in made(config, labels).parameters())
    assert huggingface.read(config | {"num_labels": labels}).parameters == theirs


def peak_of_pytorch(config: dict[str, Any]) -> int:
    """Bytes at the worst of a steady step: weights, states, the pictures, and what the allocator's events add up to."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = made(config, 10)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    pixels = torch.randn(BATCH, 3, config["image_size"], config["image_size"])
    labels = torch.randint(0, 10, (BATCH,))

    def step() -> None:
        model(pixel_values=pixels, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return peak_of(model, optimizer, (pixels, labels), step, without_convolutions)


def without_convolutions(torch: Any, profile: Any) -> list[int]:
    """Bytes given out (and, negative, given back) in the order of time, without those that convolutions take directly."""
    found: list[tuple[int, int, int, bool]] = []
    left = [(event, "") for event in profile.profiler.kineto_results.experimental_event_tree()]
    while left:
        event, within = left.pop()
        left += [(child, event.name) for child in event.children]
        if event.tag == torch._C._profiler._EventType.Allocation:
            fields = event.extra_fields
            found.append((event.start_time_ns, fields.alloc_size, fields.ptr, within.startswith(CONVOLUTIONS)))
    sizes, own = [], set()
    for _, size, pointer, direct in sorted(found, key=lambda one: one[0]):
        if direct and size > 0:
            own.add(pointer)
        elif pointer in own:
            own.remove(pointer)
        else:
            sizes.append(size)
    return sizes


@pytest.mark.parametrize("name", STEPS)
def test_peak_of_a_step_is_pytorchs_own(name: str) -> None:
    config = STEPS[name]
    request = {"config": config | {"num_labels": 10}, "task": "training", "batch_size": BATCH, "attention": "eager"}
    ours = worst_moment(request | {"precision": "float32", "dtype": "float32"})
    theirs = peak_of_pytorch(config)
    assert ours == pytest.approx(theirs, rel=0.003), f"{ours:,} against {theirs:,}"
