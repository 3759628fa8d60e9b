"""The text part of GLM-4.1V: GLM-4 with biased query, key and value.

Source: transformers 5.23 models/glm4v/modeling_glm4v.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma2, glm, llama


def read(config: Config) -> Model:
    """A GLM-4.1V decoder from its text config."""
    same = gemma2.sandwich(config, glm.attention(config, qkv_bias=True), glm.mlp(config), "rms")
    return llama.decoder(config, (same,) * config.layers())
