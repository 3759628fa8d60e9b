"""OLMo 1: Llama with layer norms that have no weights.

Source: transformers 5.23 models/olmo/modeling_olmo.py.
"""

from __future__ import annotations

from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """An OLMo decoder from its config."""
    same = llama.block(config, llama.attention(config), llama.mlp(config, bias=False), norm="layer", affine=False)
    final = Norm("norm", config.integer("hidden_size"), "layer", affine=False)
    return llama.decoder(config, (same,) * config.layers(), final)
