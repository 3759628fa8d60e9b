"""Hunyuan dense: Llama with norms over each head behind the rotation.

Source: transformers 5.23 models/hunyuan_v1_dense/modeling_hunyuan_v1_dense.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Hunyuan decoder from its config."""
    same = llama.block(config, attention(config), llama.mlp(config, bias=False))
    return llama.decoder(config, (same,) * config.layers(), tied=True)


def attention(config: Config) -> Attention:
    """Norms follow the rotation."""
    return llama.attention(config, norms="head", norm_names=("query_layernorm", "key_layernorm"), norm_after_rotary=True)
