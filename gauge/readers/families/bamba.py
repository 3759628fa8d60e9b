"""Bamba: Mamba 2 layers with a few of attention, a gated MLP in each.

Source: transformers 5.23 models/bamba/modeling_bamba.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import granitemoehybrid, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A Bamba decoder from its config."""
    attends = set(map(str, config.listed("attn_layer_indices")))
    kinds = layer_types(config, config.layers(), lambda i: "full_attention" if str(i) in attends else "mamba")
    size = llama.head_size(config)
    part = llama.rotated(config, size)

    def make(kind: str) -> Block:
        full = kind in ("attention", "full_attention")
        mixer: Layer = granitemoehybrid.mamba(config)
        if full:
            mixer = llama.attention(config, rotary=part if part < size else size // 2, rotary_joined=True)
        names = ("input_layernorm", "pre_ff_layernorm")
        return llama.block(config, mixer, llama.mlp(config), names=names, kind="attention" if full else "mamba")

    return llama.decoder(config, blocks(kinds, make), Norm("final_layernorm", config.integer("hidden_size")))
