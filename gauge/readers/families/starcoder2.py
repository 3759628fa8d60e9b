"""StarCoder 2: layer norms, biases, an ungated MLP, grouped-query attention.

Source: transformers 5.23 models/starcoder2/modeling_starcoder2.py.
"""

from __future__ import annotations

from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A StarCoder 2 decoder from its config."""
    hidden, bias = config.integer("hidden_size"), config.flag("use_bias", default=True)
    dropout = config.number("residual_dropout", default=0.0)
    mixer = llama.attention(
        config,
        qkv_bias=bias,
        out_bias=bias,
        window=config.integer("sliding_window", default=None),
        out_dropout=dropout,
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        gated=False,
        bias=bias,
        activation=config.text("hidden_act", default="gelu_pytorch_tanh"),
        dropout=dropout,
        names=("", "c_fc", "c_proj"),
    )
    same = llama.block(config, mixer, feed, norm="layer", bias=True)
    table = Embedding("embed_tokens", config.integer("vocab_size"), hidden)
    return llama.decoder(
        config,
        (same,) * config.layers(),
        Norm("norm", hidden, "layer", bias=True),
        tied=True,
        embeddings=Embeddings((table,), dropout=config.number("embedding_dropout", default=0.0)),
    )
