"""GLM-5: DeepSeek V3.2's attention; later sizes share one indexer between layers.

Source: transformers 5.23 models/glm_moe_dsa/modeling_glm_moe_dsa.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, deepseek_v32, llama
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """A GLM-5 decoder from its config."""
    kinds = list(zip(deepseek_v3.is_sparse(config, first=3), owns_indexer(config), strict=True))
    routed = deepseek_v3.experts(config, scores="sigmoid", normalised=True)
    dense = llama.mlp(config, bias=False)

    def make(kind: tuple[bool, bool]) -> Block:
        mixer = deepseek_v3.attention(config, deepseek_v32.indexer(config) if kind[1] else None)
        feed: Layer = routed if kind[0] else dense
        return llama.block(config, mixer, feed)

    return llama.decoder(config, blocks(kinds, make))


def owns_indexer(config: Config) -> list[bool]:
    """Which layers own an indexer: those that `indexer_types` does not call shared."""
    return [kind != "shared" for kind in layer_types(config, config.layers(), lambda i: "full", "indexer_types")]
