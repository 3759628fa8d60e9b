"""DistilBERT: BERT without token types and pooler.

Source: transformers 5.23 models/distilbert/modeling_distilbert.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.linear import Linear
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, heads = config.integer("dim"), config.integer("n_heads")
    vocab, positions = config.integer("vocab_size"), config.integer("max_position_embeddings", default=512)
    dropout = config.number("dropout", default=0.1)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("dim", "n_heads", hidden, heads),
        qkv_bias=True,
        out_bias=True,
        causal=False,
        caches=False,
        softmax32=False,
        dropout=config.number("attention_dropout", default=0.1),
        names=("q_lin", "k_lin", "v_lin", "out_lin"),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("hidden_dim"),
        gated=False,
        bias=True,
        dropout=dropout,
        activation=config.text("activation", default="gelu"),
        names=("", "lin1", "lin2"),
    )
    same = Block(
        (Residual(mixer, after=_norm("sa_layer_norm", hidden)), Residual(feed, after=_norm("output_layer_norm", hidden)))
    )
    tables = (
        Embedding("word_embeddings", vocab, hidden),
        Embedding("position_embeddings", positions, hidden, "position_embedding", Dim.POSITIONS),
    )
    part = Part("encoder", (same,) * config.layers("n_layers"), Embeddings(tables, _norm("LayerNorm", hidden), dropout))
    kind = str(next(iter(config.listed("architectures")), "DistilBertForMaskedLM"))
    return Model(
        id="",
        family="distilbert",
        parts=(part,),
        head=_head(config, kind, hidden, vocab),
        max_length=positions,
        hidden=hidden,
        vocab=vocab,
    )


def _head(config: Config, kind: str, hidden: int, vocab: int) -> Head | None:
    square = ((Dim.HIDDEN, hidden),)
    if kind.endswith("ForMaskedLM"):
        dense = Linear("vocab_transform", "head_transform", square, square, True, False)
        transform = (dense, "gelu", _norm("vocab_layer_norm", hidden))
        tied = config.flag("tie_weights_", "tie_word_embeddings", default=True)
        return Head(hidden=hidden, outputs=vocab, tied=tied, bias=True, upcast=False, transform=transform, name="vocab_projector")
    if kind.endswith("ForSequenceClassification"):
        dense = Linear("pre_classifier", "head_transform", square, square, True, False)
        return Head(
            hidden=hidden,
            outputs=config.integer("num_labels", default=2),
            bias=True,
            upcast=False,
            project=dense,
            per_sequence=True,
            over=Dim.LABELS,
            name="classifier",
        )
    return None


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
