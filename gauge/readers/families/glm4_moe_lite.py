"""GLM-4.7 Flash: DeepSeek V3's layers with the first one dense.

Source: transformers 5.23 models/glm4_moe_lite/modeling_glm4_moe_lite.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3


def read(config: Config) -> Model:
    """A GLM-4.7 Flash decoder from its config."""
    return deepseek_v3.read(config)
