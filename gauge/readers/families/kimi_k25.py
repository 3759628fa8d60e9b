"""Kimi-VL and Kimi K2.5: MoonViT, merged patches, two matrices, a DeepSeek-V3-style language model.

Source: transformers 5.23 models/kimi_k25; the model files of moonshotai/Kimi-VL-A3B-Instruct.
"""

from __future__ import annotations

from gauge.layers.norm import Norm
from gauge.layers.projector import Activate, Merge, linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part


def read(config: Config) -> Model:
    """A Kimi model from its config."""
    text, vision = text_model(config, "deepseek_v3"), config.inner("vision_config")
    width = vision.integer("mm_hidden_size", "vt_hidden_size", "hidden_size", default=1152)
    kernel = vision.integers("merge_kernel_size", default=[2, 2])
    merge = kernel[0] * kernel[-1]
    steps = (
        Norm("mm_projector.pre_norm", width, "layer", bias=True),
        Merge(merge),
        linear("mm_projector.in_proj", width * merge, width * merge),
        Activate("gelu"),
        linear("mm_projector.out_proj", width * merge, text.hidden),
    )
    return joined(config, text, vision_part(config, "moonvit"), *steps)
