"""Gemma 4 without towers: pixels and sound go straight into the language model through small embedders.

Source: transformers 5.23 models/gemma4_unified/modeling_gemma4_unified.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import standing_by, text_model

PATCH, MERGE, CHANNELS = 16, 3, 3
POSITIONS = 1120
SOUND_WIDTH = 640


def read(config: Config) -> Model:
    """A unified Gemma 4 model from its config."""
    text = text_model(config, "gemma4_unified_text")
    sees, hears = (config.keys.get(name) is not None for name in ("vision_config", "audio_config"))
    hidden, vision = text.hidden, config.inner("vision_config")
    patch = vision.integer("patch_size", default=PATCH) * vision.integer("pooling_kernel_size", default=MERGE)
    wide = CHANNELS * patch * patch
    seen: tuple[tuple[str, tuple[int, ...]], ...] = (
        ("pos_embedding", (vision.integer("position_embedding_size", default=POSITIONS), 2, hidden)),
        ("patch_ln1", (2, wide)),
        ("patch_dense.weight", (hidden, wide)),
        ("patch_dense.bias", (hidden,)),
        ("patch_ln2", (2, hidden)),
        ("pos_norm", (2, hidden)),
        ("multimodal_embedder", (hidden, hidden)),
    )
    heard = (("embed_audio", (hidden, SOUND_WIDTH)),)
    weights = (*(seen if sees else ()), *(heard if hears else ()))
    if not weights:
        return text.edited(family=config.text("model_type"))
    return text.edited(family=config.text("model_type"), parts=(standing_by("image and sound embedders", *weights), *text.parts))
