"""Grok-1: norms on both sides of both branches, two of eight experts, soft-capped scores.

Source: the config and weights of xai-org/grok-1; huggingface port hpcai-tech/grok-1.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, gemma2, llama, mixtral


def read(config: Config) -> Model:
    """A Grok-1 decoder from its config."""
    mixer = llama.attention(config, soft_cap=True, has_sdpa=False)
    same = gemma2.sandwich(config, mixer, mixtral.experts(config), "rms")
    return llama.decoder(config, (same,) * config.layers(), tied=True, embeddings=gemma.scaled(config))
