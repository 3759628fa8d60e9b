"""MiniMax M2: q/k norms over all heads together, half-rotated heads, sigmoid-routed experts.

Source: transformers 5.23 models/minimax_m2/modeling_minimax_m2.py.
"""

from __future__ import annotations

from gauge.layers.experts import Experts
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral


def read(config: Config) -> Model:
    """A MiniMax M2 decoder from its config."""
    hidden = config.integer("hidden_size")
    size = llama.head_size(config)
    mixer = llama.attention(
        config, norms="full", rotary=llama.rotated(config, size), rotary_joined=True, qkv_bias=False, out_bias=False
    )
    routed = Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(config, hidden, scores="sigmoid", normalised=True, wide=True),
        activation=llama.activation(config),
    )
    return llama.decoder(config, (llama.block(config, mixer, routed),) * config.layers())
