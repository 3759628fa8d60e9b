"""Command R7B and Command A: three windowed layers to one global layer without positions.

Source: transformers 5.23 models/cohere2/modeling_cohere2.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import cohere
from gauge.readers.patterns import layer_types


def read(config: Config) -> Model:
    """A Command R7B decoder from its config."""
    every = config.integer("sliding_window_pattern", "_sliding_window_pattern", default=4)
    window = config.integer("sliding_window", default=4096)
    kinds = layer_types(config, config.layers(), lambda i: "sliding_attention" if (i + 1) % every else "full_attention")
    return cohere.parallel(config, [window if kind == "sliding_attention" else None for kind in kinds], everywhere=False)
