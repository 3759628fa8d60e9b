"""Mistral Small 4: latent attention, softmax-routed experts beside a shared one.

Source: transformers 5.23 models/mistral4/modeling_mistral4.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3


def read(config: Config) -> Model:
    """A Mistral 4 decoder from its config."""
    routed = deepseek_v3.experts(config, scores="softmax", normalised=True)
    return deepseek_v3.decoder(config, deepseek_v3.attention(config), routed)
