"""Kimi Linear: three Kimi Delta Attention layers to one of latent attention without positions, many small experts.

Kimi K3's text part adds a bottleneck for the experts and gates on both kinds of attention.
Source: transformers 5.23 models/kimi_linear/modeling_kimi_linear.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.linear_attention import KimiDelta
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A Kimi Linear decoder from its config."""
    inner = config.inner("linear_attn_config")
    full = set(map(str, inner.listed("full_attn_layers")))

    def default(i: int) -> str:
        return "full_attention" if str(i + 1) in full or (not full and (i + 1) % 4 == 0) else "linear_attention"

    kinds = layer_types(config, config.layers(), default)
    sparse = deepseek_v3.is_sparse(config)
    routed = deepseek_v3.experts(config, scores="sigmoid", normalised=True, **_latent(config))
    gate = "full" if config.flag("mla_use_output_gate") else ""
    latent = deepseek_v3.attention(config, nope_only=True, gate=gate)

    def make(kind: tuple[str, bool]) -> Block:
        mixer: Layer = latent if kind[0] == "full_attention" else _delta(config, inner)
        feed: Layer = routed if kind[1] else llama.mlp(config, bias=False)
        return llama.block(config, mixer, feed, kind=kind[0])

    return llama.decoder(config, blocks(zip(kinds, sparse, strict=True), make), ties=False)


def _latent(config: Config) -> dict[str, object]:
    """Kimi K3's experts read a narrower stream."""
    width = config.integer("routed_expert_hidden_size", default=0, least=0)
    return {"latent": width, "latent_norm": bool(width) and config.flag("latent_moe_use_norm")}


def _delta(config: Config, inner: Config) -> KimiDelta:
    return KimiDelta(
        hidden=config.integer("hidden_size"),
        heads=config.integer("linear_num_heads", default=None) or inner.integer("num_heads", default=32),
        head=config.integer("linear_head_dim", default=None) or inner.integer("head_dim", default=128),
        taps=config.integer("linear_conv_kernel_dim", default=None) or inner.integer("short_conv_kernel_size", default=4),
        gate="full" if inner.flag("use_full_rank_gate") else "low",
    )
