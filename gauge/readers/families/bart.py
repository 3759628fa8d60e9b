"""BART and its kin: encoder and decoder with biases everywhere.

BART has norms behind the sums, others in front of the branches and behind each stack; mBART has a norm behind the
embeddings too. Positions are learned (BART with two spare rows), a fixed table (Marian, Pegasus) or computed (M2M-100).
LED's encoder has a second set of projections for tokens that see everything.
Source: transformers 5.23 models/bart, mbart, m2m_100, pegasus, marian, blenderbot, blenderbot_small, plbart, led,
bigbird_pegasus.
"""

from __future__ import annotations

from typing import NamedTuple

from gauge.layers.attention import Attention
from gauge.layers.banded_attention import BandedAttention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.projector import Projector, held
from gauge.model import Model, Part
from gauge.readers import heads
from gauge.readers.config import Config
from gauge.readers.encoders import label_head
from gauge.readers.patterns import blocks, numbers
from gauge.tensor import Dim

SPARE_POSITIONS = 2
BAND = 512


class Style(NamedTuple):
    """What tells the families apart."""

    before: bool
    embedding_norm: bool
    positions: int | None
    final: bool = True


STYLES = {
    "bart": Style(False, True, SPARE_POSITIONS),
    "plbart": Style(False, True, SPARE_POSITIONS),
    "mbart": Style(True, True, SPARE_POSITIONS),
    "m2m_100": Style(True, False, None),
    "nllb": Style(True, False, None),
    "pegasus": Style(True, False, 0),
    "bigbird_pegasus": Style(True, False, 0),
    "blenderbot": Style(True, False, 0),
    "blenderbot-small": Style(False, True, 0),
    "marian": Style(False, False, 0),
    "led": Style(False, True, 0),
}


def _style(config: Config) -> Style:
    return STYLES.get(config.text("model_type"), STYLES["bart"])


def read(config: Config) -> Model:
    """An encoder-decoder from its config, whose stacks share the token embedding unless the head is untied; a causal
    class is the decoder alone, with the weights of its attention to an encoder."""
    hidden, vocab = config.integer("d_model"), config.integer("vocab_size")
    alone = heads.kind_of(config).endswith("ForCausalLM")
    tied = config.flag("tie_word_embeddings", default=True)
    shares = config.flag("share_encoder_decoder_embeddings", default=True)
    written = config.integer("decoder_vocab_size", default=vocab) if config.text("model_type") == "marian" else vocab
    parts: tuple[Part, ...]
    if alone:
        tied = tied and config.text("model_type") != "bigbird_pegasus"
        parts = (_stack(config, "decoder", hidden, written, "tokens", own=True),)
    else:
        encoder = _stack(config, "encoder", hidden, vocab, "source", own=True, unused=not tied and shares)
        parts = (encoder, _stack(config, "decoder", hidden, written, "target", own=not (tied and shares)))
    return Model(
        id="",
        family=config.text("model_type"),
        parts=parts,
        head=_head(config, hidden, written, tied),
        max_length=_length(config, "decoder"),
        hidden=hidden,
        vocab=written,
    )


def _head(config: Config, hidden: int, vocab: int, tied: bool) -> Head | None:
    kind = heads.kind_of(config)
    if heads.is_bare(config):
        return None
    if kind.endswith(heads.LABELLED):
        return label_head(
            Config({**config.keys, "hidden_size": hidden}, config.path), kind, "classification_head.dense", heads.SIDES
        )
    return Head(hidden=hidden, outputs=vocab, tied=tied, upcast=False)


def _length(config: Config, side: str) -> int:
    found: int = config.integer(f"max_{side}_position_embeddings", "max_position_embeddings", default=1024)
    return found


def _stack(config: Config, side: str, hidden: int, vocab: int, reads: str, own: bool, unused: bool = False) -> Part:
    """One side. `own`: its token embedding is its own; `unused`: the shared table stands by beside it."""
    style = _style(config)
    tables = [Embedding("shared", vocab, hidden)]
    if style.positions is not None:
        rows = _length(config, side) + style.positions
        tables.append(Embedding("embed_positions", rows, hidden, "position_embedding", Dim.POSITIONS))
    entry = Embeddings(
        tuple(tables),
        _norm("layernorm_embedding", hidden) if style.embedding_norm else None,
        config.number("dropout", default=0.1),
        scaled=config.flag("scale_embedding"),
        borrowed=0 if own else 1,
    )
    layers = config.layers(f"{side}_layers")
    bands: list[int] = [0] * layers
    if config.text("model_type") == "led" and side == "encoder":
        bands = numbers(config, layers, "attention_window", least=2) or [BAND] * layers
    chain = blocks(bands, lambda band: _block(config, side, hidden, band))
    final = _norm("layer_norm", hidden) if style.before else None
    extras = (Projector((held(("shared.weight", (vocab, hidden))),)),) if unused else ()
    return Part(side, chain, entry, final, extras, sequence=reads)


def _block(config: Config, side: str, hidden: int, band: int) -> Block:
    decodes = side == "decoder"
    heads_ = config.integer(f"{side}_attention_heads")
    dropout = config.number("dropout", default=0.1)
    bias = config.flag("use_bias", default=config.text("model_type") != "bigbird_pegasus")
    own = Attention(
        hidden=hidden,
        heads=heads_,
        kv_heads=heads_,
        head=config.divides("d_model", f"{side}_attention_heads", hidden, heads_),
        qkv_bias=bias,
        out_bias=bias,
        causal=decodes,
        caches=decodes,
        softmax32=False,
        dropout=config.number("attention_dropout", default=0.0),
        out_dropout=dropout,
        names=("q_proj", "k_proj", "v_proj", "out_proj"),
    )
    mixer: Layer = BandedAttention(own, band) if band else own
    branches: list[tuple[Layer, str]] = [(mixer, "self_attn_layer_norm")]
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
