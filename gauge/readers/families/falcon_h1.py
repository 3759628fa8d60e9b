"""Falcon-H1: attention and Mamba 2 side by side in every layer.

Source: transformers 5.23 models/falcon_h1/modeling_falcon_h1.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Residual
from gauge.layers.norm import Norm
from gauge.layers.state_space import Mamba2
from gauge.layers.together import Branch, Together
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, granitemoehybrid, llama


def read(config: Config) -> Model:
    """A Falcon-H1 decoder from its config."""
    hidden = config.integer("hidden_size")
    both = Together((Branch(_mamba(config, hidden)), Branch(llama.attention(config))))
    same = Block(
        (
            Residual(both, pre=Norm("input_layernorm", hidden)),
            Residual(llama.mlp(config), pre=Norm("pre_ff_layernorm", hidden)),
        )
    )
    final = Norm("final_layernorm", hidden)
    return llama.decoder(config, (same,) * config.layers(), final, embeddings=gemma.scaled(config))


def _mamba(config: Config, hidden: int) -> Mamba2:
    """The inner width is its own key; heads × head must make it."""
    head = granitemoehybrid.mamba_head(config, hidden)
    inner = config.integer("mamba_d_ssm", default=config.integer("mamba_expand", default=2) * hidden)
    return Mamba2(
        hidden=hidden,
        heads=config.divides("mamba_d_ssm", "mamba_d_head", inner, head),
        head=head,
        state_size=config.integer("mamba_d_state", default=256),
        groups=config.integer("mamba_n_groups", default=1),
        taps=config.integer("mamba_d_conv", default=4),
        chunk=config.integer("mamba_chunk_size", default=256),
        bias=config.flag("mamba_proj_bias"),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        gated_norm=config.flag("mamba_rms_norm"),
    )
