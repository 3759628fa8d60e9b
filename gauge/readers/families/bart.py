"""BART and its kin: encoder and decoder with biases everywhere.

BART has norms behind the sums, the others in front of the branches and behind each stack. mBART has a norm behind the
embeddings too; M2M-100 and NLLB compute their positions; Pegasus keeps them as a fixed table.
Source: transformers 5.23 models/bart, models/mbart, models/m2m_100, models/pegasus.
"""

from __future__ import annotations

from typing import NamedTuple

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.families.llama import has_head
from gauge.tensor import Dim

SPARE_POSITIONS = 2


class Style(NamedTuple):
    """What tells the families apart."""

    before: bool
    embedding_norm: bool
    positions: int | None


STYLES = {
    "bart": Style(False, True, SPARE_POSITIONS),
    "mbart": Style(True, True, SPARE_POSITIONS),
    "m2m_100": Style(True, False, None),
    "pegasus": Style(True, False, 0),
}


def _style(config: Config) -> Style:
    return STYLES.get(config.text("model_type"), STYLES["bart"])


def read(config: Config) -> Model:
    """An encoder-decoder from its config; the two share the token embedding."""
    hidden, vocab = config.integer("d_model"), config.integer("vocab_size")
    length = config.integer("max_position_embeddings", default=1024)
    parts = tuple(_stack(config, side, hidden, vocab, length) for side in ("encoder", "decoder"))
    tied = config.flag("tie_word_embeddings", default=True)
    head = Head(hidden=hidden, outputs=vocab, tied=tied, upcast=False) if has_head(config) else None
    return Model(
        id="",
        family=config.text("model_type"),
        parts=parts,
        head=head,
        max_length=length,
        hidden=hidden,
        vocab=vocab,
    )


def _stack(config: Config, side: str, hidden: int, vocab: int, length: int) -> Part:
    decodes, style = side == "decoder", _style(config)
    tables = [Embedding("shared", vocab, hidden)]
    if style.positions is not None:
        rows = length + style.positions
        tables.append(Embedding("embed_positions", rows, hidden, "position_embedding", Dim.POSITIONS))
    entry = Embeddings(
        tuple(tables),
        _norm("layernorm_embedding", hidden) if style.embedding_norm else None,
        config.number("dropout", default=0.1),
        scaled=config.flag("scale_embedding"),
        borrowed=1 if decodes else 0,
    )
    same = _block(config, side, hidden, decodes)
    layers = config.layers(f"{side}_layers")
    final = _norm("layer_norm", hidden) if style.before else None
    return Part(side, (same,) * layers, entry, final, sequence="target" if decodes else "source")


def _block(config: Config, side: str, hidden: int, decodes: bool) -> Block:
    heads = config.integer(f"{side}_attention_heads")
    dropout = config.number("dropout", default=0.1)
    own = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("d_model", f"{side}_attention_heads", hidden, heads),
        qkv_bias=True,
        out_bias=True,
        causal=decodes,
        caches=decodes,
        softmax32=False,
        dropout=config.number("attention_dropout", default=0.0),
        out_dropout=dropout,
        names=("q_proj", "k_proj", "v_proj", "out_proj"),
    )
    branches: list[tuple[Layer, str]] = [(own, "self_attn_layer_norm")]
    if decodes:
        branches.append((own.edited(cross=hidden, causal=False), "encoder_attn_layer_norm"))
    feed = MLP(
        hidden=hidden,
        inner=config.integer(f"{side}_ffn_dim"),
        gated=False,
        bias=True,
        dropout=dropout,
        inner_dropout=config.number("activation_dropout", default=0.0),
        activation=config.text("activation_function", default="gelu"),
        names=("", "fc1", "fc2"),
    )
    branches.append((feed, "final_layer_norm"))
    before = _style(config).before
    steps = (
        Residual(body, pre=_norm(name, hidden)) if before else Residual(body, after=_norm(name, hidden))
        for body, name in branches
    )
    return Block(tuple(steps), kind=f"{side} block")


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
