"""Ling 3.0: Kimi Delta Attention with full-rank gates, latent attention with one gate a head, experts.

Source: transformers 5.23 models/bailing_hybrid/modeling_bailing_hybrid.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.linear_attention import KimiDelta
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A Ling 3.0 decoder from its config."""
    group = config.integer("layer_group_size", default=6)
    kinds = layer_types(config, config.layers(), lambda i: "linear_attention" if (i + 1) % group else "full_attention")
    sparse = deepseek_v3.is_sparse(config)
    latent = deepseek_v3.attention(config, query_rank=None, gate="head")
    routed = deepseek_v3.experts(config, scores="sigmoid", normalised=True)
    delta = KimiDelta(
        hidden=config.integer("hidden_size"),
        heads=config.integer("linear_num_heads", default=32),
        head=config.integer("linear_head_dim", default=128),
        taps=config.integer("linear_conv_kernel_dim", "short_conv_kernel_size", default=4),
        decay="full",
        gate="full",
    )

    def make(kind: tuple[str, bool]) -> Block:
        mixer: Layer = latent if kind[0] == "full_attention" else delta
        feed: Layer = routed if kind[1] else llama.mlp(config, bias=False)
        return llama.block(config, mixer, feed, kind=kind[0])

    return llama.decoder(config, blocks(zip(kinds, sparse, strict=True), make))
