"""Models of a language model with towers: the nested configs, and the parts put together."""

from __future__ import annotations

from typing import Any

from gauge.errors import shown
from gauge.layers.convolution import Chain
from gauge.layers.projector import Projector, Step, held
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.huggingface import read
from gauge.readers.towers import tower

NESTED = ("vision_config", "audio_config", "text_config")
NOTE = (
    "The vision tower's weights count. Give image_size for the pass of one picture a sequence through it; "
    "sequence_length includes the picture's tokens."
)


def text_model(config: Config, default: str = "llama") -> Model:
    """The language model: `text_config`, or the keys beside `vision_config` in older files."""
    nested = "text_config" in config
    inner = config.inner("text_config") if nested else config
    keys: dict[str, Any] = {k: v for k, v in inner.keys.items() if k not in NESTED}
    kind = inner.text("model_type") if nested else default
    keys["model_type"] = kind or default
    if "architectures" in config:  # whether there is a head, and which, is the whole model's to say
        keys["architectures"] = config.listed("architectures")
    if "tie_word_embeddings" in config:
        keys["tie_word_embeddings"] = config.flag("tie_word_embeddings")
    return read(keys, inner.path)


def vision_width(config: Config, *names: str, default: int = 1024) -> int:
    """Width of the tower."""
    width: int = config.inner("vision_config").integer(*(names or ("hidden_size",)), default=default)
    return width


def joined(config: Config, text: Model, part: Part | None, *projector: Step, extra: tuple[Part, ...] = ()) -> Model:
    """Tower, projector and language model as one."""
    towers: tuple[Part, ...] = ()
    notes: tuple[str, ...] = (NOTE,)
    if part is None:
        kind = config.inner("vision_config").text("model_type")
        notes = (f"The vision tower {shown(kind)} is not known: only the language model is counted.",)
    else:
        towers = (with_tail(part, *projector),)
    return text.edited(family=config.text("model_type"), parts=(*towers, *extra, *text.parts), notes=(*text.notes, *notes))


def with_tail(part: Part, *steps: Step) -> Part:
    """The part with further steps behind its blocks."""
    if not steps:
        return part
    return Part(
        part.name,
        (*part.blocks, Chain((Projector(steps),), "projector")),
        part.embeddings,
        part.norm,
        part.extras,
        part.sequence,
        part.length,
        part.feeds,
        part.optional,
    )


def standing_by(name: str, *weights: tuple[str, tuple[int, ...]]) -> Part:
    """A part whose weights count but whose pass is left out (sound towers)."""
    return Part(name, (Chain((Projector((held(*weights),)),), name),), None, feeds=False, optional=True, sequence="idle")


def vision_part(config: Config, default: str) -> Part | None:
    """The tower of `vision_config`."""
    return tower(config.inner("vision_config"), default)
