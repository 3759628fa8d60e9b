"""Phi-3.5 MoE: layer norms, biased attention, two experts of sixteen by sparse mixing, biased head.

Source: transformers 5.23 models/phimoe/modeling_phimoe.py.
"""

from __future__ import annotations

from gauge.layers.experts import Experts
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral


def read(config: Config) -> Model:
    """A Phi MoE decoder from its config."""
    hidden = config.integer("hidden_size")
    routed = Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(config, hidden, low=True, name="router"),
        activation=llama.activation(config),
    )
    mixer = llama.attention(config, window=config.integer("sliding_window", default=None))
    same = llama.block(config, mixer, routed, norm="layer", bias=True)
    final = Norm("norm", hidden, "layer", bias=True)
    return llama.decoder(config, (same,) * config.layers(), final, bias=config.flag("lm_head_bias"))
