"""DBRX: fused projection, layer norms without bias, sixteen experts in every layer.

Source: transformers 5.23 models/dbrx/modeling_dbrx.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.experts import Experts
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import mixtral
from gauge.readers.families.legacy import decoder


def read(config: Config) -> Model:
    """A DBRX decoder from its config."""
    hidden, heads = config.integer("d_model"), config.integer("n_heads")
    attention, feed = config.inner("attn_config"), config.inner("ffn_config")
    head = config.divides("d_model", "n_heads", hidden, heads)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=attention.integer("kv_n_heads", default=1),
        head=head,
        fused=True,
        rotary=head,
        dropout=attention.number("attn_pdrop", default=0.0),
        out_dropout=config.number("resid_pdrop", default=0.0),
        names=("Wqkv", "", "", "out_proj"),
    )
    routed = Experts(
        hidden=hidden,
        inner=feed.integer("ffn_hidden_size", default=3584),
        router=mixtral.router(feed, hidden, normalised=True, low=True, name="router.layer"),
    )
    same = Block((Residual(mixer, pre=Norm("norm_1", hidden, "layer")), Residual(routed, pre=Norm("norm_2", hidden, "layer"))))
    entry = Embeddings((Embedding("wte", config.integer("vocab_size"), hidden),))
    layers = config.layers("n_layers")
    length = config.integer("max_seq_len", default=2048)
    return decoder(config, hidden, (same,) * layers, entry, Norm("norm_f", hidden, "layer"), length, tied=False)
