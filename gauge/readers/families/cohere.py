"""Command R: attention and MLP side by side behind one layer norm without bias; Command R7B slides a window.

Source: transformers 5.23 models/cohere/modeling_cohere.py, models/cohere2/modeling_cohere2.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Residual
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.readers.patterns import blocks


def read(config: Config) -> Model:
    """A Command R decoder from its config."""
    return parallel(config, [None] * config.layers())


def parallel(config: Config, windows: list[int | None], everywhere: bool = True) -> Model:
    """Branches side by side; each layer with its window. `everywhere`: layers without one have positions too."""
    hidden = config.integer("hidden_size")
    feed = llama.mlp(config, bias=False)
    norms = "heads" if config.flag("use_qk_norm") else ""

    def make(window: int | None) -> Block:
        positions = {} if everywhere or window is not None else {"rotary": 0}
        mixer = llama.attention(config, window=window, norms=norms, norm_kind="layer_wide", **positions)
        return Block((Residual(mixer, pre=Norm("input_layernorm", hidden, "layer_wide")), Residual(feed)), parallel=True)

    return llama.decoder(config, blocks(windows, make), Norm("norm", hidden, "layer_wide"), tied=True)
