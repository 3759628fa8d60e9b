"""Gemma 2: norms before and behind each branch, soft caps on scores and logits, every second layer windowed.

Source: transformers 5.23 models/gemma2/modeling_gemma2.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.norm import Kind, Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A Gemma 2 decoder from its config."""
    kinds = layer_types(config, config.layers(), lambda i: "full_attention" if i % 2 else "sliding_attention")
    window = config.integer("sliding_window", default=4096)
    capped = config.number("attn_logit_softcapping", default=50.0) > 0
    feed = llama.mlp(config, activation=config.text("hidden_activation", default="gelu_pytorch_tanh"))

    def make(kind: str) -> Block:
        mixer = attention(config, window if kind == "sliding_attention" else None)
        return sandwich(config, mixer.edited(soft_cap=capped, has_sdpa=not capped), feed)

    return llama.decoder(
        config,
        blocks(kinds, make),
        gemma.final_norm(config),
        tied=True,
        embeddings=gemma.scaled(config),
        soft_cap=config.number("final_logit_softcapping", default=30.0) > 0,
    )


def attention(config: Config, window: int | None, **changes: object) -> Attention:
    """Gemma's attention with its own head size."""
    return llama.attention(config, head=config.integer("head_dim", default=256), window=window, **changes)


def sandwich(config: Config, mixer: Layer, feed: Layer, kind: Kind = "rms_unit_offset") -> Block:
    """Norms on both sides of both branches."""
    hidden = config.integer("hidden_size")
    return Block(
        (
            Residual(
                mixer,
                pre=Norm("input_layernorm", hidden, kind),
                post=Norm("post_attention_layernorm", hidden, kind),
            ),
            Residual(
                feed,
                pre=Norm("pre_feedforward_layernorm", hidden, kind),
                post=Norm("post_feedforward_layernorm", hidden, kind),
            ),
        )
    )
