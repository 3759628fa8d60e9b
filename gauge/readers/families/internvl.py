"""InternVL 3: a vision transformer with scaled branches, shuffled pixels, two matrices, a language model.

Source: transformers 5.23 models/internvl/modeling_internvl.py.
"""

from __future__ import annotations

from gauge.layers.projector import Activate, Merge, linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.towers.block import layer_norm
from gauge.readers.vision_language import joined, text_model, vision_part, vision_width


def read(config: Config) -> Model:
    """An InternVL model from its config."""
    text, width = text_model(config, "qwen2"), vision_width(config)
    ratio = config.number("downsample_ratio", default=0.5)
    merge = int(1 / ratio) ** 2 if 0 < ratio <= 1 else 1
    steps = (
        Merge(merge),
        layer_norm("multi_modal_projector.layer_norm", width * merge),
        linear("multi_modal_projector.linear_1", width * merge, text.hidden),
        Activate(config.text("projector_hidden_act", default="gelu")),
        linear("multi_modal_projector.linear_2", text.hidden, text.hidden),
    )
    return joined(config, text, vision_part(config, "internvl_vision"), *steps)
