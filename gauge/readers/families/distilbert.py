"""DistilBERT: BERT without token types and pooler.

Source: transformers 5.23 models/distilbert/modeling_distilbert.py.
"""

from __future__ import annotations

from gauge.layers.embedding import Embeddings
from gauge.layers.head import Head
from gauge.model import Model, Part
from gauge.readers import encoders
from gauge.readers.config import Config
from gauge.readers.heads import kind_of


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, vocab = config.integer("dim"), config.integer("vocab_size")
    positions = config.integer("max_position_embeddings", default=512)
    mixer = encoders.attention(config, ("q_lin", "k_lin", "v_lin", "out_lin"), out_dropout=0.0)
    same = encoders.block(mixer, encoders.mlp(config, ("lin1", "lin2")), hidden, "sa_layer_norm", "output_layer_norm")
    tables = (encoders.words(vocab, hidden), encoders.places(positions, hidden))
    entry = Embeddings(tables, encoders.norm("LayerNorm", hidden), encoders.dropout(config))
    return Model(
        id="",
        family="distilbert",
        parts=(Part("encoder", (same,) * config.layers("n_layers"), entry),),
        head=_head(config, hidden, vocab),
        max_length=positions,
        hidden=hidden,
        vocab=vocab,
    )


def _head(config: Config, hidden: int, vocab: int) -> Head | None:
    kind = kind_of(config, "DistilBertForMaskedLM")
    if kind.endswith("ForMaskedLM"):
        names = ("vocab_transform", "vocab_layer_norm", "vocab_projector")
        return encoders.language_head(config, hidden, vocab, *names, act="gelu", spare=False)
    return encoders.label_head(config, kind, "pre_classifier")
