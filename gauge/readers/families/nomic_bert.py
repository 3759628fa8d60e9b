"""Nomic BERT: BERT with rotary positions, gated MLP, norms behind the sums and no biases on matrices.

Source: transformers 5.23 models/nomic_bert/modeling_nomic_bert.py; the older config's key names are read too.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model, Part
from gauge.readers import encoders
from gauge.readers.config import Config
from gauge.readers.heads import kind_of
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, heads = config.integer("hidden_size", "n_embd"), config.integer("num_attention_heads", "n_head")
    vocab = config.integer("vocab_size")
    own: int | None = config.integer("head_dim", default=None)
    head = own or config.divides("hidden_size", "num_attention_heads", hidden, heads)
    bias = config.flag("qkv_proj_bias")
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=head,
        qkv_bias=bias,
        out_bias=bias,
        causal=False,
        caches=False,
        rotary=head,
        dropout=config.number("attention_probs_dropout_prob", "attn_pdrop", default=0.0),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size", "n_inner"),
        bias=config.flag("mlp_fc1_bias"),
        out_bias=config.flag("mlp_fc2_bias"),
        activation=config.text("hidden_act", default="silu"),
    )
    same = Block(
        (
            Residual(mixer, after=_norm("post_attention_layernorm", hidden)),
            Residual(feed, after=_norm("post_mlp_layernorm", hidden)),
        )
    )
    types = config.integer("type_vocab_size", default=2)
    tables = (
        Embedding("word_embeddings", vocab, hidden),
        Embedding("token_type_embeddings", types, hidden, "type_embedding", Dim.LABELS),
    )
    layers = config.layers("num_hidden_layers", "n_layer")
    part = Part("encoder", (same,) * layers, Embeddings(tables, _norm("LayerNorm", hidden)))
    length = config.integer("max_position_embeddings", "n_positions", default=2048)
    kind = kind_of(config, "NomicBertModel")
    top = encoders.label_head(config, kind, "pooler.dense")
    if kind.endswith("ForMaskedLM"):
        names = ("predictions.transform.dense", "predictions.transform.layer_norm", "predictions.decoder")
        top = encoders.language_head(config, hidden, vocab, *names, act="silu")
    return Model(id="", family="nomic_bert", parts=(part,), head=top, max_length=length, hidden=hidden, vocab=vocab)


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
