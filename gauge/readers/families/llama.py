"""Llama-style decoders: RMS norms, rotary positions, grouped-query attention, gated MLP.

Source: transformers 5.23 models/llama/modeling_llama.py, models/mistral/modeling_mistral.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model, Part
from gauge.readers.config import Config


def read(config: Config) -> Model:
    """A Llama-style decoder from its config."""
    hidden = config.integer("hidden_size")
    layers = config.integer("num_hidden_layers")
    block = Block(
        (
            Residual(attention(config, hidden), pre=Norm("input_layernorm", hidden)),
            Residual(mlp(config, hidden), pre=Norm("post_attention_layernorm", hidden)),
        )
    )
    return decoder(config, (block,) * layers, Norm("norm", hidden))


def attention(config: Config, hidden: int) -> Attention:
    """Grouped-query attention with rotary positions."""
    heads = config.integer("num_attention_heads")
    head = config.integer("head_dim", default=None) or config.divides(
        "hidden_size", "num_attention_heads", hidden, heads
    )
    kv_heads = config.integer("num_key_value_heads", default=heads)
    config.divides("num_attention_heads", "num_key_value_heads", heads, kv_heads)
    bias = config.flag("attention_bias")
    return Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        qkv_bias=bias,
        out_bias=bias,
        rotary=head,
        window=config.integer("sliding_window", default=None) if config.text("model_type") == "mistral" else None,
        dropout=config.number("attention_dropout", default=0.0),
    )


def mlp(config: Config, hidden: int) -> MLP:
    """Gated MLP."""
    return MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        activation=config.text("hidden_act", default="silu"),
        bias=config.flag("mlp_bias"),
    )


def decoder(config: Config, blocks: tuple[Block, ...], norm: Norm, *, tied_default: bool = False) -> Model:
    """A decoder-only model around its blocks."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    part = Part("decoder", blocks, Embeddings((Embedding("embed_tokens", vocab, hidden),)), norm)
    return Model(
        id="",
        family=config.text("model_type"),
        parts=(part,),
        head=Head(hidden=hidden, outputs=vocab, tied=config.flag("tie_word_embeddings", default=tied_default)),
        max_length=config.integer("max_position_embeddings", default=4096),
        hidden=hidden,
        vocab=vocab,
    )
