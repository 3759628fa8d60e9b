"""Qwen3-Next and Qwen3.5: three gated delta net layers to one of gated attention.

Source: transformers 5.23 models/qwen3_next/modeling_qwen3_next.py, models/qwen3_5/modeling_qwen3_5.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer
from gauge.layers.linear_attention import GatedDeltaNet
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, qwen2_moe
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A Qwen3-Next decoder: every layer's MLP is a mixture with a shared expert."""
    return hybrid(config, "fused", sparse=True)


def hybrid(config: Config, split: str, sparse: bool) -> Model:
    """Gated delta net and gated attention by `layer_types`; `split` says how the delta net's inputs are cut."""
    layers = config.layers()
    interval = config.integer("full_attention_interval", default=4)
    kinds = layer_types(config, layers, lambda i: "linear_attention" if (i + 1) % interval else "full_attention")
    routed = qwen2_moe.is_sparse(config) if sparse else [False] * layers
    mixers: dict[str, Layer] = {"linear_attention": delta_net(config, split), "full_attention": gated(config)}
    experts: Layer = qwen2_moe.experts(config, shared=True, normalised=True) if sparse else llama.mlp(config)

    def make(kind: tuple[str, bool]) -> Block:
        mixer = mixers["linear_attention" if kind[0] == "linear_attention" else "full_attention"]
        feed = experts if kind[1] or not sparse else llama.mlp(config)
        return llama.block(config, mixer, feed, norm="rms_unit_offset", kind=kind[0])

    chain = blocks(zip(kinds, routed, strict=True), make)
    return llama.decoder(config, chain, Norm("norm", config.integer("hidden_size"), "rms_unit_offset"))


def delta_net(config: Config, split: str) -> GatedDeltaNet:
    """The linear layers."""
    return GatedDeltaNet(
        hidden=config.integer("hidden_size"),
        key_heads=config.integer("linear_num_key_heads", default=16),
        value_heads=config.integer("linear_num_value_heads", default=32),
        key_head=config.integer("linear_key_head_dim", default=128),
        value_head=config.integer("linear_value_head_dim", default=128),
        taps=config.integer("linear_conv_kernel_dim", default=4),
        split=split,
    )


def gated(config: Config) -> Attention:
    """Attention whose query projection also makes the output's gate; a quarter of each head is rotated."""
    size = config.integer("head_dim", default=256)
    part = llama.rotated(config, size)
    return llama.attention(
        config,
        head=size,
        gate="query",
        norms="head",
        norm_kind="rms_unit_offset",
        rotary=part if part < size else size // 4,
        rotary_joined=True,
    )
