"""What decoders with older key names share: a model around blocks whose sizes were read under other names.

No `model_type` of its own.
"""

from __future__ import annotations

from typing import Any

from gauge.layers.block import Block
from gauge.layers.embedding import Embeddings
from gauge.layers.norm import Norm
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.heads import decoder_head


def decoder(
    config: Config,
    hidden: int,
    blocks: tuple[Block, ...],
    embeddings: Embeddings,
    norm: Norm | None,
    length: int,
    *,
    tied: bool = True,
    **head: Any,
) -> Model:
    """A decoder-only model; the head is tied unless the config says otherwise."""
    vocab = config.integer("vocab_size")
    tied = config.flag("tie_word_embeddings", default=tied)
    return Model(
        id="",
        family=config.text("model_type"),
        parts=(Part("decoder", blocks, embeddings, norm),),
        head=decoder_head(config, hidden, vocab, tied, **head),
        max_length=length,
        hidden=hidden,
        vocab=vocab,
    )
