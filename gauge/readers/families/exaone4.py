"""EXAONE 4: norms behind the branches, q/k norms, windowed layers in the large size.

Source: transformers 5.23 models/exaone4/modeling_exaone4.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, olmo2
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """An EXAONE 4 decoder from its config."""
    window: int | None = config.integer("sliding_window", default=None)
    kinds = layer_types(config, config.layers(), lambda i: "sliding_attention" if window and (i + 1) % 4 else "full_attention")

    def make(kind: str) -> Block:
        slides = kind == "sliding_attention"
        mixer = llama.attention(config, norms="head", window=window if slides else None, qkv_bias=False, out_bias=False)
        return olmo2.behind(config, mixer, llama.mlp(config, bias=False), "rms")

    return llama.decoder(config, blocks(kinds, make))
