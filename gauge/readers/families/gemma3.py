"""Gemma 3 with vision: a SigLIP tower, a norm and one matrix, a Gemma 3.

Source: transformers 5.23 models/gemma3/modeling_gemma3.py.
"""

from __future__ import annotations

from gauge.layers.norm import Norm
from gauge.layers.projector import linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part, vision_width


def read(config: Config) -> Model:
    """A Gemma 3 model from its config."""
    text, width = text_model(config, "gemma3_text"), vision_width(config, default=1152)
    norm = Norm("multi_modal_projector.mm_soft_emb_norm", width, "rms_unit_offset")
    step = linear("multi_modal_projector.mm_input_projection", width, text.hidden, False)
    return joined(config, text, vision_part(config, "siglip_vision_model"), norm, step)
