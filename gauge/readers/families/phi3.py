"""Phi-3, 3.5 and 4: Llama with fused projections.

Source: transformers 5.23 models/phi3/modeling_phi3.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Phi-3 decoder from its config."""
    dropout = config.number("resid_pdrop", default=0.0)
    size = llama.head_size(config)
    mixer = llama.attention(
        config,
        fused=True,
        qkv_bias=False,
        out_bias=False,
        rotary=llama.rotated(config, size),
        rotary_joined=True,
        window=config.integer("sliding_window", default=None),
        out_dropout=dropout,
        names=("qkv_proj", "", "", "o_proj"),
    )
    feed = llama.mlp(config, fused=True, bias=False, dropout=dropout, names=("", "gate_up_proj", "down_proj"))
    return llama.decoder(config, (llama.block(config, mixer, feed),) * config.layers())
