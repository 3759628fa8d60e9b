"""Zamba 1: Mamba 1 layers in heads, one transformer layer whose weights return at every sixth place.

Source: transformers 5.23 models/zamba/modeling_zamba.py.
"""

from __future__ import annotations

from gauge.layers.mlp import MLP
from gauge.layers.state_space import Mamba1
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import zamba2
from gauge.readers.patterns import every, layer_types
from gauge.units import ceil_div

FIRST = 3
RANK_SHARE = 16


def read(config: Config) -> Model:
    """A Zamba decoder from its config."""
    hidden = config.integer("hidden_size")
    returns = every(config.integer("attn_layer_period", default=6), config.integer("attn_layer_offset", default=4, least=0))

    def kind(i: int) -> str:
        return "hybrid" if i == FIRST - 1 or (i >= FIRST and returns(i - FIRST)) else "mamba"

    given = config.keys.get("mamba_dt_rank")
    mixer = Mamba1(
        hidden=hidden,
        inner=config.integer("mamba_expand", default=2) * hidden,
        state_size=config.integer("mamba_d_state", default=16),
        rank=ceil_div(hidden, RANK_SHARE) if given in (None, "auto") else config.integer("mamba_dt_rank"),
        taps=config.integer("mamba_d_conv", default=4),
        bias=config.flag("mamba_proj_bias"),
        conv_bias=config.flag("mamba_conv_bias", default=True),
    )
    heads = config.integer("num_attention_heads")
    size = config.integer("attention_head_dim", default=None)
    size = size or config.divides("hidden_size", "num_attention_heads", 2 * hidden, heads)
    feed = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        activation=config.text("hidden_act", default="gelu"),
    )
    kinds = layer_types(config, config.layers(), kind, "layers_block_type")
    return zamba2.returning(config, kinds, mixer, zamba2.wide_attention(config, hidden, size, 0), feed)
