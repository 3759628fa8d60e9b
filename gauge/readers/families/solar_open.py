"""Solar Open: grouped-query attention, DeepSeek V3's experts in every layer.

Source: transformers 5.23 models/solar_open/modeling_solar_open.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama


def read(config: Config) -> Model:
    """A Solar Open decoder from its config."""
    mixer = llama.attention(config, qkv_bias=config.flag("attention_bias"), out_bias=False)
    routed = deepseek_v3.experts(config, scores="sigmoid", normalised=True)
    return llama.decoder(config, (llama.block(config, mixer, routed),) * config.layers())
