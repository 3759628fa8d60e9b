"""Qwen-VL models, GLM-4V: the tower ends in a merger of the language model's width, nothing stands between.

Source: transformers 5.23 models/qwen2_vl, qwen2_5_vl, qwen3_vl, qwen3_5, glm4v.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part

TEXT = {
    "qwen2_vl": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen3_vl": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "glm4v": "glm4v_text",
    "glm46v": "glm4v_text",
    "glm5_next": "glm5_next_text",
}
VISION = {"glm4v": "glm4v_vision", "glm46v": "glm4v_vision", "glm5_next": "glm5_next_vision"}


def read(config: Config) -> Model:
    """A vision-language model from its config."""
    kind = config.text("model_type")
    text = text_model(config, TEXT.get(kind, "qwen2"))
    return joined(config, text, vision_part(config, VISION.get(kind, kind)))
