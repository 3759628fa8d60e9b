"""Phi-1, 1.5 and 2: one layer norm feeds attention and MLP side by side; biases everywhere.

Source: transformers 5.23 models/phi/modeling_phi.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Residual
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Phi decoder from its config."""
    hidden = config.integer("hidden_size")
    dropout = config.number("resid_pdrop", default=0.0)
    size = llama.head_size(config)
    mixer = llama.attention(
        config,
        qkv_bias=True,
        out_bias=True,
        rotary=llama.rotated(config, size) if _says_rotary(config) else size // 2,
        rotary_joined=True,
        norms="head" if config.flag("qk_layernorm") else "",
        norm_kind="layer",
        norm_bias=True,
        norm_names=("q_layernorm", "k_layernorm"),
        out_dropout=dropout,
        names=("q_proj", "k_proj", "v_proj", "dense"),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        gated=False,
        bias=True,
        activation=config.text("hidden_act", default="gelu_new"),
        dropout=dropout,
        names=("", "fc1", "fc2"),
    )
    norm = Norm("input_layernorm", hidden, "layer", bias=True)
    same = Block((Residual(mixer, pre=norm), Residual(feed)), parallel=True)
    final = Norm("final_layernorm", hidden, "layer", bias=True)
    return llama.decoder(config, (same,) * config.layers(), final, bias=True)


def _says_rotary(config: Config) -> bool:
    inner = config.keys.get("rope_parameters")
    return "partial_rotary_factor" in config or (isinstance(inner, dict) and "partial_rotary_factor" in inner)
