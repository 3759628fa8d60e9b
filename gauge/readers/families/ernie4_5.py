"""ERNIE 4.5 dense: Llama with optional biases everywhere.

Source: transformers 5.23 models/ernie4_5/modeling_ernie4_5.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """An ERNIE 4.5 decoder from its config."""
    feed = llama.mlp(config, bias=config.flag("use_bias"))
    return llama.decoder(config, (llama.block(config, attention(config), feed),) * config.layers(), tied=True)


def attention(config: Config) -> Attention:
    """One flag for all biases."""
    bias = config.flag("use_bias")
    return llama.attention(config, qkv_bias=bias, out_bias=bias)
