"""Gemma 3n with vision and sound: a MobileNet v5, a conformer, one embedder each, a Gemma 3n.

Source: transformers 5.23 models/gemma3n/modeling_gemma3n.py. The vision net is timm's `mobilenetv5_300m_enc`, counted
as published.
"""

from __future__ import annotations

from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.towers.gemma import sound
from gauge.readers.vision_language import standing_by, text_model

SOUND_WIDTH = 1536
VISION_AND_EMBEDDERS = 301_932_864
NOTE = (
    "The vision net is counted as published (301,932,864 parameters with the embedders, equal in E2B and E4B); its pass "
    "is not followed."
)


def read(config: Config) -> Model:
    """A Gemma 3n model from its config; a tower is left out where its config is null."""
    text = text_model(config, "gemma3n_text")
    parts: list[Part] = []
    if config.keys.get("audio_config") is not None:
        parts.append(standing_by("sound tower", *sound(config.inner("audio_config"), 0, SOUND_WIDTH)))
    if config.keys.get("vision_config") is not None:
        parts.append(standing_by("vision tower and embedders", ("vision_tower", (VISION_AND_EMBEDDERS,))))
    return text.edited(
        family=config.text("model_type"), parts=(*parts, *text.parts), notes=(*text.notes, *((NOTE,) if parts else ()))
    )
