"""Hunyuan A13B: Hunyuan's attention, 64 experts and one shared in every layer.

Source: transformers 5.23 models/hunyuan_v1_moe/modeling_hunyuan_v1_moe.py.
"""

from __future__ import annotations

from gauge.layers.experts import Experts
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import hunyuan_v1_dense, llama, mixtral


def read(config: Config) -> Model:
    """A Hunyuan MoE decoder from its config; counts given a layer are equal in all released sizes."""
    hidden = config.integer("hidden_size")
    keys = {k: (v[0] if isinstance(v, list) and v else v) for k, v in config.keys.items()}
    routed = Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(Config(keys, config.path), hidden, normalised=True, wide=True, name="gate.wg"),
        activation=llama.activation(config),
        shared=llama.mlp(config, bias=False, prefix="shared_expert"),
    )
    same = llama.block(config, hunyuan_v1_dense.attention(config), routed)
    return llama.decoder(config, (same,) * config.layers(), tied=True)
