"""ERNIE 4.5 VL: its tower, a resampler over space and time, a mixture of text and vision experts.

Source: transformers 5.23 models/ernie4_5_vl_moe/modeling_ernie4_5_vl_moe.py.
"""

from __future__ import annotations

from gauge.layers.norm import Norm
from gauge.layers.projector import Activate, Merge, linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part, vision_width


def read(config: Config) -> Model:
    """An ERNIE 4.5 VL model from its config."""
    text, vision = text_model(config, "ernie4_5_vl_moe_text"), config.inner("vision_config")
    merge = vision.integer("spatial_merge_size", default=2) ** 2
    frames = vision.integer("temporal_merge_size", default=2)
    wide = vision_width(config, default=1280) * merge
    steps = (
        Merge(merge),
        linear("resampler.spatial_linear.fc1", wide, wide),
        Activate("gelu"),
        linear("resampler.spatial_linear.fc2", wide, wide),
        Norm("resampler.spatial_linear.ln", wide, "layer", bias=True),
        Merge(frames),
        linear("resampler.temporal_linear.fc1", wide * frames, wide),
        Activate("gelu"),
        linear("resampler.temporal_linear.fc2", wide, wide),
        Norm("resampler.temporal_linear.ln", wide, "layer", bias=True),
        linear("resampler.mlp", wide, text.hidden),
        Norm("resampler.after_norm", text.hidden),
    )
    return joined(config, text, vision_part(config, "ernie4_5_vl_moe_vision"), *steps)
