"""BLOOM: ALiBi, a norm behind the embeddings, fused projection interleaved by head, composed attention only.

Source: transformers 5.23 models/bloom/modeling_bloom.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families.legacy import decoder


def read(config: Config) -> Model:
    """A BLOOM decoder from its config."""
    hidden, heads = config.integer("hidden_size", "n_embed"), config.integer("n_head", "num_attention_heads")
    dropout = config.number("hidden_dropout", default=0.0)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("hidden_size", "n_head", hidden, heads),
        fused=True,
        copies_heads=True,
        qkv_bias=True,
        out_bias=True,
        has_sdpa=False,
        alibi=True,
        dropout=config.number("attention_dropout", default=0.0),
        out_dropout=dropout,
        names=("query_key_value", "", "", "dense"),
    )
    feed = MLP(
        hidden=hidden,
        inner=4 * hidden,
        gated=False,
        bias=True,
        activation="gelu_by_hand",
        dropout=dropout,
        names=("", "dense_h_to_4h", "dense_4h_to_h"),
    )
    same = Block(
        (
            Residual(mixer, pre=_norm("input_layernorm", hidden)),
            Residual(feed, pre=_norm("post_attention_layernorm", hidden)),
        )
    )
    vocab = config.integer("vocab_size")
    entry = Embeddings((Embedding("word_embeddings", vocab, hidden),), _norm("word_embeddings_layernorm", hidden))
    layers = config.layers("n_layer", "num_hidden_layers")
    length = config.integer("seq_length", default=2048)
    return decoder(config, hidden, (same,) * layers, entry, _norm("ln_f", hidden), length)


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
