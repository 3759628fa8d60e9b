"""Helium: Llama whose output projection is square and has no bias.

Source: transformers 5.23 models/helium/modeling_helium.py.
"""

from __future__ import annotations

from gauge.errors import RequestError
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Helium decoder from its config. Raises RequestError where the heads do not fill the width."""
    hidden, heads, head = config.integer("hidden_size"), config.integer("num_attention_heads"), llama.head_size(config)
    if heads * head != hidden:
        message = f"{heads} heads of {head} are not the width {hidden}, which Helium's output projection needs"
        raise RequestError(f"{config.path}.head_dim", message, f"give {hidden // heads}")
    same = llama.block(config, llama.attention(config, out_bias=False), llama.mlp(config))
    return llama.decoder(config, (same,) * config.layers())
