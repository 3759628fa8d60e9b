"""The text part of Qwen3.5: Qwen3-Next with dense MLPs and the delta net's projections apart.

Source: transformers 5.23 models/qwen3_5/modeling_qwen3_5.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import qwen3_next


def read(config: Config) -> Model:
    """A Qwen3.5 decoder from its text config."""
    return qwen3_next.hybrid(config, "parts", sparse=False)
