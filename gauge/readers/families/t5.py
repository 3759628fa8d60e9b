"""T5: encoder and decoder with relative position biases, RMS norms, inner width apart from the hidden one.

Source: transformers 5.23 models/t5/modeling_t5.py; arXiv 1910.10683.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.head import Head
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model, Part
from gauge.readers import heads
from gauge.readers.config import Config
from gauge.readers.encoders import label_head

ENCODES = ("EncoderModel", "ForTokenClassification")


def read(config: Config) -> Model:
    """An encoder-decoder from its config, which share the token embedding; some classes are the encoder alone."""
    hidden, vocab = config.integer("d_model"), config.integer("vocab_size")
    layers = config.layers("num_layers")
    embedding = Embedding("shared", vocab, hidden)
    dropout = config.number("dropout_rate", default=0.1)
    encoder = Part(
        "encoder",
        _stack(config, layers, False),
        Embeddings((embedding,), dropout=dropout),
        Norm("final_layer_norm", hidden, "rms_late"),
        sequence="source",
        dropout=dropout,
    )
    decoder = Part(
        "decoder",
        _stack(config, config.layers("num_decoder_layers", default=layers), True),
        Embeddings((embedding,), dropout=dropout, shared=True),
        Norm("final_layer_norm", hidden, "rms_late"),
        sequence="target",
        dropout=dropout,
    )
    tied = config.flag("tie_word_embeddings", default=True)
    kind = heads.kind_of(config)
    parts: tuple[Part, ...] = (encoder, decoder)
    if kind.endswith(ENCODES):
        parts = (replace(encoder, sequence="tokens"),)
    head: Head | None = Head(hidden=hidden, outputs=vocab, tied=tied, upcast=False, scaled=tied)
    if heads.is_bare(config) or kind.endswith(heads.LABELLED):
        head = label_head(
            Config({**config.keys, "hidden_size": hidden}, config.path), kind, "classification_head.dense", heads.SIDES
        )
    return Model(
        id="",
        family=config.text("model_type"),
        parts=parts,
        head=head,
        max_length=config.integer("n_positions", default=512),
        hidden=hidden,
        vocab=vocab,
    )


def _stack(config: Config, layers: int, decoder: bool) -> tuple[Block, ...]:
    """Only the first block of a stack owns the table of relative biases; all add the same bias. In UMT5 each owns one."""
    if config.text("model_type") == "umt5":
        return (_block(config, decoder, True),) * layers
    first, rest = _block(config, decoder, True), _block(config, decoder, False)
    return (first, *(rest,) * (layers - 1))


def _block(config: Config, decoder: bool, first: bool) -> Block:
    hidden = config.integer("d_model")
    dropout = config.number("dropout_rate", default=0.1)
    own = Attention(
        hidden=hidden,
        heads=config.integer("num_heads"),
        kv_heads=config.integer("num_heads"),
        head=config.integer("d_kv"),
        causal=decoder,
        caches=decoder,
        softmax32=False,
        scaled=False,
        dropout=dropout,
        out_dropout=dropout,
        relative_buckets=config.integer("relative_attention_num_buckets", default=32) if first else 0,
        shared_bias="decoder" if decoder else "encoder",
        names=("q", "k", "v", "o"),
    )
    steps = [Residual(own, pre=Norm("layer_norm", hidden, "rms_late"))]
    if decoder:
        cross = own.edited(cross=hidden, causal=False, caches=True, relative_buckets=0, shared_bias="cross")
        steps.append(Residual(cross, pre=Norm("layer_norm", hidden, "rms_late")))
    steps.append(Residual(_mlp(config, hidden, dropout), pre=Norm("layer_norm", hidden, "rms_late")))
    return Block(tuple(steps), kind="decoder block" if decoder else "encoder block")


def _mlp(config: Config, hidden: int, dropout: float) -> MLP:
    kind = config.text("feed_forward_proj", default="relu")
    gated = kind.startswith("gated")
    activation = "gelu_new" if kind == "gated-gelu" else kind.removeprefix("gated-")
    names = ("wi_0", "wi_1", "wo") if gated else ("", "wi", "wo")
    return MLP(
        hidden=hidden,
        inner=config.integer("d_ff"),
        gated=gated,
        activation=config.text("dense_act_fn", default=activation),
        dropout=dropout,
        inner_dropout=dropout,
        names=names,
    )
