"""Seed-OSS: Llama with biased query, key and value, a head size of its own.

Source: transformers 5.23 models/seed_oss/modeling_seed_oss.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Seed-OSS decoder from its config."""
    mixer = llama.attention(
        config,
        head=config.integer("head_dim", default=128),
        qkv_bias=config.flag("attention_bias", default=True),
        out_bias=config.flag("attention_out_bias"),
    )
    return llama.decoder(config, (llama.block(config, mixer, llama.mlp(config)),) * config.layers())
