"""Hy3: q/k norms, DeepSeek V3's experts behind one dense layer.

Source: transformers 5.23 models/hy_v3/modeling_hy_v3.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama


def read(config: Config) -> Model:
    """An Hy3 decoder from its config."""
    routed = deepseek_v3.experts(config, scores="sigmoid", normalised=True)
    return deepseek_v3.decoder(config, llama.attention(config, norms="head"), routed)
