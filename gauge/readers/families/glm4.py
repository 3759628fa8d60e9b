"""GLM-4 0414: GLM with norms on both sides of both branches.

Source: transformers 5.23 models/glm4/modeling_glm4.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma2, glm, llama


def read(config: Config) -> Model:
    """A GLM-4 decoder from its config."""
    same = gemma2.sandwich(config, glm.attention(config), glm.mlp(config), "rms")
    return llama.decoder(config, (same,) * config.layers())
