"""GPT-OSS: attention sinks, every second layer windowed, experts with biases.

Source: transformers 5.23 models/gpt_oss/modeling_gpt_oss.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.layers.experts import Experts
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A GPT-OSS decoder from its config."""
    hidden = config.integer("hidden_size")
    kinds = layer_types(config, config.layers(), lambda i: "full_attention" if i % 2 else "sliding_attention")
    window = config.integer("sliding_window", default=128)
    bias = config.flag("attention_bias", default=True)
    routed = Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(config, hidden, scores="chosen", bias=True, name="router"),
        activation="swiglu_clamped",
        bias=True,
    )

    def make(kind: str) -> Block:
        mixer = llama.attention(
            config,
            head=config.integer("head_dim", default=64),
            qkv_bias=bias,
            out_bias=bias,
            sinks=True,
            rotary_joined=True,
            softmax32=False,
            has_sdpa=False,
            window=window if kind == "sliding_attention" else None,
        )
        return llama.block(config, mixer, routed, norm="rms_wide")

    return llama.decoder(config, blocks(kinds, make), Norm("norm", hidden, "rms_wide"))
