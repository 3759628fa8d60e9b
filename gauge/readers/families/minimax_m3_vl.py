"""MiniMax M3 with vision: a CLIP-like tower with rotary positions, a projector, merged patches.

Source: transformers 5.23 models/minimax_m3_vl.
"""

from __future__ import annotations

from gauge.layers.patches import PatchEmbeddings
from gauge.layers.projector import Activate, Merge, linear
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.towers.block import encoder_block, layer_norm, tower_part
from gauge.readers.vision_language import joined, text_model


def read(config: Config) -> Model:
    """A MiniMax M3 model from its config."""
    text, vision = text_model(config, "minimax_m3_text"), config.inner("vision_config")
    compression = vision.inner("img_token_compression_config")
    merge = compression.integer("spatial_merge_size", default=2) ** 2
    width = vision.integer("hidden_size", default=1280)
    middle = config.integer("projector_hidden_size", default=text.hidden)
    steps = (
        linear("multi_modal_projector.linear_1", width, middle),
        Activate("gelu"),
        linear("multi_modal_projector.linear_2", middle, text.hidden),
        Merge(merge),
        linear("multi_modal_projector.merge_linear_1", text.hidden * merge, middle),
        Activate("gelu"),
        linear("multi_modal_projector.merge_linear_2", middle, text.hidden),
    )
    return joined(config, text, _tower(vision, compression), *steps)


def _tower(config: Config, compression: Config) -> Part:
    hidden = config.integer("hidden_size", default=1280)
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=config.side("patch_size", 14),
        channels=config.integer("num_channels", default=3),
        frames=compression.integer("temporal_patch_size", default=2),
        bias=False,
        norm=layer_norm("pre_layrnorm", hidden),
    )
    block = encoder_block(
        hidden=hidden,
        heads=config.integer("num_attention_heads", default=16),
        inner=config.integer("intermediate_size", default=5120),
        rotary=True,
        activation=config.text("hidden_act", default="gelu"),
    )
    layers = (block,) * config.layers("num_hidden_layers", default=32)
    return tower_part(entry, layers, config.side("image_size", 2016))
