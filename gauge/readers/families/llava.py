"""LLaVA: a CLIP (or Pixtral) tower, a two-layer projector, a language model.

Source: transformers 5.23 models/llava/modeling_llava.py; arXiv 2304.08485.
"""

from __future__ import annotations

from gauge.layers.projector import Activate, Step, held, linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.towers.block import layer_norm
from gauge.readers.vision_language import joined, text_model, vision_part, vision_width

VIP_LEVELS = 5


def read(config: Config) -> Model:
    """A LLaVA model from its config."""
    text = text_model(config)
    return joined(config, text, vision_part(config, "clip_vision_model"), *projector(config, text))


def projector(config: Config, text: Model) -> tuple[Step, ...]:
    """Two matrices around a GELU; LLaVA-NeXT also learns a token that ends each row."""
    levels = config.keys.get("vision_feature_layers", config.keys.get("vision_feature_layer"))
    width = vision_width(config) * (len(levels) if isinstance(levels, list) and levels else 1)
    bias = config.flag("multimodal_projector_bias", default=True)
    vip = config.text("model_type") == "vipllava"
    if vip and not isinstance(levels, list):
        width *= VIP_LEVELS
    normed: tuple[Step, ...] = (layer_norm("multi_modal_projector.projector_layernorm", width),) if vip else ()
    newline: tuple[Step, ...] = ()
    if config.text("model_type") in ("llava_next", "llava_next_video", "llava_onevision"):
        newline = (held(("image_newline", (text.hidden,))),)
    return (
        *normed,
        linear("multi_modal_projector.linear_1", width, text.hidden, bias),
        Activate(config.text("projector_hidden_act", default="gelu")),
        linear("multi_modal_projector.linear_2", text.hidden, text.hidden, bias),
        *newline,
    )
