"""Qwen 3: Llama with norms over each query and key head.

Source: transformers 5.23 models/qwen3/modeling_qwen3.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import qwen2


def read(config: Config) -> Model:
    """A Qwen 3 decoder from its config."""
    return qwen2.windowed(config, norms="head")
