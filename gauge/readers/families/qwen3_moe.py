"""Qwen 3 MoE: Qwen 3's attention, routed experts without a shared one.

Source: transformers 5.23 models/qwen3_moe/modeling_qwen3_moe.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import qwen2_moe


def read(config: Config) -> Model:
    """A Qwen 3 MoE decoder from its config."""
    return qwen2_moe.sparse(config, qwen2_moe.experts(config, shared=False), norms="head")
