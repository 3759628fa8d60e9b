"""The text part of ERNIE 4.5 VL: two groups of experts, for text and for pictures, beside shared ones.

Source: transformers 5.23 models/ernie4_5_vl_moe/modeling_ernie4_5_vl_moe.py.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.block import Block, Layer
from gauge.layers.experts import Experts
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import ernie4_5, llama, mixtral
from gauge.readers.patterns import blocks, layer_types, numbers


def read(config: Config) -> Model:
    """An ERNIE 4.5 VL decoder from its text config."""
    kinds = layer_types(config, config.layers(), lambda i: "sparse" if i else "dense", "mlp_layer_types")
    mixer, bias = ernie4_5.attention(config), config.flag("use_bias")

    def make(kind: str) -> Block:
        feed: Layer = _experts(config) if kind == "sparse" else llama.mlp(config, bias=bias)
        return llama.block(config, mixer, feed)

    return llama.decoder(config, blocks(kinds, make), tied=True)


def _experts(config: Config) -> Experts:
    """A token goes to one of the two groups, each with its own router; the shared experts belong to both."""
    hidden = config.integer("hidden_size")
    text, picture = numbers(config, 2, "moe_intermediate_size", least=1) or (config.integer("moe_intermediate_size"),) * 2
    count = config.integer("moe_num_shared_experts", default=0, least=0)
    one = Experts(
        hidden=hidden,
        inner=text,
        router=mixtral.router(config, hidden, normalised=True, low=True, wide=True, correction=True),
        activation=llama.activation(config),
        shared=llama.mlp(config, inner=text * count, bias=config.flag("use_bias"), prefix="shared_expert") if count else None,
    )
    return replace(one, spare=replace(one, inner=picture, shared=None))
