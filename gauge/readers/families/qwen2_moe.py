"""Qwen MoE: routed experts, one gated shared expert, dense layers by `mlp_only_layers` and `decoder_sparse_step`.

Source: transformers 5.23 models/qwen2_moe/modeling_qwen2_moe.py, models/qwen3_moe/modeling_qwen3_moe.py.
"""

from __future__ import annotations

from typing import Any

from gauge.layers.block import Block, Layer
from gauge.layers.experts import Experts
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral, qwen2
from gauge.readers.patterns import blocks


def read(config: Config) -> Model:
    """A Qwen 2 MoE decoder from its config."""
    return sparse(config, experts(config, shared=True), qkv_bias=config.flag("qkv_bias", default=True), out_bias=False)


def sparse(config: Config, routed: Experts, **changes: Any) -> Model:
    """A decoder whose layers are sparse unless the config lists them as dense."""
    kinds = list(zip(is_sparse(config), qwen2.windows(config), strict=True))

    def make(kind: tuple[bool, int | None]) -> Block:
        feed: Layer = routed if kind[0] else llama.mlp(config)
        return llama.block(config, llama.attention(config, window=kind[1], **changes), feed)

    return llama.decoder(config, blocks(kinds, make))


def is_sparse(config: Config) -> list[bool]:
    """Which layers have experts."""
    layers = config.layers()
    step = config.integer("decoder_sparse_step", default=1)
    dense = set(map(str, config.listed("mlp_only_layers")))
    return [str(i) not in dense and (i + 1) % step == 0 for i in range(layers)]


def experts(config: Config, shared: bool, normalised: bool = False) -> Experts:
    """Softmax over all experts; `shared` adds the expert that every token passes through, with its gate."""
    hidden = config.integer("hidden_size")
    one = None
    if shared:
        width = config.integer("shared_expert_intermediate_size")
        one = llama.mlp(config, inner=width, bias=False, prefix="shared_expert")
    return Experts(
        hidden=hidden,
        inner=config.integer("moe_intermediate_size"),
        router=mixtral.router(config, hidden, normalised=config.flag("norm_topk_prob", default=normalised), low=True),
        activation=llama.activation(config),
        shared=one,
        shared_gate=shared,
    )
