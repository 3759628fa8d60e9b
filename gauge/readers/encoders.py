"""BERT's frame, which its kin share: attention and MLP with biases whose norms follow the sums, tables of embeddings,
and the head that `architectures` names. Each family passes what differs.

Source: transformers 5.23 models/bert/modeling_bert.py.
"""

from __future__ import annotations

from typing import Any

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.embedding import Embedding
from gauge.layers.head import Head
from gauge.layers.linear import Linear
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.readers.config import Config
from gauge.readers.heads import LABELLED, SEQUENCE, SPAN, labels
from gauge.tensor import Dim

LANGUAGE = ("ForMaskedLM", "ForPreTraining", "LMHeadModel", "ForCausalLM")
UNPOOLED = (*LANGUAGE[:1], *LANGUAGE[2:], "ForTokenClassification", "ForQuestionAnswering")


def norm(name: str, hidden: int) -> Norm:
    """A layer norm with bias."""
    return Norm(name, hidden, "layer", bias=True)


def attention(config: Config, names: tuple[str, str, str, str], **changes: Any) -> Attention:
    """Bidirectional attention with biases, which keeps no cache."""
    hidden, heads = config.integer("hidden_size", "dim"), config.integer("num_attention_heads", "n_heads")
    if "head" not in changes:
        changes["head"] = config.divides("hidden_size", "num_attention_heads", hidden, heads)
    keys: dict[str, Any] = {
        "hidden": hidden,
        "heads": heads,
        "kv_heads": heads,
        "qkv_bias": True,
        "out_bias": True,
        "causal": False,
        "caches": False,
        "softmax32": False,
        "dropout": config.number("attention_probs_dropout_prob", "attention_dropout", default=0.1),
        "out_dropout": dropout(config),
        "names": names,
    }
    return Attention(**(keys | changes))


def mlp(config: Config, names: tuple[str, str] = ("intermediate.dense", "output.dense")) -> MLP:
    """Two layers with biases."""
    return MLP(
        hidden=config.integer("hidden_size", "dim"),
        inner=config.integer("intermediate_size", "hidden_dim"),
        gated=False,
        bias=True,
        dropout=dropout(config),
        activation=config.text("hidden_act", "activation", default="gelu"),
        names=("", *names),
    )


def dropout(config: Config) -> float:
    """The rate behind embeddings and branches."""
    return config.number("hidden_dropout_prob", "dropout", default=0.1)


def block(
    mixer: Layer, feed: Layer, hidden: int, first: str = "attention.output.LayerNorm", second: str = "output.LayerNorm"
) -> Block:
    """Both branches with the norm behind each sum."""
    return Block((Residual(mixer, after=norm(first, hidden)), Residual(feed, after=norm(second, hidden))))


def words(vocab: int, width: int) -> Embedding:
    """The table of tokens."""
    return Embedding("word_embeddings", vocab, width)


def places(positions: int, width: int) -> Embedding:
    """The table of learned positions."""
    return Embedding("position_embeddings", positions, width, "position_embedding", Dim.POSITIONS)


def types(count: int, width: int) -> Embedding:
    """The table of sentence kinds."""
    return Embedding("token_type_embeddings", count, width, "type_embedding", Dim.LABELS)


def language_head(
    config: Config,
    width: int,
    vocab: int,
    dense: str = "transform.dense",
    after: str = "transform.LayerNorm",
    name: str = "decoder",
    act: str = "",
    spare: bool = True,
) -> Head:
    """Dense layer and norm of the embeddings' `width`, then the vocabulary, tied unless the config says otherwise."""
    hidden = config.integer("hidden_size", "dim")
    first = Linear(dense, "head_transform", ((Dim.HIDDEN, width),), ((Dim.HIDDEN, hidden),), True, False)
    activation = act or config.text("hidden_act", "activation", default="gelu")
    return Head(
        hidden=width,
        outputs=vocab,
        tied=config.flag("tie_word_embeddings", default=True),
        bias=True,
        upcast=False,
        transform=(first, activation, norm(after, width)),
        name=name,
        spare_bias=spare,
    )


def label_head(config: Config, kind: str, dense: str = "", ends: int = 0) -> Head | None:
    """Classes of a sequence, behind one more dense layer where `dense` names it, or of every token; None for a bare model.

    `ends`: how many numbers a span has where the family does not ask the config.
    """
    if not kind.endswith(LABELLED):
        return None
    hidden = config.integer("hidden_size", "dim")
    name = "qa_outputs" if kind.endswith(SPAN) else "classifier"
    square = ((Dim.HIDDEN, hidden),)
    pooled = kind.endswith(SEQUENCE)
    return Head(
        hidden=hidden,
        outputs=ends if kind.endswith(SPAN) and ends else labels(config),
        bias=True,
        upcast=False,
        project=Linear(dense, "head_transform", square, square, True, False) if dense and pooled else None,
        per_sequence=pooled,
        over=Dim.LABELS,
        name=name,
    )
