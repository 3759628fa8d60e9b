"""LFM2 MoE: LFM2's mixers, dense first layers, then sigmoid-routed experts.

Source: transformers 5.23 models/lfm2_moe/modeling_lfm2_moe.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.experts import Experts
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import lfm2, llama, mixtral
from gauge.readers.patterns import blocks, layer_types


def read(config: Config) -> Model:
    """An LFM2 MoE decoder from its config."""
    hidden, layers = config.integer("hidden_size"), config.layers()
    dense = config.integer("num_dense_layers", default=2, least=0)
    kinds = layer_types(config, layers, lambda i: "conv")
    routed = Experts(
        hidden=hidden,
        inner=config.integer("moe_intermediate_size"),
        router=mixtral.router(config, hidden, scores="sigmoid", normalised=True),
        activation=llama.activation(config),
    )
    feed = llama.mlp(config, bias=False, names=("w1", "w3", "w2"))

    def make(kind: tuple[str, bool]) -> Block:
        mixer = lfm2.mixer(config, kind[0])
        inner: Layer = routed if kind[1] else feed
        return llama.block(config, mixer, inner, names=("operator_norm", "ffn_norm"), kind=kind[0])

    which = [(kind, i >= dense) for i, kind in enumerate(kinds)]
    return llama.decoder(config, blocks(which, make), Norm("embedding_norm", hidden), tied=True)
