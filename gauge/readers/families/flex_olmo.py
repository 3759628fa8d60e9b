"""FlexOlmo: OLMo 2's attention and norms behind the branches, OLMoE's experts in every layer.

Source: transformers 5.23 models/flex_olmo/modeling_flex_olmo.py.
"""

from __future__ import annotations

from gauge.layers.experts import Experts
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral, olmo2


def read(config: Config) -> Model:
    """A FlexOlmo decoder from its config."""
    hidden = config.integer("hidden_size")
    routed = Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(config, hidden, normalised=config.flag("norm_topk_prob"), low=True),
        activation=llama.activation(config),
    )
    same = olmo2.behind(config, llama.attention(config, norms="full"), routed, "rms")
    return llama.decoder(config, (same,) * config.layers())
