"""OLMo Hybrid: three gated delta net layers to one of OLMo 2's attention.

Source: transformers 5.23 models/olmo_hybrid/modeling_olmo_hybrid.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, olmo2, qwen3_next
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """An OLMo Hybrid decoder: norms in front of linear layers, behind attention layers."""
    kinds = layer_types(config, config.layers(), lambda i: "linear_attention" if (i + 1) % 4 else "full_attention")
    feed = llama.mlp(config, bias=False)

    def make(kind: str) -> Block:
        if kind == "linear_attention":
            return llama.block(config, qwen3_next.delta_net(config, "each"), feed, norm="rms_wide", kind=kind)
        return olmo2.behind(config, llama.attention(config, norms="full", norm_kind="rms_wide"), feed)

    return llama.decoder(config, blocks(kinds, make), Norm("norm", config.integer("hidden_size"), "rms_wide"))
