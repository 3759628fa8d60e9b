"""BERT and its kin: learned positions and token types, norms behind the sums, bidirectional attention.

Source: transformers 5.23 models/bert/modeling_bert.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge import kernels
from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.linear import Linear, LinearLayer
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.tape import Tape, Value
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class Pooler:
    """A dense layer with tanh over the first token."""

    hidden: int

    @property
    def dense(self) -> Linear:
        """(hidden, hidden)."""
        return Linear("pooler.dense", "pooler", ((Dim.HIDDEN, self.hidden),), ((Dim.HIDDEN, self.hidden),), True, False)

    def weights(self) -> Iterator[Tensor]:
        """The dense layer's matrix and bias."""
        return self.dense.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """One vector a sequence."""
        first = tape.alias(x, tuple(e for e in x.dims if e.dim is not Dim.TOKENS))
        return kernels.activation(tape, "tanh", self.dense(tape, first))


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, layers = config.integer("hidden_size"), config.layers("num_hidden_layers")
    vocab, positions = config.integer("vocab_size"), config.integer("max_position_embeddings")
    block = _block(config, hidden)
    tables = [
        Embedding("word_embeddings", vocab, hidden),
        Embedding(
            "token_type_embeddings", config.integer("type_vocab_size", default=2), hidden, "type_embedding", Dim.LABELS
        ),
        Embedding("position_embeddings", positions, hidden, "position_embedding", Dim.POSITIONS),
    ]
    embeddings = Embeddings(
        tuple(tables), _norm("embeddings.LayerNorm", hidden), config.number("hidden_dropout_prob", default=0.1)
    )
    kind = str(next(iter(config.listed("architectures")), "BertModel"))
    pooled = not kind.endswith(("ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering"))
    extras: tuple[Layer, ...] = (Pooler(hidden),) if pooled else ()
    if kind.endswith("ForPreTraining"):
        extras = (*extras, _next_sentence(hidden))
    part = Part("encoder", (block,) * layers, embeddings, None, extras)
    return Model(
        id="",
        family=config.text("model_type"),
        parts=(part,),
        head=_head(config, kind, hidden, vocab),
        max_length=positions,
        hidden=hidden,
        vocab=vocab,
    )


def _block(config: Config, hidden: int) -> Block:
    heads = config.integer("num_attention_heads")
    dropout = config.number("hidden_dropout_prob", default=0.1)
    attention = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("hidden_size", "num_attention_heads", hidden, heads),
        qkv_bias=True,
        out_bias=True,
        causal=False,
        caches=False,
        softmax32=False,
        dropout=config.number("attention_probs_dropout_prob", default=0.1),
        out_dropout=dropout,
        names=("query", "key", "value", "attention.output.dense"),
    )
    mlp = MLP(
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
            Residual(attention, after=_norm("attention.output.LayerNorm", hidden)),
            Residual(mlp, after=_norm("output.LayerNorm", hidden)),
        )
    )


def _next_sentence(hidden: int) -> LinearLayer:
    """Whether the second sentence follows the first: the other head of pre-training."""
    out = ((Dim.LABELS, 2),)
    return LinearLayer(Linear("cls.seq_relationship", "classifier", out, ((Dim.HIDDEN, hidden),), True, False))


def _head(config: Config, kind: str, hidden: int, vocab: int) -> Head | None:
    if kind.endswith(("ForMaskedLM", "ForPreTraining")):
        dense = Linear(
            "transform.dense", "head_transform", ((Dim.HIDDEN, hidden),), ((Dim.HIDDEN, hidden),), True, False
        )
        transform = (dense, config.text("hidden_act", default="gelu"), _norm("transform.LayerNorm", hidden))
        return Head(
            hidden=hidden, outputs=vocab, tied=True, bias=True, upcast=False, transform=transform, name="decoder"
        )
    if kind.endswith("ForSequenceClassification"):
        labels = config.integer("num_labels", default=2)
        return Head(
            hidden=hidden,
            outputs=labels,
            bias=True,
            upcast=False,
            per_sequence=True,
            over=Dim.LABELS,
            name="classifier",
        )
    return None


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
