"""Arcee AFM: Llama with an ungated squared-ReLU MLP.

Source: transformers 5.23 models/arcee/modeling_arcee.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """An Arcee decoder from its config."""
    feed = llama.mlp(
        config,
        gated=False,
        activation=config.text("hidden_act", default="relu2"),
        names=("", "up_proj", "down_proj"),
    )
    return llama.decoder(config, (llama.block(config, llama.attention(config), feed),) * config.layers())
