"""The text part of Step 3.7: windowed layers with more query heads, one gate a head, experts behind dense layers.

Source: transformers 5.23 models/step3p7/modeling_step3p7.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer
from gauge.layers.experts import Experts
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama, mixtral
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A Step decoder from its text config."""
    kinds = layer_types(config, config.layers(), lambda i: "sliding_attention" if i % 4 else "full_attention")
    sparse = deepseek_v3.is_sparse(config, first=3)
    routed = _experts(config)

    def make(kind: tuple[str, bool]) -> Block:
        feed: Layer = routed if kind[1] else llama.mlp(config)
        return llama.block(config, _attention(config, kind[0] == "sliding_attention"), feed, norm="rms_unit_offset")

    final = Norm("norm", config.integer("hidden_size"), "rms_unit_offset")
    return llama.decoder(config, blocks(zip(kinds, sparse, strict=True), make), final)


def _attention(config: Config, slides: bool) -> Attention:
    heads = config.integer("num_attention_heads")
    return llama.attention(
        config,
        heads=config.integer("num_sliding_attention_heads", default=heads) if slides else heads,
        window=config.integer("sliding_window", default=512) if slides else None,
        norms="head",
        norm_kind="rms_unit_offset",
        gate="head",
    )


def _experts(config: Config) -> Experts:
    hidden = config.integer("hidden_size")
    width = config.integer("share_expert_dim", default=config.integer("moe_intermediate_size"))
    return Experts(
        hidden=hidden,
        inner=config.integer("moe_intermediate_size"),
        router=mixtral.router(config, hidden, scores="sigmoid", normalised=True, wide=True),
        activation=llama.activation(config),
        shared=llama.mlp(config, inner=width, prefix="shared_expert"),
    )
