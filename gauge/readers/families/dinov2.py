"""DINOv2: a vision transformer with a learned scale on each branch.

Source: transformers 5.23 models/dinov2/modeling_dinov2.py; arXiv 2304.07193.
"""

from __future__ import annotations

from gauge.layers.block import Block, Residual
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.patches import PatchEmbeddings, patches_of
from gauge.layers.scale import LayerScale
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.families import vit


def read(config: Config) -> Model:
    """A DINOv2 encoder from its config."""
    hidden, side, patch = config.integer("hidden_size", default=768), config.side("image_size", 224), _patch(config)
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=patch,
        channels=config.integer("num_channels", default=3),
        special=1,
        positions=patches_of(side, patch) + 1,
        extra=1 if config.flag("use_mask_token", default=True) else 0,
        dropout=config.number("hidden_dropout_prob", default=0.0),
    )
    kind = str(next(iter(config.listed("architectures")), "Dinov2Model"))
    part = Part(
        "encoder",
        (_block(config, hidden),) * config.layers("num_hidden_layers", default=12),
        entry,
        Norm("layernorm", hidden, "layer", bias=True),
        sequence="image",
        length=side,
    )
    return Model(
        id="",
        family=config.text("model_type"),
        parts=(part,),
        head=vit.classifier(config, 2 * hidden) if kind.endswith("ForImageClassification") else None,
        max_length=patches_of(side, patch) + 1,
        hidden=hidden,
        vocab=0,
    )


def _patch(config: Config) -> int:
    return config.side("patch_size", 14)


def _block(config: Config, hidden: int) -> Block:
    inner = int(hidden * config.number("mlp_ratio", default=4))
    gated = config.flag("use_swiglu_ffn")
    if gated:
        inner = (int(inner * 2 / 3) + 7) // 8 * 8
    keys = dict(config.keys) | {"intermediate_size": inner}
    keys.setdefault("num_attention_heads", 12)
    attention = vit.block(Config(keys, config.path), hidden, 0.0).steps[0].body
    activation = "silu" if gated else config.text("hidden_act", default="gelu")
    names = ("gate_proj", "up_proj", "down_proj") if gated else ("", "fc1", "fc2")
    mlp = MLP(hidden=hidden, inner=inner, gated=gated, bias=True, activation=activation, names=names)
    return Block(
        (
            Residual(attention, Norm("norm1", hidden, "layer", bias=True), LayerScale("layer_scale1", hidden)),
            Residual(mlp, Norm("norm2", hidden, "layer", bias=True), LayerScale("layer_scale2", hidden)),
        )
    )
