"""ModernBERT: no biases, rotary positions, gated MLP, windowed layers between global ones, no first norm.

Source: transformers 5.23 models/modernbert/modeling_modernbert.py.
"""

from __future__ import annotations

from collections.abc import Callable

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.linear import Linear
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.heads import LABELLED, SEQUENCE, kind_of, labels
from gauge.readers.patterns import blocks, layer_types
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    entry, chain = body(config, hidden, vocab, _attention)
    part = Part("encoder", chain, entry, norm(config, "final_norm", hidden))
    kind = kind_of(config, "ModernBertForMaskedLM")
    return Model(
        id="",
        family="modernbert",
        parts=(part,),
        head=_head(config, kind, hidden, vocab),
        max_length=config.integer("max_position_embeddings", default=8192),
        hidden=hidden,
        vocab=vocab,
    )


def body(
    config: Config, hidden: int, vocab: int, attention: Callable[[Config, int, bool], Attention]
) -> tuple[Embeddings, tuple[Block, ...]]:
    """The normed embeddings and the chain of blocks. `attention(config, hidden, slides)` makes a mixer."""
    every, layers = config.integer("global_attn_every_n_layers", default=3), config.layers()
    kinds = layer_types(config, layers, lambda i: "sliding_attention" if i % every else "full_attention")

    def make(kind: tuple[str, bool]) -> Block:
        first = None if kind[1] else norm(config, "attn_norm", hidden)
        mixer = attention(config, hidden, kind[0] == "sliding_attention")
        return Block((Residual(mixer, pre=first), Residual(mlp(config, hidden), pre=norm(config, "mlp_norm", hidden))))

    table, dropout = Embedding("tok_embeddings", vocab, hidden), config.number("embedding_dropout", default=0.0)
    entry = Embeddings((table,), norm(config, "embeddings.norm", hidden), dropout)
    return entry, blocks([(kind, i == 0) for i, kind in enumerate(kinds)], make)


def _attention(config: Config, hidden: int, slides: bool) -> Attention:
    heads = config.integer("num_attention_heads")
    head = config.divides("hidden_size", "num_attention_heads", hidden, heads)
    bias = config.flag("attention_bias")
    return Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=head,
        fused=True,
        qkv_bias=bias,
        out_bias=bias,
        causal=False,
        caches=False,
        rotary=head,
        rotary_scope="sliding" if slides else "global",
        window=config.integer("local_attention", default=128) if slides else None,
        dropout=config.number("attention_dropout", default=0.0),
        names=("Wqkv", "", "", "Wo"),
    )


def mlp(config: Config, hidden: int) -> MLP:
    return MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        fused=True,
        bias=config.flag("mlp_bias"),
        activation=config.text("hidden_activation", default="gelu"),
        inner_dropout=config.number("mlp_dropout", default=0.0),
        names=("", "Wi", "Wo"),
    )


def _head(config: Config, kind: str, hidden: int, vocab: int) -> Head | None:
    if kind == "ModernBertModel":
        return None
    square = ((Dim.HIDDEN, hidden),)
    dense = Linear("head.dense", "head_transform", square, square, config.flag("classifier_bias"), False)
    transform = (dense, config.text("classifier_activation", default="gelu"), norm(config, "head.norm", hidden))
    if kind.endswith(LABELLED):
        return Head(
            hidden=hidden,
            outputs=labels(config),
            bias=True,
            upcast=False,
            transform=transform,
            per_sequence=kind.endswith(SEQUENCE),
            over=Dim.LABELS,
            name="classifier",
        )
    tied = config.flag("tie_word_embeddings", default=True)
    bias = config.flag("decoder_bias", default=True)
    return Head(hidden=hidden, outputs=vocab, tied=tied, bias=bias, upcast=False, transform=transform, name="decoder")


def norm(config: Config, name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=config.flag("norm_bias"))
