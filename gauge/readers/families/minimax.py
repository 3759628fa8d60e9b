"""MiniMax M1: lightning attention in seven of eight layers, softmax attention in the eighth, experts in all.

Source: transformers 5.23 models/minimax/modeling_minimax.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.linear_attention import Lightning
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A MiniMax decoder from its config."""
    kinds = layer_types(config, config.layers(), lambda i: "full_attention" if (i + 1) % 2 == 0 else "linear_attention")
    routed = mixtral.experts(config)

    def make(kind: str) -> Block:
        mixer: Layer = _lightning(config) if kind == "linear_attention" else llama.attention(config, out_bias=False)
        return llama.block(config, mixer, routed, kind=kind)

    return llama.decoder(config, blocks(kinds, make))


def _lightning(config: Config) -> Lightning:
    return Lightning(
        hidden=config.integer("hidden_size"),
        heads=config.integer("num_attention_heads"),
        head=llama.head_size(config),
    )
