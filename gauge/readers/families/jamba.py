"""Jamba: Mamba 1 layers with one of attention in each period, experts in every second layer.

Source: transformers 5.23 models/jamba/modeling_jamba.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.experts import Experts
from gauge.layers.norm import Norm
from gauge.layers.state_space import Mamba1
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral
from gauge.readers.patterns import blocks, every
from gauge.units import ceil_div


def read(config: Config) -> Model:
    """A Jamba decoder from its config."""
    hidden = config.integer("hidden_size")
    attends = every(config.integer("attn_layer_period", default=8), config.integer("attn_layer_offset", default=4, least=0))
    routes = every(config.integer("expert_layer_period", default=2), config.integer("expert_layer_offset", default=1, least=0))
    sparse = config.integer("num_experts", default=16) > 1
    kinds = [(attends(i), sparse and routes(i)) for i in range(config.layers())]

    def make(kind: tuple[bool, bool]) -> Block:
        mixer: Layer = llama.attention(config, rotary=0) if kind[0] else _mamba(config, hidden)
        feed: Layer = _experts(config, hidden) if kind[1] else llama.mlp(config)
        names = ("input_layernorm", "pre_ff_layernorm")
        return llama.block(config, mixer, feed, names=names, kind="attention" if kind[0] else "mamba")

    return llama.decoder(config, blocks(kinds, make), Norm("final_layernorm", hidden))


def _mamba(config: Config, hidden: int) -> Mamba1:
    rank = config.keys.get("mamba_dt_rank")
    return Mamba1(
        hidden=hidden,
        inner=config.integer("mamba_expand", default=2) * hidden,
        state_size=config.integer("mamba_d_state", default=16),
        rank=ceil_div(hidden, 16) if rank in (None, "auto") else config.integer("mamba_dt_rank"),
        taps=config.integer("mamba_d_conv", default=4),
        bias=config.flag("mamba_proj_bias"),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        inner_norms="weighted",
    )


def _experts(config: Config, hidden: int) -> Experts:
    return Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(config, hidden, name="router"),
        activation=llama.activation(config),
    )
