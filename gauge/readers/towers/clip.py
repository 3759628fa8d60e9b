"""CLIP's and SigLIP's vision towers.

Source: transformers 5.23 models/clip/modeling_clip.py, models/siglip/modeling_siglip.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.layers.patches import PatchEmbeddings, patches_of
from gauge.layers.projector import held
from gauge.model import Part
from gauge.readers.config import Config
from gauge.readers.towers.block import encoder_block, layer_norm, tower_part


def clip(config: Config) -> Part:
    """Class token, norms before and after."""
    hidden, side, patch = config.integer("hidden_size", default=768), config.side("image_size", 224), _patch(config, 32)
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=patch,
        channels=config.integer("num_channels", default=3),
        bias=False,
        special=1,
        positions=patches_of(side, patch) + 1,
        norm=layer_norm("pre_layrnorm", hidden),
    )
    blocks = (_block(config, hidden, "quick_gelu"),) * config.layers("num_hidden_layers", default=12)
    return tower_part(entry, blocks, side, layer_norm("post_layernorm", hidden))


def siglip(config: Config) -> Part:
    """No class token; with `vision_use_head` a pooling head with a learned probe."""
    hidden, side, patch = config.integer("hidden_size", default=768), config.side("image_size", 224), _patch(config, 16)
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=patch,
        channels=config.integer("num_channels", default=3),
        positions=patches_of(side, patch),
    )
    blocks = (_block(config, hidden, "gelu_pytorch_tanh"),) * config.layers("num_hidden_layers", default=12)
    return tower_part(entry, blocks, side, layer_norm("post_layernorm", hidden))


def pooling_head(config: Config) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The weights of SigLIP's attention pooling: probe, attention, norm, MLP."""
    hidden = config.integer("hidden_size", default=768)
    inner = config.integer("intermediate_size", default=3072)
    return (
        ("head.probe", (hidden,)),
        ("head.attention.in_proj_weight", (3 * hidden, hidden)),
        ("head.attention.in_proj_bias", (3 * hidden,)),
        ("head.attention.out_proj.weight", (hidden, hidden)),
        ("head.attention.out_proj.bias", (hidden,)),
        ("head.layernorm.weight", (hidden,)),
        ("head.layernorm.bias", (hidden,)),
        ("head.mlp.fc1.weight", (inner, hidden)),
        ("head.mlp.fc1.bias", (inner,)),
        ("head.mlp.fc2.weight", (hidden, inner)),
        ("head.mlp.fc2.bias", (hidden,)),
    )


def siglip_with_head(config: Config) -> Part:
    """SigLIP's tower as the dual encoder uses it."""
    part = siglip(config)
    if not config.flag("vision_use_head", default=True):
        return part
    hidden = config.integer("hidden_size", default=768)
    tail = (held(*pooling_head(config)),)
    return tower_part(part.embeddings, part.blocks[:-1], part.length, layer_norm("post_layernorm", hidden), tail)  # type: ignore[arg-type]


def _patch(config: Config, default: int) -> int:
    return config.side("patch_size", default)


def _block(config: Config, hidden: int, activation: str) -> Block:
    return encoder_block(
        hidden=hidden,
        heads=config.integer("num_attention_heads", default=12),
        inner=config.integer("intermediate_size", default=3072),
        activation=config.text("hidden_act", default=activation),
        dropout=config.number("attention_dropout", default=0.0),
    )
