"""Granite 3 and 4: Llama with multipliers on embeddings, residuals, scores and logits; dense, sparse or hybrid.

Source: transformers 5.23 models/granite, models/granitemoe, models/granitemoehybrid.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.experts import Experts
from gauge.layers.mlp import MLP
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, llama, mixtral


def read(config: Config) -> Model:
    """A dense Granite decoder from its config."""
    same = llama.block(config, llama.attention(config), llama.mlp(config))
    return llama.decoder(config, (same,) * config.layers(), tied=True, embeddings=gemma.scaled(config))


def experts(config: Config, shared: MLP | None = None) -> Experts:
    """Softmax over the chosen logits; gate and up of each expert in one matrix."""
    hidden = config.integer("hidden_size")
    return Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(config, hidden, scores="chosen", name="router.layer"),
        activation=llama.activation(config),
        shared=shared,
        names=("input_linear_gate", "input_linear", "output_linear"),
    )


def shared(mlp: MLP) -> MLP:
    """The MLP that every token passes through, beside the experts."""
    return replace(mlp, prefix="shared_expert")
