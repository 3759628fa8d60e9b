"""BERT and its kin: learned positions and token types, norms behind the sums, bidirectional attention.

Source: transformers 5.23 models/bert/modeling_bert.py.
"""

from __future__ import annotations

from gauge.layers.block import Layer
from gauge.layers.embedding import Embeddings
from gauge.layers.head import Head
from gauge.layers.linear import Linear, LinearLayer
from gauge.layers.pooler import Pooler
from gauge.model import Model, Part
from gauge.readers import encoders
from gauge.readers.config import Config
from gauge.readers.heads import kind_of
from gauge.tensor import Dim

NAMES = ("query", "key", "value", "attention.output.dense")


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    positions = config.integer("max_position_embeddings")
    kind = kind_of(config, "BertModel")
    same = encoders.block(encoders.attention(config, NAMES), encoders.mlp(config), hidden)
    tables = (
        encoders.words(vocab, hidden),
        encoders.types(config.integer("type_vocab_size", default=2), hidden),
        encoders.places(positions, hidden),
    )
    entry = Embeddings(tables, encoders.norm("embeddings.LayerNorm", hidden), encoders.dropout(config))
    part = Part("encoder", (same,) * config.layers(), entry, None, _extras(kind, hidden))
    return Model(
        id="",
        family=config.text("model_type"),
        parts=(part,),
        head=_head(config, kind, hidden, vocab),
        max_length=positions,
        hidden=hidden,
        vocab=vocab,
    )


def _extras(kind: str, hidden: int) -> tuple[Layer, ...]:
    """The pooler, and pre-training's other head: whether the second sentence follows the first."""
    pooled: tuple[Layer, ...] = () if kind.endswith(encoders.UNPOOLED) else (Pooler(hidden, hidden, over=Dim.HIDDEN),)
    if not kind.endswith("ForPreTraining"):
        return pooled
    out = ((Dim.LABELS, 2),)
    return (*pooled, LinearLayer(Linear("cls.seq_relationship", "classifier", out, ((Dim.HIDDEN, hidden),), True, False)))


def _head(config: Config, kind: str, hidden: int, vocab: int) -> Head | None:
    if kind.endswith(encoders.LANGUAGE):
        return encoders.language_head(config, hidden, vocab)
    return encoders.label_head(config, kind)
