"""Qwen 2 and 2.5: Llama with biases on query, key and value; some sizes slide a window in their upper layers.

Source: transformers 5.23 models/qwen2/modeling_qwen2.py, configuration_qwen2.py.
"""

from __future__ import annotations

from typing import Any

from gauge.layers.block import Block
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A Qwen 2 decoder from its config."""
    return windowed(config, qkv_bias=True, out_bias=False)


def windowed(config: Config, **changes: Any) -> Model:
    """A Llama-style decoder some of whose layers may slide a window."""
    feed = llama.mlp(config)

    def make(window: int | None) -> Block:
        return llama.block(config, llama.attention(config, window=window, **changes), feed)

    return llama.decoder(config, blocks(windows(config), make))


def windows(config: Config) -> list[int | None]:
    """Each layer's window: layers from `max_window_layers` on slide one where `use_sliding_window` says so."""
    layers = config.layers()
    size: int | None = config.integer("sliding_window", default=None)
    if size is None or not config.flag("use_sliding_window"):
        return [None] * layers
    first = config.integer("max_window_layers", default=layers, least=0)
    kinds = layer_types(config, layers, lambda i: "sliding_attention" if i >= first else "full_attention")
    return [size if kind == "sliding_attention" else None for kind in kinds]
