"""MPNet: BERT with one table of relative position biases for all layers and no token types.

Source: transformers 5.23 models/mpnet/modeling_mpnet.py.
"""

from __future__ import annotations

from gauge.layers.block import Layer
from gauge.layers.embedding import Embeddings
from gauge.layers.head import Head
from gauge.layers.pooler import Pooler
from gauge.layers.relative import RelativeTable
from gauge.model import Model, Part
from gauge.readers import encoders
from gauge.readers.config import Config
from gauge.readers.heads import kind_of
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    positions = config.integer("max_position_embeddings", default=512)
    kind = kind_of(config, "MPNetModel")
    mixer = encoders.attention(config, ("q", "k", "v", "o"), has_sdpa=False, shared_bias="encoder")
    same = encoders.block(mixer, encoders.mlp(config), hidden, "attention.LayerNorm")
    tables = (encoders.words(vocab, hidden), encoders.places(positions, hidden))
    entry = Embeddings(tables, encoders.norm("embeddings.LayerNorm", hidden), encoders.dropout(config))
    return Model(
        id="",
        family="mpnet",
        parts=(Part("encoder", (same,) * config.layers(), entry, None, _extras(config, kind, hidden)),),
        head=_head(config, kind, hidden, vocab),
        max_length=positions,
        hidden=hidden,
        vocab=vocab,
    )


def _extras(config: Config, kind: str, hidden: int) -> tuple[Layer, ...]:
    """The table of biases, and the pooler of a bare model."""
    table = RelativeTable(config.integer("relative_attention_num_buckets", default=32), config.integer("num_attention_heads"))
    return (table, Pooler(hidden, hidden, over=Dim.HIDDEN)) if kind == "MPNetModel" else (table,)


def _head(config: Config, kind: str, hidden: int, vocab: int) -> Head | None:
    if kind.endswith("ForMaskedLM"):
        return encoders.language_head(config, hidden, vocab, "lm_head.dense", "lm_head.layer_norm", act="gelu")
    return encoders.label_head(config, kind, "classifier.dense")
