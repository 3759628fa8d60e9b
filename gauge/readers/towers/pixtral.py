"""Pixtral's tower: rotary positions in two dimensions, RMS norms, gated MLPs, no biases.

Source: transformers 5.23 models/pixtral/modeling_pixtral.py.
"""

from __future__ import annotations

from gauge.layers.norm import Norm
from gauge.layers.patches import PatchEmbeddings
from gauge.model import Part
from gauge.readers.config import Config
from gauge.readers.towers.block import encoder_block, tower_part


def pixtral(config: Config) -> Part:
    """Patches of any aspect ratio."""
    hidden, heads = config.integer("hidden_size", default=1024), config.integer("num_attention_heads", default=16)
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=config.side("patch_size", 16),
        channels=config.integer("num_channels", default=3),
        bias=False,
        norm=Norm("ln_pre", hidden),
    )
    block = encoder_block(
        hidden=hidden,
        heads=heads,
        inner=config.integer("intermediate_size", default=4096),
        norm="rms",
        bias=False,
        out_bias=False,
        mlp_bias=False,
        gated=True,
        rotary=True,
        activation=config.text("hidden_act", default="silu"),
    )
    return tower_part(entry, (block,) * config.layers("num_hidden_layers", default=24), config.side("image_size", 1024))
