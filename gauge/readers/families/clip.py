"""CLIP: a vision and a text encoder that meet in one space.

Source: transformers 5.23 models/clip/modeling_clip.py; arXiv 2103.00020.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.convolution import Chain
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.projector import Projector, Step, held, linear
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.families.vit import classifier
from gauge.readers.heads import kind_of
from gauge.readers.towers import clip as vision_tower
from gauge.readers.towers.block import encoder_block, layer_norm
from gauge.tensor import Dim

VOCAB, POSITIONS = 49_408, 77


def read(config: Config) -> Model:
    """A CLIP model, or one side of it, from its config."""
    kind = config.text("model_type")
    if kind == "clip_text_model":
        return dual(config, (text_part(config, config, "quick_gelu", VOCAB, POSITIONS),))
    if kind == "clip_vision_model":
        return dual(config, (replace(vision_tower.clip(config), optional=False),))
    if kind_of(config).endswith("ForImageClassification"):
        part = replace(vision_tower.clip(config.inner("vision_config")), optional=False)
        return dual(config, (part,), config.inner("vision_config").integer("hidden_size", default=768))
    space = config.integer("projection_dim", default=512)
    seeing, reading = config.inner("vision_config"), config.inner("text_config")
    width = seeing.integer("hidden_size", default=768)
    vision = pooled(vision_tower.clip(seeing), linear("visual_projection", width, space, False))
    text = text_part(config, reading, "quick_gelu", VOCAB, POSITIONS)
    hidden = reading.integer("hidden_size", default=512)
    text = pooled(text, linear("text_projection", hidden, space, False), held(("logit_scale", (1,))))
    return dual(config, (vision, text))


def pooled(part: Part, *steps: Step) -> Part:
    """The part with its projection, always part of the pass."""
    return replace(part, blocks=(*part.blocks, Chain((Projector(steps),), "projection")), optional=False)


def text_part(config: Config, keys: Config, activation: str, vocab: int, positions: int) -> Part:
    """A text encoder with learned positions."""
    hidden, length = keys.integer("hidden_size", default=512), keys.integer("max_position_embeddings", default=positions)
    tables = (
        Embedding("token_embedding", keys.integer("vocab_size", default=vocab), hidden),
        Embedding("position_embedding", length, hidden, "position_embedding", Dim.POSITIONS),
    )
    block = encoder_block(
        hidden=hidden,
        heads=keys.integer("num_attention_heads", default=8),
        inner=keys.integer("intermediate_size", default=2048),
        activation=keys.text("hidden_act", default=activation),
    )
    blocks = (block,) * keys.layers("num_hidden_layers", default=12)
    tail = Chain((Projector((layer_norm("final_layer_norm", hidden),)),), "final norm")
    return Part("text encoder", (*blocks, tail), Embeddings(tables), feeds=False)


def dual(config: Config, parts: tuple[Part, ...], width: int = 0) -> Model:
    """Encoders without a head, or the vision side with a classifier over its `width`."""
    texts = [p for p in parts if isinstance(p.embeddings, Embeddings)]
    table = texts[0].embeddings.tables if texts and isinstance(texts[0].embeddings, Embeddings) else ()
    return Model(
        id="",
        family=config.text("model_type"),
        parts=parts,
        head=classifier(config, width) if width else None,
        max_length=table[1].rows if len(table) > 1 else 1,
        hidden=table[0].size if table else 0,
        vocab=table[0].rows if table else 0,
    )
