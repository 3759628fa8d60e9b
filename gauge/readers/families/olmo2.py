"""OLMo 2 and 3: norms behind each branch, q/k norms over all heads together; OLMo 3 slides a window in most layers.

Source: transformers 5.23 models/olmo2/modeling_olmo2.py, models/olmo3/modeling_olmo3.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer, Residual
from gauge.layers.norm import Kind, Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """An OLMo 2 decoder from its config."""
    window: int | None = config.integer("sliding_window", default=None)
    kinds = layer_types(
        config,
        config.layers(),
        lambda i: "sliding_attention" if window and (i + 1) % 4 else "full_attention",
    )

    def make(kind: str) -> Block:
        slides = kind == "sliding_attention"
        return behind(
            config,
            llama.attention(config, norms="full", norm_kind="rms_wide", window=window if slides else None),
            llama.mlp(config),
        )

    return llama.decoder(config, blocks(kinds, make), Norm("norm", config.integer("hidden_size"), "rms_wide"))


def behind(config: Config, mixer: Layer, feed: Layer, kind: Kind = "rms_wide") -> Block:
    """Norms on the branches' outputs only."""
    hidden = config.integer("hidden_size")
    return Block(
        (
            Residual(mixer, post=Norm("post_attention_layernorm", hidden, kind)),
            Residual(feed, post=Norm("post_feedforward_layernorm", hidden, kind)),
        )
    )
