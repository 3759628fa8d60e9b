"""Falcon: fused projection, multi-query or grouped keys, attention and MLP side by side, ALiBi in the small size.

Source: transformers 5.23 models/falcon/modeling_falcon.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A Falcon decoder from its config."""
    hidden = config.integer("hidden_size")
    same = _block(config, hidden, _attention(config, hidden), _mlp(config, hidden))
    final = _norm("ln_f", hidden)
    layers = config.layers("num_hidden_layers", "n_layer")
    return llama.decoder(config, (same,) * layers, final, tied=True, embedding="word_embeddings")


def _attention(config: Config, hidden: int) -> Attention:
    heads = config.integer("num_attention_heads", "n_head", default=71)
    new, multi = config.flag("new_decoder_architecture"), config.flag("multi_query", default=True)
    kv_heads = config.integer("num_kv_heads", "n_head_kv", default=heads) if new or not multi else 1
    alibi, bias = config.flag("alibi"), config.flag("bias")
    head = config.divides("hidden_size", "num_attention_heads", hidden, heads)
    return Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        fused=True,
        copies_heads=new,
        qkv_bias=bias,
        out_bias=bias,
        alibi=alibi,
        rotary=0 if alibi else head,
        multi_query_math=not new,
        broadcasts=new,
        copies_output=True,
        dropout=config.number("attention_dropout", default=0.0),
        names=("query_key_value", "", "", "dense"),
    )


def _mlp(config: Config, hidden: int) -> MLP:
    return MLP(
        hidden=hidden,
        inner=config.integer("ffn_hidden_size", default=None) or 4 * hidden,
        gated=False,
        bias=config.flag("bias"),
        activation=config.text("activation", default="gelu"),
        names=("", "dense_h_to_4h", "dense_4h_to_h"),
    )


def _block(config: Config, hidden: int, mixer: Attention, feed: MLP) -> Block:
    """Two norms side by side (40B, 180B), one shared (7B), or one behind the other (not parallel)."""
    new = config.flag("new_decoder_architecture")
    if not config.flag("parallel_attn", default=True) and not new:
        steps = (
            Residual(mixer, pre=_norm("input_layernorm", hidden)),
            Residual(feed, pre=_norm("post_attention_layernorm", hidden)),
        )
        return Block(steps)
    norms = config.integer("num_ln_in_parallel_attn", default=2 if new else 1)
    if norms == 2:
        return Block((Residual(mixer, pre=_norm("ln_attn", hidden)), Residual(feed, pre=_norm("ln_mlp", hidden))), parallel=True)
    return Block((Residual(mixer, pre=_norm("input_layernorm", hidden)), Residual(feed)), parallel=True)


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
