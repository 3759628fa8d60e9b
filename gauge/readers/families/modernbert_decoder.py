"""ModernBERT as a decoder: separate projections, a causal mask, windowed layers between global ones.

Source: transformers 5.23 models/modernbert_decoder/modeling_modernbert_decoder.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.head import Head
from gauge.layers.linear import Linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import modernbert
from gauge.readers.families.legacy import decoder
from gauge.readers.heads import LABELLED, is_bare, kind_of, labels
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """A decoder from its config."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    entry, chain = modernbert.body(config, hidden, vocab, _attention)
    length = config.integer("max_position_embeddings", default=8192)
    model = decoder(config, hidden, chain, entry, modernbert.norm(config, "final_norm", hidden), length)
    return model.edited(head=_head(config, hidden, vocab))


def _attention(config: Config, hidden: int, slides: bool) -> Attention:
    heads, bias = config.integer("num_attention_heads"), config.flag("attention_bias")
    head = config.divides("hidden_size", "num_attention_heads", hidden, heads)
    reach = config.integer("sliding_window", default=None) or config.integer("local_attention", default=128)
    return Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=head,
        qkv_bias=bias,
        out_bias=bias,
        rotary=head,
        rotary_scope="sliding" if slides else "global",
        window=reach if slides else None,
        dropout=config.number("attention_dropout", default=0.0),
        names=("q_proj", "k_proj", "v_proj", "Wo"),
    )


def _head(config: Config, hidden: int, vocab: int) -> Head | None:
    if is_bare(config):
        return None
    square, kind = ((Dim.HIDDEN, hidden),), kind_of(config)
    dense = Linear("lm_head.dense", "head_transform", square, square, config.flag("classifier_bias"), False)
    first = (dense, config.text("classifier_activation", default="gelu"), modernbert.norm(config, "lm_head.norm", hidden))
    if kind.endswith(LABELLED):
        bias = config.flag("classifier_bias")
        over = Dim.LABELS
        return Head(hidden=hidden, outputs=labels(config), bias=bias, upcast=False, transform=first, over=over, name="classifier")
    tied, bias = config.flag("tie_word_embeddings", default=True), config.flag("decoder_bias", default=True)
    return Head(hidden=hidden, outputs=vocab, tied=tied, bias=bias, transform=first, name="decoder")
