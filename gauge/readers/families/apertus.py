"""Apertus: q/k norms and an ungated MLP whose nonlinearity has two trained numbers.

Source: transformers 5.23 models/apertus/modeling_apertus.py, activations.py (XIELUActivation).
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama

XIELU_NUMBERS = 2


def read(config: Config) -> Model:
    """An Apertus decoder from its config."""
    kind = config.text("hidden_act", default="xielu")
    feed = llama.mlp(
        config,
        gated=False,
        bias=False,
        activation=kind,
        activation_numbers=XIELU_NUMBERS if kind == "xielu" else 0,
        names=("", "up_proj", "down_proj"),
    )
    names = ("attention_layernorm", "feedforward_layernorm")
    same = llama.block(config, llama.attention(config, norms="head"), feed, names=names)
    return llama.decoder(config, (same,) * config.layers())
