"""PaliGemma: a SigLIP tower, one matrix, a Gemma.

Source: transformers 5.23 models/paligemma/modeling_paligemma.py.
"""

from __future__ import annotations

from gauge.layers.projector import linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part, vision_width


def read(config: Config) -> Model:
    """A PaliGemma model from its config."""
    text = text_model(config, "gemma")
    width = config.inner("vision_config").integer("projection_dim", default=text.hidden)
    step = linear("multi_modal_projector.linear", vision_width(config, default=1152), width)
    return joined(config, text, vision_part(config, "siglip_vision_model"), step)
