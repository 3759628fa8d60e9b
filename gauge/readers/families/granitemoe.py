"""Granite 3 MoE.

Source: transformers 5.23 models/granitemoe/modeling_granitemoe.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, granite, llama
from gauge.readers.patterns import layer_count


def read(config: Config) -> Model:
    """A sparse Granite decoder from its config."""
    same = llama.block(config, llama.attention(config), granite.experts(config))
    return llama.decoder(config, (same,) * layer_count(config), tied=True, embeddings=gemma.scaled(config))
