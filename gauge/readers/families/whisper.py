"""Whisper: an encoder over 30 seconds of sound, a decoder that attends to it.

Source: transformers 5.23 models/whisper/modeling_whisper.py; arXiv 2212.04356.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.sound import SoundEmbeddings
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.heads import is_bare, kind_of
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder-decoder from its config; the head shares the decoder's token embedding."""
    hidden, vocab = config.integer("d_model"), config.integer("vocab_size")
    target = config.integer("max_target_positions", default=448)
    dropout = config.number("dropout", default=0.0)
    tables = (
        Embedding("embed_tokens", vocab, hidden),
        Embedding("embed_positions", target, hidden, "position_embedding", Dim.POSITIONS),
    )
    decoder = Part(
        "decoder",
        (_block(config, hidden, "decoder"),) * config.layers("decoder_layers"),
        Embeddings(tables, dropout=dropout),
        _norm("layer_norm", hidden),
        sequence="target",
    )
    parts: tuple[Part, ...] = (encoder(config), decoder)
    if kind_of(config).endswith("ForCausalLM"):
        parts = (replace(decoder, sequence="tokens"),)
    return Model(
        id="",
        family=config.text("model_type"),
        parts=parts,
        head=None if is_bare(config) else Head(hidden=hidden, outputs=vocab, tied=True, upcast=False, name="proj_out"),
        max_length=target,
        hidden=hidden,
        vocab=vocab,
    )


def encoder(config: Config) -> Part:
    """The encoder over mel bands of 30 seconds."""
    hidden, source = config.integer("d_model"), config.integer("max_source_positions", default=1500)
    entry = SoundEmbeddings(config.integer("num_mel_bins", default=80), hidden, source, config.number("dropout", default=0.0))
    same = (_block(config, hidden, "encoder"),) * config.layers("encoder_layers")
    return Part("encoder", same, entry, _norm("layer_norm", hidden), sequence="source", length=source)


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)


def _block(config: Config, hidden: int, side: str) -> Block:
    heads = config.integer(f"{side}_attention_heads")
    dropout = config.number("dropout", default=0.0)
    own = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("d_model", f"{side}_attention_heads", hidden, heads),
        qkv_bias=True,
        key_bias=False,
        out_bias=True,
        causal=side == "decoder",
        caches=side == "decoder",
        softmax32=False,
        heads_first=True,
        copies_output=True,
        dropout=config.number("attention_dropout", default=0.0),
        out_dropout=dropout,
        names=("q_proj", "k_proj", "v_proj", "out_proj"),
    )
    mlp = MLP(
        hidden=hidden,
        inner=config.integer(f"{side}_ffn_dim"),
        gated=False,
        bias=True,
        activation=config.text("activation_function", default="gelu"),
        inner_dropout=config.number("activation_dropout", default=0.0),
        dropout=dropout,
        names=("", "fc1", "fc2"),
    )
    steps = [Residual(own, pre=_norm("self_attn_layer_norm", hidden))]
    if side == "decoder":
        cross = own.edited(cross=hidden, causal=False)
        steps.append(Residual(cross, pre=_norm("encoder_attn_layer_norm", hidden)))
    steps.append(Residual(mlp, pre=_norm("final_layer_norm", hidden)))
    return Block(tuple(steps), kind=f"{side} block")
