"""Step 3.7's tower: layer scales on each branch, two strided convolutions behind.

Source: transformers 5.23 models/step3p7.
"""

from __future__ import annotations

from gauge.layers.patches import PatchEmbeddings, patches_of
from gauge.layers.projector import Step, held
from gauge.model import Part
from gauge.readers.config import Config
from gauge.readers.towers.block import encoder_block, layer_norm, tower_part

KERNEL = 3


def step(config: Config) -> Part:
    """Each convolution doubles the width and halves the picture."""
    hidden = config.integer("hidden_size", default=1536)
    block = encoder_block(
        hidden=hidden,
        heads=config.integer("num_attention_heads", default=16),
        inner=config.integer("intermediate_size", default=8960),
        activation=config.text("hidden_act", default="quick_gelu"),
        rotary=True,
        scale=hidden,
    )
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=config.side("patch_size", 14),
        channels=config.integer("num_channels", default=3),
        bias=False,
        positions=patches_of(config.side("image_size", 728), config.side("patch_size", 14)),
        norm=layer_norm("pre_layernorm", hidden),
    )
    tail: tuple[Step, ...] = (
        held(
            ("downsampler1.weight", (2 * hidden, hidden, KERNEL * KERNEL)),
            ("downsampler1.bias", (2 * hidden,)),
            ("downsampler2.weight", (4 * hidden, 2 * hidden, KERNEL * KERNEL)),
            ("downsampler2.bias", (4 * hidden,)),
        ),
    )
    layers = (block,) * config.layers("num_hidden_layers", default=47)
    return tower_part(entry, layers, config.side("image_size", 728), None, tail)
