"""Gemma 1: Llama with norms that add one to their weight, scaled embeddings, a head size of its own.

Source: transformers 5.23 models/gemma/modeling_gemma.py.
"""

from __future__ import annotations

from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Gemma decoder from its config."""
    size = config.integer("head_dim", default=256)
    same = llama.block(config, llama.attention(config, head=size), llama.mlp(config), norm="rms_unit_offset")
    return llama.decoder(config, (same,) * config.layers(), final_norm(config), tied=True, embeddings=scaled(config))


def final_norm(config: Config) -> Norm:
    """The norm behind the last block."""
    return Norm("norm", config.integer("hidden_size"), "rms_unit_offset")


def scaled(config: Config) -> Embeddings:
    """Token vectors times the root of their width."""
    table = Embedding("embed_tokens", config.integer("vocab_size"), config.integer("hidden_size"))
    return Embeddings((table,), scaled=True)
