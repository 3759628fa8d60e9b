"""LFM2: gated short convolutions with a few layers of grouped-query attention.

Source: transformers 5.23 models/lfm2/modeling_lfm2.py.
"""

from __future__ import annotations

from gauge.errors import RequestError
from gauge.layers.block import Block, Layer
from gauge.layers.norm import Norm
from gauge.layers.short_convolution import ShortConvolution
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.readers.patterns import blocks, layer_types
from gauge.units import round_up


def read(config: Config) -> Model:
    """An LFM2 decoder from its config."""
    hidden = config.integer("hidden_size")
    attends = set(map(str, config.listed("full_attn_idxs")))
    kinds = layer_types(config, config.layers(), lambda i: "full_attention" if str(i) in attends else "conv")
    feed = llama.mlp(config, inner=_inner(config), bias=False, names=("w1", "w3", "w2"))

    def make(kind: str) -> Block:
        return llama.block(config, mixer(config, kind), feed, names=("operator_norm", "ffn_norm"), kind=kind)

    return llama.decoder(config, blocks(kinds, make), Norm("embedding_norm", hidden), tied=True)


def mixer(config: Config, kind: str) -> Layer:
    """The gated short convolution, or attention with q/k norms."""
    if kind == "conv":
        hidden = config.integer("hidden_size")
        taps = config.integer("conv_L_cache", default=3)
        return ShortConvolution(hidden=hidden, taps=taps, bias=config.flag("conv_bias"))
    return llama.attention(
        config,
        norms="head",
        norm_names=("q_layernorm", "k_layernorm"),
        qkv_bias=False,
        out_bias=False,
        names=("q_proj", "k_proj", "v_proj", "out_proj"),
    )


def _inner(config: Config) -> int:
    """Two thirds of the named width, times a multiplier, rounded up, where the config asks for it."""
    inner: int = config.integer("block_ff_dim", "intermediate_size", default=12288)
    if not config.flag("block_auto_adjust_ff_dim", default=True):
        return inner
    inner = 2 * inner // 3
    scaled = int(config.number("block_ffn_dim_multiplier", default=1.0) * inner)
    if scaled < 1:
        raise RequestError(f"{config.path}.block_ffn_dim_multiplier", "it leaves no MLP", "give a number above 0")
    return round_up(scaled, config.integer("block_multiple_of", default=256))
