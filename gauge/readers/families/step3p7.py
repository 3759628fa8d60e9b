"""Step 3.7 with vision: its tower, one matrix, a mixture of experts.

Source: transformers 5.23 models/step3p7.
"""

from __future__ import annotations

from gauge.layers.projector import linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part, vision_width


def read(config: Config) -> Model:
    """A Step 3.7 model from its config."""
    tied = config.flag("tie_word_embeddings")
    text = text_model(Config({**config.keys, "tie_word_embeddings": tied}, config.path), "step3p5")
    width = 4 * vision_width(config, default=1536)
    step = linear("multi_modal_projector", width, text.hidden, config.flag("projector_bias"))
    return joined(config, text, vision_part(config, "step3p5_vision"), step)
