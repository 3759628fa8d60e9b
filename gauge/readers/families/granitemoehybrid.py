"""Granite 4: Mamba 2 layers with a few of attention, each with a shared MLP and, in the sparse sizes, experts.

Source: transformers 5.23 models/granitemoehybrid/modeling_granitemoehybrid.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.state_space import Mamba2
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, granite, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A hybrid Granite decoder from its config."""
    kinds = layer_types(config, config.layers(), lambda i: "mamba")
    rope = llama.head_size(config) if config.text("position_embedding_type", default="nope") == "rope" else 0
    shared = llama.mlp(
        config,
        inner=config.integer("shared_intermediate_size", default=1024),
        fused=True,
        bias=False,
        names=("", "input_linear", "output_linear"),
    )
    sparse = config.integer("num_local_experts", default=0, least=0) > 0
    feed: Layer = granite.experts(config, granite.shared(shared)) if sparse else shared

    def make(kind: str) -> Block:
        mixer: Layer = llama.attention(config, rotary=rope) if kind == "attention" else mamba(config)
        return llama.block(config, mixer, feed, kind=kind)

    return llama.decoder(config, blocks(kinds, make), tied=True, embeddings=gemma.scaled(config))


def mamba(config: Config) -> Mamba2:
    """The Mamba 2 layers under the key names that hybrids use."""
    hidden = config.integer("hidden_size")
    return Mamba2(
        hidden=hidden,
        heads=config.integer("mamba_n_heads", default=128),
        head=mamba_head(config, hidden),
        state_size=config.integer("mamba_d_state", default=256),
        groups=config.integer("mamba_n_groups", default=1),
        taps=config.integer("mamba_d_conv", default=4),
        chunk=config.integer("mamba_chunk_size", default=256),
        bias=config.flag("mamba_proj_bias"),
        conv_bias=config.flag("mamba_conv_bias", default=True),
    )


def mamba_head(config: Config, hidden: int) -> int:
    """Numbers in one Mamba head: its own key, or the inner width ÷ heads."""
    if type(config.keys.get("mamba_d_head")) is int:
        size: int = config.integer("mamba_d_head")
        return size
    inner = config.integer("mamba_expand", default=2) * hidden
    return config.divides("mamba_expand", "mamba_n_heads", inner, config.integer("mamba_n_heads", default=128))
