"""The text part of GLM-5.3: Kimi Delta Attention, latent attention with a pooled indexer, hyper-connections.

Source: transformers 5.23 models/glm5_next/modeling_glm5_next.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.hyper_connections import HyperBranch, HyperConnection
from gauge.layers.linear_attention import KimiDelta
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, deepseek_v32, glm_moe_dsa, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A GLM-5.3 decoder from its text config."""
    hidden = config.integer("hidden_size")
    kinds = layer_types(config, config.layers(), lambda i: "linear_attention" if (i + 1) % 4 else "indexed_attention")
    routed = deepseek_v3.experts(config, scores="sigmoid", normalised=True)
    delta = KimiDelta(
        hidden=hidden,
        heads=config.integer("linear_num_heads", default=64),
        head=config.integer("linear_head_dim", default=128),
        taps=config.integer("linear_conv_kernel_dim", default=4),
    )

    def make(kind: tuple[str, bool, bool]) -> Block:
        indexer = deepseek_v32.indexer(config) if kind[2] else None
        mixer: Layer = delta if kind[0] == "linear_attention" else deepseek_v3.attention(config, indexer)
        feed: Layer = routed if kind[1] else llama.mlp(config, bias=False)
        return llama.block(config, hyper(config, "attn_hc", mixer), hyper(config, "ffn_hc", feed), kind=kind[0])

    sparse, owns = deepseek_v3.is_sparse(config, first=3), glm_moe_dsa.owns_indexer(config)
    return llama.decoder(config, blocks(zip(kinds, sparse, owns, strict=True), make))


def hyper(config: Config, name: str, body: Layer) -> HyperBranch:
    """A layer behind its hyper-connection."""
    streams = config.integer("hc_mult", default=4)
    return HyperBranch(HyperConnection(name, config.integer("hidden_size"), streams), body)
