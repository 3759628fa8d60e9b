"""DeBERTa V2 and V3: content and position attend to each other through vectors of relative distances.

Source: transformers 5.23 models/deberta_v2/modeling_deberta_v2.py.
"""

from __future__ import annotations

from gauge.errors import RequestError
from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.disentangled import DisentangledAttention
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.linear import Linear
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.relative import RelativeEmbeddings
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    if config.integer("conv_kernel_size", default=0, least=0) > 0:
        raise RequestError(
            f"{config.path}.conv_kernel_size", "the convolution of DeBERTa V2 is not modelled", "choose a DeBERTa V3"
        )
    positions = config.integer("max_position_embeddings", default=512)
    kind = str(next(iter(config.listed("architectures")), "DebertaV2Model"))
    part = Part(
        "encoder",
        (_block(config, hidden),) * config.layers(),
        _embeddings(config, hidden, vocab, positions),
        None,
        _relative(config, hidden, positions),
    )
    return Model(
        id="",
        family="deberta-v2",
        parts=(part,),
        head=_head(config, kind, hidden, vocab),
        max_length=positions,
        hidden=hidden,
        vocab=vocab,
    )


def _embeddings(config: Config, hidden: int, vocab: int, positions: int) -> Embeddings:
    width = config.integer("embedding_size", default=hidden)
    tables = [Embedding("word_embeddings", vocab, width)]
    if config.flag("position_biased_input", default=True):
        tables.append(Embedding("position_embeddings", positions, width, "position_embedding", Dim.POSITIONS))
    types = config.integer("type_vocab_size", default=0, least=0)
    if types:
        tables.append(Embedding("token_type_embeddings", types, width, "type_embedding", Dim.LABELS))
    project = None
    if width != hidden:
        project = Linear("embed_proj", "embedding_projection", ((Dim.HIDDEN, hidden),), ((Dim.HIDDEN, width),))
    dropout = config.number("hidden_dropout_prob", default=0.1)
    return Embeddings(tuple(tables), _norm("embeddings.LayerNorm", hidden), dropout, project=project, project_at="sum")


def _relative(config: Config, hidden: int, positions: int) -> tuple[RelativeEmbeddings, ...]:
    if not config.flag("relative_attention"):
        return ()
    normed = "layer_norm" in config.text("norm_rel_ebd", default="none")
    norm = _norm("encoder.LayerNorm", hidden) if normed else None
    return (RelativeEmbeddings(2 * _distances(config, positions), hidden, norm),)


def _distances(config: Config, positions: int) -> int:
    """Buckets of distances, or the largest distance, or the positions: the first that is above zero."""
    for name in ("position_buckets", "max_relative_positions"):
        value = config.keys.get(name)
        if isinstance(value, int) and value > 0:
            count: int = config.integer(name)
            return count
    return positions


def _block(config: Config, hidden: int) -> Block:
    heads = config.integer("num_attention_heads")
    dropout = config.number("hidden_dropout_prob", default=0.1)
    plain = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.integer("attention_head_size", default=None)
        or config.divides("hidden_size", "num_attention_heads", hidden, heads),
        qkv_bias=True,
        out_bias=True,
        causal=False,
        caches=False,
        softmax32=False,
        has_sdpa=False,
        dropout=config.number("attention_probs_dropout_prob", default=0.1),
        out_dropout=dropout,
        names=("query_proj", "key_proj", "value_proj", "attention.output.dense"),
    )
    kinds = tuple(str(k) for k in config.listed("pos_att_type")) if config.flag("relative_attention") else ()
    distances = _distances(config, config.integer("max_position_embeddings", default=512))
    mixer = DisentangledAttention(plain, kinds, 2 * distances, shared=config.flag("share_att_key"))
    feed = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        gated=False,
        bias=True,
        dropout=dropout,
        activation=config.text("hidden_act", default="gelu"),
        names=("", "intermediate.dense", "output.dense"),
    )
    return Block(
        (
            Residual(mixer, after=_norm("attention.output.LayerNorm", hidden)),
            Residual(feed, after=_norm("output.LayerNorm", hidden)),
        )
    )


def _head(config: Config, kind: str, hidden: int, vocab: int) -> Head | None:
    square = ((Dim.HIDDEN, hidden),)
    if kind.endswith("ForMaskedLM"):
        dense = Linear("transform.dense", "head_transform", square, square, True, False)
        transform = (dense, config.text("hidden_act", default="gelu"), _norm("transform.LayerNorm", hidden))
        return Head(hidden=hidden, outputs=vocab, tied=True, bias=True, upcast=False, transform=transform, name="decoder")
    if kind.endswith("ForSequenceClassification"):
        dense = Linear("pooler.dense", "head_transform", square, square, True, False)
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
