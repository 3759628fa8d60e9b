"""Mamba 1 and Falcon Mamba: a norm and a selective scan a layer, no attention.

Source: transformers 5.23 models/mamba/modeling_mamba.py, models/falcon_mamba/modeling_falcon_mamba.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer, Residual
from gauge.layers.norm import Norm
from gauge.layers.state_space import Mamba1
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.units import ceil_div

RANK_SHARE = 16


def read(config: Config) -> Model:
    """A Mamba decoder from its config."""
    hidden = config.integer("hidden_size")
    mixer = Mamba1(
        hidden=hidden,
        inner=config.integer("intermediate_size", default=config.integer("expand", default=2) * hidden),
        state_size=config.integer("state_size", default=16),
        rank=_rank(config, hidden),
        taps=config.integer("conv_kernel", default=4),
        bias=config.flag("use_bias"),
        conv_bias=config.flag("use_conv_bias", default=True),
    )
    return scanning(config, mixer)


def scanning(config: Config, mixer: Layer) -> Model:
    """A decoder whose layers are one norm and one mixer each; context is bounded by nothing in the config."""
    hidden = config.integer("hidden_size")
    same = Block((Residual(mixer, pre=Norm("norm", hidden)),))
    layers = config.layers("num_hidden_layers", "n_layer")
    return llama.decoder(config, (same,) * layers, Norm("norm_f", hidden), tied=True, embedding="embeddings")


def _rank(config: Config, hidden: int) -> int:
    if config.keys.get("time_step_rank") == "auto":
        return ceil_div(hidden, RANK_SHARE)
    rank: int = config.integer("time_step_rank", default=ceil_div(hidden, RANK_SHARE))
    return rank
