"""DeepSeek V2: latent attention, softmax router, shared experts.

Source: transformers 5.23 models/deepseek_v2/modeling_deepseek_v2.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3


def read(config: Config) -> Model:
    """A DeepSeek V2 decoder from its config."""
    routed = deepseek_v3.experts(config, scores="softmax", normalised=False)
    return deepseek_v3.decoder(config, deepseek_v3.attention(config), routed)
