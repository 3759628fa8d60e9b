"""VaultGemma: Gemma 2 without the norms behind the branches.

Source: transformers 5.23 models/vaultgemma/modeling_vaultgemma.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma2, llama

NAMES = ("input_layernorm", "pre_feedforward_layernorm")


def read(config: Config) -> Model:
    """A VaultGemma decoder from its config."""
    capped, capped_head = (config.keys.get(name, usual) is not None for name, usual in gemma2.CAPS.items())

    def joined(mixer: Layer, feed: Layer) -> Block:
        return llama.block(config, mixer, feed, norm="rms_unit_offset", names=NAMES)

    return gemma2.decoder(config, joined, capped, capped_head)
