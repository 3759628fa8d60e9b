"""MoonViT, the tower of Kimi-VL and Kimi K2.5: learned positions on a grid, rotary, layer norms.

Source: transformers 5.23 models/kimi_k25; the model files of moonshotai/Kimi-VL-A3B-Instruct.
"""

from __future__ import annotations

from gauge.layers.norm import Kind, Norm
from gauge.layers.patches import PatchEmbeddings
from gauge.model import Part
from gauge.readers.config import Config
from gauge.readers.towers.block import encoder_block, tower_part

SIDE = 448


def moonvit(config: Config) -> Part:
    """Keys with or without the prefix `vt_`; newer ones name the norm, the biases and the width of the heads."""
    hidden = config.integer("vt_hidden_size", "hidden_size", default=1152)
    heads = config.integer("vt_num_attention_heads", "num_attention_heads", default=16)
    rows = config.integer("init_pos_emb_height", default=64) * config.integer("init_pos_emb_width", default=64)
    norm: Kind = "rms" if config.text("norm_type", default="layernorm") == "rmsnorm" else "layer"
    bias = config.flag("attn_bias", default=True)
    mlp_bias = config.flag("linear_bias", default=True)
    wide = config.integer("qkv_hidden_size", default=hidden)
    block = encoder_block(
        hidden=hidden,
        heads=heads,
        head=config.divides("qkv_hidden_size", "vt_num_attention_heads", wide, heads),
        inner=config.integer("vt_intermediate_size", "intermediate_size", default=4304),
        norm=norm,
        bias=bias,
        out_bias=bias,
        mlp_bias=mlp_bias,
        rotary=True,
        activation=config.text("activation_func", default="gelu_pytorch_tanh"),
    )
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=config.side("patch_size", 14),
        bias=config.flag("patch_embed_proj_bias", default=True),
        positions=rows,
    )
    last = Norm("final_layernorm", hidden, norm, bias=norm == "layer")
    return tower_part(entry, (block,) * config.layers("vt_num_hidden_layers", "num_hidden_layers", default=27), SIDE, last)
