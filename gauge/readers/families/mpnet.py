"""MPNet: BERT with one table of relative position biases for all layers and no token types.

Source: transformers 5.23 models/mpnet/modeling_mpnet.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.linear import Linear
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.relative import RelativeTable
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.families.bert import Pooler
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    vocab, positions = config.integer("vocab_size"), config.integer("max_position_embeddings", default=512)
    dropout = config.number("hidden_dropout_prob", default=0.1)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("hidden_size", "num_attention_heads", hidden, heads),
        qkv_bias=True,
        out_bias=True,
        causal=False,
        caches=False,
        softmax32=False,
        has_sdpa=False,
        shared_bias="encoder",
        dropout=config.number("attention_probs_dropout_prob", default=0.1),
        out_dropout=dropout,
        names=("q", "k", "v", "o"),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        gated=False,
        bias=True,
        dropout=dropout,
        activation=config.text("hidden_act", default="gelu"),
        names=("", "intermediate.dense", "output.dense"),
    )
    same = Block(
        (Residual(mixer, after=_norm("attention.LayerNorm", hidden)), Residual(feed, after=_norm("output.LayerNorm", hidden)))
    )
    tables = (
        Embedding("word_embeddings", vocab, hidden),
        Embedding("position_embeddings", positions, hidden, "position_embedding", Dim.POSITIONS),
    )
    kind = str(next(iter(config.listed("architectures")), "MPNetModel"))
    table = RelativeTable(config.integer("relative_attention_num_buckets", default=32), heads)
    extras = (table, Pooler(hidden)) if kind == "MPNetModel" else (table,)
    entry = Embeddings(tables, _norm("embeddings.LayerNorm", hidden), dropout)
    part = Part("encoder", (same,) * config.layers(), entry, None, extras)
    return Model(
        id="",
        family="mpnet",
        parts=(part,),
        head=_head(hidden, vocab) if kind.endswith("ForMaskedLM") else None,
        max_length=positions,
        hidden=hidden,
        vocab=vocab,
    )


def _head(hidden: int, vocab: int) -> Head:
    square = ((Dim.HIDDEN, hidden),)
    dense = Linear("lm_head.dense", "head_transform", square, square, True, False)
    transform = (dense, "gelu", _norm("lm_head.layer_norm", hidden))
    return Head(hidden=hidden, outputs=vocab, tied=True, bias=True, upcast=False, transform=transform, name="decoder")


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
