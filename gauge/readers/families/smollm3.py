"""SmolLM 3: Llama's layers, of which every fourth has no rotary positions.

Source: transformers 5.23 models/smollm3/modeling_smollm3.py, configuration_smollm3.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.readers.patterns import blocks, numbers


def read(config: Config) -> Model:
    """A SmolLM 3 decoder from its config."""
    layers = config.layers()
    interval = max(config.integer("no_rope_layer_interval", default=4), 1)
    rotates = numbers(config, layers, "no_rope_layers") or [int((i + 1) % interval != 0) for i in range(layers)]
    size = llama.head_size(config)

    def make(rotary: bool) -> Block:
        return llama.block(config, llama.attention(config, rotary=size if rotary else 0), llama.mlp(config))

    return llama.decoder(config, blocks([bool(r) for r in rotates], make), tied=True)
