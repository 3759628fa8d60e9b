"""GLM-4 9B: Llama with half of each head rotated, biased query, key and value, and fused gate and up.

Source: transformers 5.23 models/glm/modeling_glm.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.mlp import MLP
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A GLM decoder from its config."""
    same = llama.block(config, attention(config), mlp(config))
    return llama.decoder(config, (same,) * config.layers())


def attention(config: Config, **changes: object) -> Attention:
    """Half of each head rotated in interleaved pairs; no bias on the output."""
    size = llama.head_size(config)
    part = llama.rotated(config, size)
    keys: dict[str, object] = {
        "qkv_bias": config.flag("attention_bias"),
        "out_bias": False,
        "rotary": part if part < size else size // 2,
        "rotary_joined": True,
        "rotary_tables": 1,
    }
    return llama.attention(config, **(keys | changes))


def mlp(config: Config) -> MLP:
    """Gate and up in one matrix."""
    return llama.mlp(config, fused=True, bias=False, names=("", "gate_up_proj", "down_proj"))
