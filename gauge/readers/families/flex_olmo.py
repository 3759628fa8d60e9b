"""FlexOlmo: OLMo 2's attention and norms behind the branches, OLMoE's experts in every layer.

Source: transformers 5.23 models/flex_olmo/modeling_flex_olmo.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, olmo2, olmoe


def read(config: Config) -> Model:
    """A FlexOlmo decoder from its config."""
    same = olmo2.behind(config, llama.attention(config, norms="full"), olmoe.experts(config), "rms")
    return llama.decoder(config, (same,) * config.layers())
