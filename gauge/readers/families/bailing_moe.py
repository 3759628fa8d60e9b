"""Ling: fused projection, routed and shared experts; Ling 2.0 adds q/k norms, a dense first layer and sigmoid scores.

Source: the modelling code of inclusionAI/Ling-lite and inclusionAI/Ling-mini-2.0.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama


def read(config: Config) -> Model:
    """A Ling decoder from its config."""
    return ling(config, scores="softmax", correction=False)


def ling(config: Config, scores: str, correction: bool) -> Model:
    """Grouped-query attention from one matrix; dense layers in front."""
    bias = config.flag("use_qkv_bias")
    mixer = llama.attention(
        config,
        fused=True,
        qkv_bias=bias,
        out_bias=config.flag("use_bias"),
        norms="head" if config.flag("use_qk_norm") else "",
        norm_names=("query_layernorm", "key_layernorm"),
        names=("query_key_value", "", "", "dense"),
    )
    routed = deepseek_v3.experts(config, scores=scores, normalised=True)
    routed = replace(routed, router=replace(routed.router, correction=correction))
    return deepseek_v3.decoder(config, mixer, routed)
