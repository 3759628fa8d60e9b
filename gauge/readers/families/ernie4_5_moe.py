"""ERNIE 4.5 MoE: a dense first layer, routed experts with a trained choice bias, shared experts.

Source: transformers 5.23 models/ernie4_5_moe/modeling_ernie4_5_moe.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.experts import Experts
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import ernie4_5, llama, mixtral
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """An ERNIE 4.5 MoE decoder from its config."""
    layers = config.layers()
    first = config.integer("moe_layer_start_index", default=1, least=0)
    last = config.integer("moe_layer_end_index", default=layers, least=-1)
    step = config.integer("moe_layer_interval", default=1)
    end = layers if last < 0 else last

    def kind(i: int) -> str:
        return "sparse" if (i + 1) % step == 0 and first <= i <= end else "dense"

    mixer, bias = ernie4_5.attention(config), config.flag("use_bias")

    def make(kind: str) -> Block:
        feed: Layer = experts(config) if kind == "sparse" else llama.mlp(config, bias=bias)
        return llama.block(config, mixer, feed)

    return llama.decoder(config, blocks(layer_types(config, layers, kind, "mlp_layer_types"), make), tied=True, bias=bias)


def experts(config: Config) -> Experts:
    """Softmax over all experts in float32, a trained bias on the choice."""
    hidden, width = config.integer("hidden_size"), config.integer("moe_intermediate_size")
    count = config.integer("moe_num_shared_experts", default=0, least=0)
    bias = config.flag("use_bias")
    return Experts(
        hidden=hidden,
        inner=width,
        router=mixtral.router(config, hidden, normalised=True, low=True, wide=True, correction=True),
        activation=llama.activation(config),
        shared=llama.mlp(config, inner=width * count, bias=bias, prefix="shared_expert") if count else None,
    )
