"""Gemma 2: norms before and behind each branch, soft caps on scores and logits, every second layer windowed.

Source: transformers 5.23 models/gemma2/modeling_gemma2.py.
"""

from __future__ import annotations

from collections.abc import Callable

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.norm import Kind, Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, llama
from gauge.readers.patterns import blocks, layer_types

CAPS = {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}


def read(config: Config) -> Model:
    """A Gemma 2 decoder from its config."""
    caps = [config.number(name, default=usual) > 0 for name, usual in CAPS.items()]
    return decoder(config, lambda mixer, feed: sandwich(config, mixer, feed), *caps)


def decoder(config: Config, joined: Callable[[Layer, Layer], Block], capped: bool, capped_head: bool) -> Model:
    """Attention and MLP `joined` to blocks, windowed ones between full ones; caps on the scores and on the logits."""
    kinds = layer_types(config, config.layers(), lambda i: "full_attention" if i % 2 else "sliding_attention")
    window = config.integer("sliding_window", default=4096)
    feed = llama.mlp(config, activation=config.text("hidden_activation", default="gelu_pytorch_tanh"))

    def make(kind: str) -> Block:
        mixer = attention(config, window if kind == "sliding_attention" else None)
        return joined(mixer.edited(soft_cap=capped, has_sdpa=not capped), feed)

    norm, entry = gemma.final_norm(config), gemma.scaled(config)
    return llama.decoder(config, blocks(kinds, make), norm, tied=True, embeddings=entry, soft_cap=capped_head)


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
