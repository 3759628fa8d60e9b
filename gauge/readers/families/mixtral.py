"""Mixtral: Mistral whose MLP is a mixture of experts.

Source: transformers 5.23 models/mixtral/modeling_mixtral.py.
"""

from __future__ import annotations

from typing import Any

from gauge.layers.experts import Experts, Router
from gauge.model import Model
from gauge.readers import checks
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Mixtral decoder from its config."""
    mixer = llama.attention(config, window=config.integer("sliding_window", default=None))
    return llama.decoder(config, (llama.block(config, mixer, experts(config)),) * config.layers())


def experts(config: Config) -> Experts:
    """Softmax over all experts, the chosen weights normalised and left in float32."""
    hidden = config.integer("hidden_size")
    chosen = router(config, hidden, normalised=True)
    return Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=chosen,
        activation=llama.activation(config),
    )


COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
ACTIVE = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "moe_top_k", "top_k_experts")


def router(config: Config, hidden: int, **changes: Any) -> Router:
    """A router by the names that configs use for its sizes."""
    count = config.integer(*COUNTS)
    key = next((name for name in ACTIVE if name in config), ACTIVE[0])
    active = checks.active(config, key, config.integer(*ACTIVE), count)
    return Router(**({"hidden": hidden, "experts": count, "active": active} | changes))
