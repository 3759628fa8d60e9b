"""Llama 4 with vision: its tower, one matrix, the mixture of experts.

Source: transformers 5.23 models/llama4/modeling_llama4.py.
"""

from __future__ import annotations

from gauge.layers.projector import linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part, vision_width


def read(config: Config) -> Model:
    """A Llama 4 model from its config."""
    own = config.inner("text_config").keys.get("tie_word_embeddings")  # the language model ties by its own config
    text = text_model(Config({**config.keys, "tie_word_embeddings": own}, config.path), "llama4_text")
    width = vision_width(config, "vision_output_dim", default=4096)
    step = linear("multi_modal_projector.linear_1", width, text.hidden, False)
    return joined(config, text, vision_part(config, "llama4_vision_model"), step)
