"""SigLIP: a vision and a text encoder trained with a sigmoid loss.

Source: transformers 5.23 models/siglip/modeling_siglip.py; arXiv 2303.15343.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.projector import held, linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families.clip import dual, pooled, text_part
from gauge.readers.heads import kind_of
from gauge.readers.towers import clip as vision_tower

VOCAB, POSITIONS = 32_000, 64


def read(config: Config) -> Model:
    """A SigLIP model, or its vision side, from its config."""
    if config.text("model_type") == "siglip_vision_model":
        return dual(config, (replace(vision_tower.siglip_with_head(config), optional=False),))
    seeing, reading = config.inner("vision_config"), config.inner("text_config")
    if kind_of(config).endswith("ForImageClassification"):
        part = replace(vision_tower.siglip_with_head(seeing), optional=False)
        return dual(config, (part,), seeing.integer("hidden_size", default=768))
    hidden = reading.integer("hidden_size", default=768)
    keys = Config({"num_attention_heads": 12, "intermediate_size": 3072, "hidden_size": 768} | dict(reading.keys))
    text = text_part(config, keys, "gelu_pytorch_tanh", VOCAB, POSITIONS)
    out = reading.integer("projection_size", default=hidden)
    text = pooled(text, linear("text_model.head", hidden, out), held(("logit_scale", (1,)), ("logit_bias", (1,))))
    return dual(config, (replace(vision_tower.siglip_with_head(seeing), optional=False), text))
