"""MPT: ALiBi, layer norms without bias, fused projection, composed attention only.

Source: transformers 5.23 models/mpt/modeling_mpt.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families.legacy import decoder


def read(config: Config) -> Model:
    """An MPT decoder from its config."""
    hidden, heads = config.integer("d_model", "hidden_size"), config.integer("n_heads", "num_attention_heads")
    bias = not config.flag("no_bias", default=True)
    inner = config.inner("attn_config")
    dropout = inner.number("attn_pdrop", default=0.0)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("d_model", "n_heads", hidden, heads),
        fused=True,
        qkv_bias=bias,
        out_bias=bias,
        has_sdpa=False,
        alibi=inner.flag("alibi", default=True),
        dropout=dropout,
        out_dropout=dropout,
        names=("Wqkv", "", "", "out_proj"),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("expansion_ratio", default=4) * hidden,
        gated=False,
        bias=bias,
        activation="gelu",
        dropout=dropout,
        names=("", "up_proj", "down_proj"),
    )
    same = Block(
        (
            Residual(mixer, pre=Norm("norm_1", hidden, "layer", bias)),
            Residual(feed, pre=Norm("norm_2", hidden, "layer", bias)),
        )
    )
    entry = Embeddings((Embedding("wte", config.integer("vocab_size"), hidden),))
    layers = config.layers("n_layers", "num_hidden_layers")
    length = config.integer("max_seq_len", default=2048)
    return decoder(config, hidden, (same,) * layers, entry, Norm("norm_f", hidden, "layer", bias), length)
