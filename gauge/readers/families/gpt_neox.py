"""GPT-NeoX and Pythia: fused projection, partly rotated heads, attention and MLP side by side.

Source: transformers 5.23 models/gpt_neox/modeling_gpt_neox.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """A GPT-NeoX decoder from its config."""
    hidden = config.integer("hidden_size")
    bias, dropout = config.flag("attention_bias", default=True), config.number("hidden_dropout", default=0.0)
    size = llama.head_size(config)
    part = llama.rotated(config, size)
    mixer = llama.attention(
        config,
        kv_heads=config.integer("num_attention_heads"),
        fused=True,
        qkv_bias=bias,
        out_bias=bias,
        rotary=part if part < size or "rotary_pct" in config else size // 4,
        rotary_joined=True,
        out_dropout=dropout,
        names=("query_key_value", "", "", "dense"),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        gated=False,
        bias=True,
        activation=config.text("hidden_act", default="gelu"),
        dropout=dropout,
        names=("", "dense_h_to_4h", "dense_4h_to_h"),
    )
    same = Block(
        (
            Residual(mixer, pre=_norm("input_layernorm", hidden)),
            Residual(feed, pre=_norm("post_attention_layernorm", hidden)),
        ),
        parallel=config.flag("use_parallel_residual", default=True),
    )
    table = Embedding("embed_in", config.integer("vocab_size"), hidden)
    return llama.decoder(
        config,
        (same,) * config.layers(),
        _norm("final_layer_norm", hidden),
        embeddings=Embeddings((table,), dropout=dropout),
        name="embed_out",
    )


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
