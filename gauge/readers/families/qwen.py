"""Qwen 1: fused biased projection, an MLP whose `intermediate_size` counts gate and up together.

Source: the modelling code of Qwen/Qwen-7B.
"""

from __future__ import annotations

from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Qwen 1 decoder from its config."""
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    size = config.integer("kv_channels", default=hidden // heads or 1)
    plain = config.flag("no_bias", default=True)
    mixer = llama.attention(
        config,
        head=size,
        kv_heads=heads,
        fused=True,
        qkv_bias=True,
        out_bias=not plain,
        names=("c_attn", "", "", "c_proj"),
    )
    inner = config.divides("intermediate_size", "2", config.integer("intermediate_size"), 2)
    feed = llama.mlp(config, inner=inner, bias=not plain, names=("w2", "w1", "c_proj"))
    same = llama.block(config, mixer, feed, names=("ln_1", "ln_2"))
    table = Embedding("wte", config.integer("vocab_size"), hidden)
    return llama.decoder(config, (same,) * config.layers(), Norm("ln_f", hidden), embeddings=Embeddings((table,)))
