"""Granite 3 MoE, with or without an MLP that every token passes through.

Source: transformers 5.23 models/granitemoe/modeling_granitemoe.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, granite, llama


def read(config: Config) -> Model:
    """A sparse Granite decoder from its config."""
    width = config.integer("shared_intermediate_size", default=0, least=0)
    names = ("", "input_linear", "output_linear")
    shared = granite.shared(llama.mlp(config, inner=width, fused=True, bias=False, names=names)) if width else None
    same = llama.block(config, llama.attention(config), granite.experts(config, shared))
    return llama.decoder(config, (same,) * config.layers(), tied=True, embeddings=gemma.scaled(config))
