"""Ministral: Llama with a window in some layers.

Source: transformers 5.23 models/ministral/modeling_ministral.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A Ministral decoder from its config: all layers slide the window unless `layer_types` says otherwise."""
    window: int | None = config.integer("sliding_window", default=None)
    kinds = layer_types(config, config.layers(), lambda i: "sliding_attention" if window else "full_attention")

    def make(kind: str) -> Block:
        slides = kind == "sliding_attention"
        return llama.block(config, llama.attention(config, window=window if slides else None), llama.mlp(config))

    return llama.decoder(config, blocks(kinds, make))
