"""The text part of Qwen3.5 MoE.

Source: transformers 5.23 models/qwen3_5_moe/modeling_qwen3_5_moe.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import qwen3_next


def read(config: Config) -> Model:
    """A Qwen3.5 MoE decoder from its text config."""
    return qwen3_next.hybrid(config, "parts", sparse=True)
