"""Arctic: a dense MLP as wide as the residual stream beside 128 experts, each with its own norm.

Source: the modelling code of Snowflake/snowflake-arctic-instruct.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer, Residual
from gauge.layers.norm import Norm
from gauge.layers.together import Branch, Together
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral
from gauge.readers.patterns import blocks


def read(config: Config) -> Model:
    """An Arctic decoder from its config."""
    step = config.integer("moe_layer_frequency", default=2)
    kinds = [(i + 1) % step == 0 for i in range(config.layers())]
    return llama.decoder(config, blocks(kinds, lambda sparse: _block(config, sparse)))


def _block(config: Config, sparse: bool) -> Block:
    hidden = config.integer("hidden_size")
    mixer = Residual(llama.attention(config), pre=Norm("input_layernorm", hidden))
    routed: Layer = mixtral.experts(config) if sparse else llama.mlp(config)
    norm = Norm("post_attention_layernorm", hidden)
    if not (sparse and config.flag("parallel_attn_mlp_res")):
        return Block((mixer, Residual(routed, pre=norm)))
    dense = llama.mlp(config, inner=hidden, names=("w1", "w3", "w2"))
    both = Together((Branch(dense, Norm("residual_layernorm", hidden)), Branch(routed, norm)))
    return Block((mixer, Residual(both)))
