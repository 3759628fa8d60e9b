"""Mamba 2: heads with one decay each.

Source: transformers 5.23 models/mamba2/modeling_mamba2.py.
"""

from __future__ import annotations

from gauge.layers.state_space import Mamba2
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import mamba


def read(config: Config) -> Model:
    """A Mamba 2 decoder from its config."""
    hidden = config.integer("hidden_size")
    head = config.integer("head_dim", default=64)
    inner = config.integer("expand", default=2) * hidden
    mixer = Mamba2(
        hidden=hidden,
        heads=config.integer("num_heads", default=max(1, inner // head)),
        head=head,
        state_size=config.integer("state_size", default=128),
        groups=config.integer("n_groups", default=8),
        taps=config.integer("conv_kernel", default=4),
        chunk=config.integer("chunk_size", default=256),
        bias=config.flag("use_bias"),
        conv_bias=config.flag("use_conv_bias", default=True),
    )
    return mamba.scanning(config, mixer)
