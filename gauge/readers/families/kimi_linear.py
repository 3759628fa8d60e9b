"""Kimi Linear: three Kimi Delta Attention layers to one of latent attention without positions, many small experts.

Kimi K3's text part adds a bottleneck for the experts, gates on both kinds of attention, and attention over depth; its
decays are stored as a head's size of numbers, of which the heads use the first.
Source: transformers 5.23 models/kimi_linear/modeling_kimi_linear.py; arXiv 2607.24653.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.depth_attention import DepthBranch, DepthMix
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

    def make(kind: tuple[str, bool, int]) -> Block:
        mixer: Layer = latent if kind[0] == "full_attention" else _delta(config, inner)
        feed: Layer = routed if kind[1] else llama.mlp(config, bias=False)
        if kind[2]:
            mixer, feed = _mixed(config, "self_attention", mixer, kind[2]), _mixed(config, "mlp", feed, kind[2])
        return llama.block(config, mixer, feed, kind=kind[0])

    size = config.integer("attn_res_block_size", default=None)
    reach = [2 + i // size if size else 0 for i in range(len(kinds))]  # the embedding, sealed stretches, the open one
    chain = blocks(zip(kinds, sparse, reach, strict=True), make)
    last = (DepthMix("output_attn_res", config.integer("hidden_size"), reach[-1]),) if size else ()
    return llama.decoder(config, chain, ties=False, extras=last)


def _mixed(config: Config, name: str, body: Layer, sources: int) -> DepthBranch:
    """A branch of Kimi K3, which reads a mix of earlier representations."""
    return DepthBranch(DepthMix(f"{name}_res", config.integer("hidden_size"), sources), body)


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
        padded="gate_lower_bound" in inner,
    )
