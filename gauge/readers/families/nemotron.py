"""Nemotron-4 and Minitron: layer norms with offset weights, squared-ReLU MLP, half-rotated heads.

Source: transformers 5.23 models/nemotron/modeling_nemotron.py.
"""

from __future__ import annotations

from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Nemotron decoder from its config."""
    size = llama.head_size(config)
    part = llama.rotated(config, size)
    mixer = llama.attention(config, rotary=part if part < size else size // 2, rotary_joined=True)
    feed = llama.mlp(
        config,
        gated=False,
        activation=config.text("hidden_act", default="relu2"),
        names=("", "up_proj", "down_proj"),
    )
    same = llama.block(config, mixer, feed, norm="layer", bias=True)
    final = Norm("norm", config.integer("hidden_size"), "layer", bias=True)
    return llama.decoder(config, (same,) * config.layers(), final)
