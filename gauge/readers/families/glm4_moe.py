"""GLM-4.5 and 4.6: grouped-query attention with q/k norms, DeepSeek V3's experts behind dense first layers.

Source: transformers 5.23 models/glm4_moe/modeling_glm4_moe.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, glm


def read(config: Config) -> Model:
    """A GLM-4.5 decoder from its config."""
    norms = "head" if config.flag("use_qk_norm") else ""
    mixer = glm.attention(config, norms=norms)
    return deepseek_v3.decoder(config, mixer, deepseek_v3.experts(config, scores="sigmoid", normalised=True))
