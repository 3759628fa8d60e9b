"""InternVL's tower: ViT with a factor a channel on each branch and, in its largest size, norms over queries and keys.

Source: transformers 5.23 models/internvl/modeling_internvl.py.
"""

from __future__ import annotations

from gauge.layers.patches import PatchEmbeddings, patches_of
from gauge.model import Part
from gauge.readers.config import Config
from gauge.readers.towers.block import encoder_block, layer_norm, tower_part


def internvl(config: Config) -> Part:
    """Class token, learned positions; the last norm where patches are not averaged."""
    hidden, side, patch = (
        config.integer("hidden_size", default=1024),
        config.side("image_size", 448),
        config.side("patch_size", 14),
    )
    kind = config.text("norm_type", default="layer_norm")
    block = encoder_block(
        hidden=hidden,
        heads=config.integer("num_attention_heads", default=16),
        inner=config.integer("intermediate_size", default=4096),
        norm="rms" if kind == "rms_norm" else "layer",
        bias=config.flag("attention_bias"),
        scale=hidden,
        wide_norm=config.flag("use_qk_norm"),
        activation=config.text("hidden_act", default="gelu"),
    )
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=patch,
        channels=config.integer("num_channels", default=3),
        special=1,
        positions=patches_of(side, patch) + 1 if config.flag("use_absolute_position_embeddings", default=True) else 0,
        extra=1 if config.flag("use_mask_token") else 0,
    )
    last = None if config.flag("use_mean_pooling", default=True) else layer_norm("layernorm", hidden)
    return tower_part(entry, (block,) * config.layers("num_hidden_layers", default=24), side, last)
