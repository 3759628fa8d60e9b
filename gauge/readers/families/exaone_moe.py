"""K-EXAONE: EXAONE 4's windows and q/k norms with norms in front of the branches, DeepSeek V3's experts.

Source: transformers 5.23 models/exaone_moe/modeling_exaone_moe.py.
"""

from __future__ import annotations

from gauge.layers.block import Block
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A K-EXAONE decoder from its config."""
    window: int | None = config.integer("sliding_window", default=None)
    kinds = layer_types(config, config.layers(), lambda i: "sliding_attention" if window and (i + 1) % 4 else "full_attention")
    routed = deepseek_v3.experts(config, scores="sigmoid", normalised=True)

    def make(kind: tuple[str, bool]) -> Block:
        reach = window if kind[0] == "sliding_attention" else None
        mixer = llama.attention(config, norms="head", window=reach, qkv_bias=False, out_bias=False)
        return llama.block(config, mixer, routed if kind[1] else llama.mlp(config, bias=False))

    return llama.decoder(config, blocks(zip(kinds, deepseek_v3.is_sparse(config), strict=True), make))
