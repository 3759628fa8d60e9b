"""Mistral 3 with vision: a Pixtral tower, merged patches, a two-layer projector.

Source: transformers 5.23 models/mistral3/modeling_mistral3.py.
"""

from __future__ import annotations

from gauge.layers.norm import Norm
from gauge.layers.projector import Activate, Merge, linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part, vision_width


def read(config: Config) -> Model:
    """A Mistral 3 model from its config."""
    text, width = text_model(config, "mistral"), vision_width(config)
    merge = config.integer("spatial_merge_size", default=2) ** 2
    bias = config.flag("multimodal_projector_bias")
    steps = (
        Norm("multi_modal_projector.norm", width),
        Merge(merge),
        linear("multi_modal_projector.patch_merger.merging_layer", width * merge, width, False),
        linear("multi_modal_projector.linear_1", width, text.hidden, bias),
        Activate(config.text("projector_hidden_act", default="gelu")),
        linear("multi_modal_projector.linear_2", text.hidden, text.hidden, bias),
    )
    return joined(config, text, vision_part(config, "pixtral"), *steps)
