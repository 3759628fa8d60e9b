"""RWKV-4: time mixing and channel mixing instead of attention and MLP; a norm behind the embeddings.

Source: transformers 5.23 models/rwkv/modeling_rwkv.py.
"""

from __future__ import annotations

from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.linear_attention import RwkvChannels, RwkvMixing
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """An RWKV decoder from its config."""
    hidden = config.integer("hidden_size")
    mixer = RwkvMixing(hidden=hidden, inner=config.integer("attention_hidden_size", default=hidden))
    feed = RwkvChannels(hidden=hidden, inner=config.integer("intermediate_size", default=4 * hidden))
    same = llama.block(config, mixer, feed, norm="layer", bias=True, names=("ln1", "ln2"))
    table = Embedding("embeddings", config.integer("vocab_size"), hidden)
    return llama.decoder(
        config,
        (same,) * config.layers(),
        Norm("ln_out", hidden, "layer", bias=True),
        embeddings=Embeddings((table,), Norm("pre_ln", hidden, "layer", bias=True)),
        name="head",
    )
