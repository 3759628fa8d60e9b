"""BitNet b1.58: Llama with a norm in front of each output projection.

Source: transformers 5.23 models/bitnet/modeling_bitnet.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A BitNet decoder from its config."""
    mixer = llama.attention(config, out_norm="attn_sub_norm")
    feed = llama.mlp(config, bias=False, inner_norm="ffn_sub_norm")
    return llama.decoder(config, (llama.block(config, mixer, feed),) * config.layers())
