"""Idefics 3 and SmolVLM: a SigLIP-like tower, pixel shuffle, one matrix, a Llama.

Source: transformers 5.23 models/idefics3/modeling_idefics3.py.
"""

from __future__ import annotations

from gauge.layers.projector import Merge, linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part, vision_width


def read(config: Config) -> Model:
    """An Idefics 3 model from its config."""
    text, width = text_model(config), vision_width(config, default=1152)
    merge = config.integer("scale_factor", default=2) ** 2
    step = linear("connector.modality_projection.proj", width * merge, text.hidden, False)
    return joined(config, text, vision_part(config, "idefics3_vision"), Merge(merge), step)
