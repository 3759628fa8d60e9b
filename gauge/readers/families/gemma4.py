"""Gemma 4 with vision and sound: towers, one matrix each, a Gemma 4.

Source: transformers 5.23 models/gemma4/modeling_gemma4.py.
"""

from __future__ import annotations

from gauge.layers.projector import linear
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.towers.gemma import sound
from gauge.readers.vision_language import joined, standing_by, text_model, vision_part, vision_width

SOUND_WIDTH = 1536


def read(config: Config) -> Model:
    """A Gemma 4 model from its config; a tower is left out where its config is null."""
    text = text_model(config, "gemma4_text")
    extra: tuple[Part, ...] = ()
    if config.keys.get("audio_config") is not None:
        audio = config.inner("audio_config")
        out = audio.integer("output_proj_dims", default=SOUND_WIDTH)
        weights = (*sound(audio, out), ("embed_audio.embedding_projection", (text.hidden, out)))
        extra = (standing_by("sound tower", *weights),)
    if config.keys.get("vision_config") is None:
        return text.edited(family=config.text("model_type"), parts=(*extra, *text.parts))
    step = linear("embed_vision.embedding_projection", vision_width(config, default=768), text.hidden, False)
    return joined(config, text, vision_part(config, "gemma4_vision"), step, extra=extra)
