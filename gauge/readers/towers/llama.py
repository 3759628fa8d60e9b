"""Towers of Llama 3.2 Vision (tiles, local and gated global layers) and Llama 4 (rotary, pixel shuffle).

Source: transformers 5.23 models/mllama/modeling_mllama.py, models/llama4/modeling_llama4.py.
"""

from __future__ import annotations

from gauge.formats import BFLOAT16
from gauge.layers.block import Block
from gauge.layers.patches import PatchEmbeddings, patches_of
from gauge.layers.projector import Activate, Merge, Step, linear
from gauge.model import Part
from gauge.readers.config import Config
from gauge.readers.towers.block import encoder_block, layer_norm, tower_part
from gauge.tape import dims
from gauge.tensor import Dim, Tensor

ASPECT_RATIOS = 8


def mllama(config: Config) -> Part:
    """Up to four tiles with embeddings for each arrangement of them."""
    hidden, side, patch = (
        config.integer("hidden_size", default=1280),
        config.side("image_size", 448),
        config.side("patch_size", 14),
    )
    heads = config.integer("attention_heads", "num_attention_heads", default=16)
    inner = config.integer("intermediate_size", default=5120)
    positions, tiles = patches_of(side, patch) + 1, config.integer("max_num_tiles", default=4)
    ratios = (len(config.listed("supported_aspect_ratios")) or ASPECT_RATIOS) + 1
    own = (
        _table("gated_positional_embedding.tile_embedding", ratios, tiles * positions * hidden),
        _table("pre_tile_positional_embedding", ratios, tiles * hidden),
        _table("post_tile_positional_embedding", ratios, tiles * hidden),
        _table("gates", 3, 1),
    )
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=patch,
        bias=False,
        special=1,
        positions=positions,
        norm=layer_norm("layernorm_pre", hidden),
        own=own,
    )
    activation = config.text("hidden_act", default="gelu")

    def block(scale: int) -> Block:
        return encoder_block(
            hidden=hidden, heads=heads, inner=inner, bias=False, out_bias=False, activation=activation, scale=scale
        )

    local = (block(0),) * config.layers("num_hidden_layers", default=32)
    wide = (block(1),) * config.layers("num_global_layers", default=8)
    return tower_part(entry, (*local, *wide), side, layer_norm("layernorm_post", hidden))


def _table(name: str, rows: int, size: int) -> Tensor:
    return Tensor(name, dims((Dim.POSITIONS, rows), (Dim.HIDDEN, size)), BFLOAT16, role="position_embedding")


def llama4(config: Config) -> Part:
    """Class token, learned positions, rotary; four patches become one token, then an MLP."""
    hidden, side, patch = (
        config.integer("hidden_size", default=768),
        config.side("image_size", 448),
        config.side("patch_size", 14),
    )
    ratio = config.number("pixel_shuffle_ratio", default=0.5)
    merge = max(1, round(1 / ratio**2)) if 0 < ratio <= 1 else 1
    wide, out = config.integer("projector_input_dim", default=4096), config.integer("projector_output_dim", default=4096)
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=patch,
        channels=config.integer("num_channels", default=3),
        bias=False,
        special=1,
        positions=patches_of(side, patch) + 1,
        norm=layer_norm("layernorm_pre", hidden),
    )
    block = encoder_block(
        hidden=hidden,
        heads=config.integer("num_attention_heads", default=16),
        inner=config.integer("intermediate_size", default=5632),
        rotary=True,
        activation=config.text("hidden_act", default="gelu"),
    )
    tail: tuple[Step, ...] = (
        Merge(merge),
        linear("vision_adapter.mlp.fc1", config.integer("intermediate_size", default=hidden * merge), wide, False),
        Activate("gelu"),
        linear("vision_adapter.mlp.fc2", wide, out, False),
        Activate("gelu"),
    )
    layers = (block,) * config.layers("num_hidden_layers", default=34)
    return tower_part(entry, layers, side, layer_norm("layernorm_post", hidden), tail)
