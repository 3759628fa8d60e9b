"""Towers of the Qwen-VL line, and GLM-4V and ERNIE-VL, which share their build: fused projections, merged patches.

Source: transformers 5.23 models/qwen2_vl, qwen2_5_vl, qwen3_vl, glm4v, ernie4_5_vl_moe.
"""

from __future__ import annotations

from typing import Any

from gauge.layers.norm import Norm
from gauge.layers.patches import PatchEmbeddings, patches_of
from gauge.layers.projector import Activate, Merge, Step, held, linear
from gauge.model import Part
from gauge.readers.config import Config
from gauge.readers.towers.block import encoder_block, layer_norm, tower_part

SIDE = 448


def _entry(config: Config, hidden: int, *, patch: int = 14, **more: Any) -> PatchEmbeddings:
    return PatchEmbeddings(
        hidden=hidden,
        patch=config.side("patch_size", patch),
        channels=config.integer("in_channels", "in_chans", "num_channels", default=3),
        frames=config.integer("temporal_patch_size", default=2),
        **more,
    )


def _merge(config: Config) -> int:
    merge: int = config.integer("spatial_merge_size", default=2)
    return merge * merge


def qwen2(config: Config) -> Part:
    """Layer norms, GELU; `hidden_size` is the language model's width."""
    hidden, heads = config.integer("embed_dim", default=1280), config.integer("num_heads", default=16)
    merge, out = _merge(config), config.integer("hidden_size", default=3584)
    block = encoder_block(
        hidden=hidden,
        heads=heads,
        inner=int(hidden * config.number("mlp_ratio", default=4)),
        fused=True,
        rotary=True,
        activation=config.text("hidden_act", default="quick_gelu"),
    )
    tail: tuple[Step, ...] = (
        layer_norm("merger.ln_q", hidden),
        Merge(merge),
        linear("merger.mlp.0", hidden * merge, hidden * merge),
        Activate("gelu"),
        linear("merger.mlp.2", hidden * merge, out),
    )
    return tower_part(_entry(config, hidden, bias=False), (block,) * config.layers("depth", default=32), SIDE, None, tail)


def qwen2_5(config: Config) -> Part:
    """RMS norms, gated MLPs with biases."""
    hidden, heads = config.integer("hidden_size", default=1280), config.integer("num_heads", default=16)
    merge, out = _merge(config), config.integer("out_hidden_size", default=3584)
    block = encoder_block(
        hidden=hidden,
        heads=heads,
        inner=config.integer("intermediate_size", default=3420),
        norm="rms",
        gated=True,
        fused=True,
        rotary=True,
        activation=config.text("hidden_act", default="silu"),
    )
    tail: tuple[Step, ...] = (
        Norm("merger.ln_q", hidden),
        Merge(merge),
        linear("merger.mlp.0", hidden * merge, hidden * merge),
        Activate("gelu"),
        linear("merger.mlp.2", hidden * merge, out),
    )
    return tower_part(_entry(config, hidden, bias=False), (block,) * config.layers("depth", default=32), SIDE, None, tail)


def qwen3(config: Config) -> Part:
    """Learned positions, layer norms; further mergers feed early layers of the language model."""
    hidden, heads = config.integer("hidden_size", default=1152), config.integer("num_heads", default=16)
    merge, out = _merge(config), config.integer("out_hidden_size", default=3584)
    block = encoder_block(
        hidden=hidden,
        heads=heads,
        inner=config.integer("intermediate_size", default=4304),
        fused=True,
        rotary=True,
        activation=config.text("hidden_act", default="gelu_pytorch_tanh"),
    )
    wide = hidden * merge
    deep = []
    for index in range(len(config.listed("deepstack_visual_indexes"))):
        deep += [
            (f"deepstack.{index}.norm.weight", (wide,)),
            (f"deepstack.{index}.norm.bias", (wide,)),
            (f"deepstack.{index}.linear_fc1.weight", (wide, wide)),
            (f"deepstack.{index}.linear_fc1.bias", (wide,)),
            (f"deepstack.{index}.linear_fc2.weight", (out, wide)),
            (f"deepstack.{index}.linear_fc2.bias", (out,)),
        ]
    tail: tuple[Step, ...] = (
        layer_norm("merger.norm", hidden),
        Merge(merge),
        linear("merger.linear_fc1", wide, wide),
        Activate("gelu"),
        linear("merger.linear_fc2", wide, out),
        held(*deep),
    )
    entry = _entry(config, hidden, patch=16, positions=config.integer("num_position_embeddings", default=2304))
    return tower_part(entry, (block,) * config.layers("depth", default=27), SIDE, None, tail)


def glm4v(config: Config) -> Part:
    """RMS norms, gated MLPs, a strided convolution that merges patches, a gated merger.

    GLM 5.3 (`projection_intermediate_size`) has q/k norms instead of learned positions.
    """
    hidden, heads = config.integer("hidden_size", default=1536), config.integer("num_heads", default=12)
    side, out = config.side("image_size", 336), config.integer("out_hidden_size", default=4096)
    merge, inner = _merge(config), config.integer("intermediate_size", default=13696)
    bias, own = config.flag("attention_bias"), "projection_intermediate_size" in config
    wide = config.integer("projection_intermediate_size", default=inner)
    block = encoder_block(
        hidden=hidden,
        heads=heads,
        inner=inner if own else out,
        norm="rms",
        bias=bias,
        out_bias=own and bias,
        mlp_bias=own and bias,
        qk_norm=own,
        gated=True,
        fused=True,
        rotary=True,
        activation=config.text("hidden_act", default="silu"),
    )
    tail: tuple[Step, ...] = (
        Norm("post_layernorm", hidden),
        Merge(merge),
        linear("downsample", hidden * merge, out),
        linear("merger.proj", out, out, False),
        layer_norm("merger.post_projection_norm", out),
        Activate("gelu"),
        held(
            ("merger.gate_proj.weight", (wide, out)),
            ("merger.up_proj.weight", (wide, out)),
            ("merger.down_proj.weight", (out, wide)),
        ),
    )
    patch = config.side("patch_size", 14)
    learned: dict[str, Any] = {} if own else {"positions": patches_of(side, patch), "norm": Norm("post_conv_layernorm", hidden)}
    entry = _entry(config, hidden, **learned)
    return tower_part(entry, (block,) * config.layers("depth", default=24), side, None, tail)


def ernie(config: Config) -> Part:
    """Layer norms, GELU, patches through a plain matrix."""
    hidden, heads = config.integer("hidden_size", default=1280), config.integer("num_heads", default=16)
    block = encoder_block(
        hidden=hidden,
        heads=heads,
        inner=config.integer("intermediate_size", default=4 * hidden),
        fused=True,
        rotary=True,
        activation=config.text("hidden_act", default="quick_gelu"),
    )
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=config.side("patch_size", 14),
        channels=config.integer("in_channels", default=3),
        bias=False,
    )
    return tower_part(entry, (block,) * config.layers("depth", default=32), SIDE, layer_norm("ln", hidden))
