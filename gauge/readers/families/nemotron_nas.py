"""Nemotron Super and Ultra from architecture search: Llama whose layers may lack attention or have narrower MLPs.

Source: the config of nvidia/Llama-3_3-Nemotron-Super-49B-v1 (`block_configs`).
"""

from __future__ import annotations

from typing import NamedTuple

from gauge.errors import RequestError
from gauge.layers.block import Block, Residual
from gauge.layers.linear import Linear, LinearLayer
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.readers.patterns import blocks
from gauge.tensor import Dim
from gauge.units import round_up

MLP_STEP = 256


class Kind(NamedTuple):
    """One layer: queries a key head and MLP width, 0 where there is none; `linear` replaces a branch by one matrix."""

    group: int
    attention_linear: bool
    inner: int
    mlp_linear: bool


def read(config: Config) -> Model:
    """A searched decoder from its config."""
    layers, listed = config.layers(), config.listed("block_configs")
    if len(listed) < layers:
        raise RequestError(f"{config.path}.block_configs", f"{len(listed)} entries for {layers} layers", "list one a layer")
    kinds = [_kind(config, one, index) for index, one in enumerate(listed[:layers])]
    return llama.decoder(config, blocks(kinds, lambda kind: _block(config, kind)))


def _kind(config: Config, one: object, index: int) -> Kind:
    if not isinstance(one, dict):
        raise RequestError(f"{config.path}.block_configs", f"entry {index} is no object", "give an object a layer")
    both = Config(one, f"{config.path}.block_configs[{index}]")
    attention, feed = both.inner("attention"), both.inner("ffn")
    skips, drops = attention.flag("no_op"), feed.flag("no_op")
    width = 2 * feed.number("ffn_mult", default=0.0) * config.integer("hidden_size") / 3
    return Kind(
        0 if skips else attention.integer("n_heads_in_group", default=1),
        attention.flag("replace_with_linear"),
        0 if drops else round_up(max(0, int(width)), MLP_STEP),
        feed.flag("replace_with_linear"),
    )


def _block(config: Config, kind: Kind) -> Block:
    hidden = config.integer("hidden_size")
    steps = []
    if kind.attention_linear:
        steps.append(Residual(_matrix(hidden), pre=Norm("input_layernorm", hidden)))
    elif kind.group:
        heads = config.integer("num_attention_heads")
        kv_heads = config.divides("num_attention_heads", "block_configs", heads, kind.group)
        steps.append(Residual(llama.attention(config, kv_heads=kv_heads), pre=Norm("input_layernorm", hidden)))
    if kind.mlp_linear:
        steps.append(Residual(_matrix(hidden), pre=Norm("post_attention_layernorm", hidden)))
    elif kind.inner:
        feed = llama.mlp(config, inner=kind.inner)
        steps.append(Residual(feed, pre=Norm("post_attention_layernorm", hidden)))
    return Block(tuple(steps))


def _matrix(hidden: int) -> LinearLayer:
    return LinearLayer(Linear("linear_attn", "mlp_up", ((Dim.HIDDEN, hidden),), ((Dim.HIDDEN, hidden),)))
