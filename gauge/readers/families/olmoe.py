"""OLMoE: q/k norms over all heads together, softmax-routed experts in every layer.

Source: transformers 5.23 models/olmoe/modeling_olmoe.py.
"""

from __future__ import annotations

from gauge.layers.experts import Experts
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral


def read(config: Config) -> Model:
    """An OLMoE decoder from its config."""
    same = llama.block(config, llama.attention(config, norms="full"), experts(config))
    return llama.decoder(config, (same,) * config.layers())


def experts(config: Config) -> Experts:
    """Softmax-routed experts as wide as `intermediate_size`."""
    hidden = config.integer("hidden_size")
    return Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(config, hidden, normalised=config.flag("norm_topk_prob"), low=True),
        activation=llama.activation(config),
    )
