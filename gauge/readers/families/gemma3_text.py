"""The text part of Gemma 3: Gemma 2's norms, q/k norms, five windowed layers to one global one.

Source: transformers 5.23 models/gemma3/modeling_gemma3.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, gemma2, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A Gemma 3 decoder from its text config."""
    every = config.integer("sliding_window_pattern", "_sliding_window_pattern", default=6)
    kinds = layer_types(config, config.layers(), lambda i: "sliding_attention" if (i + 1) % every else "full_attention")
    window = config.integer("sliding_window", default=4096)
    feed = llama.mlp(config, activation=config.text("hidden_activation", default="gelu_pytorch_tanh"))
    causal = not config.flag("use_bidirectional_attention")

    def make(kind: str) -> Block:
        slides = kind == "sliding_attention"
        mixer = gemma2.attention(
            config,
            window if slides else None,
            norms="head",
            norm_kind="rms_unit_offset",
            causal=causal,
            rotary_scope="sliding" if slides else "global",
        )
        return gemma2.sandwich(config, mixer, feed)

    return llama.decoder(config, blocks(kinds, make), gemma.final_norm(config), tied=True, embeddings=gemma.scaled(config))
