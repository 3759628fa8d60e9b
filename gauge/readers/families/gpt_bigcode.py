"""StarCoder 1: GPT-2 with one key head for all queries.

Source: transformers 5.23 models/gpt_bigcode/modeling_gpt_bigcode.py.
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
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """A GPT-BigCode decoder from its config."""
    hidden, heads = config.integer("n_embd", "hidden_size"), config.integer("n_head", "num_attention_heads")
    dropout = config.number("resid_pdrop", default=0.1)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=1 if config.flag("multi_query", default=True) else heads,
        head=config.divides("n_embd", "n_head", hidden, heads),
        fused=True,
        qkv_bias=True,
        out_bias=True,
        dropout=config.number("attn_pdrop", default=0.1),
        out_dropout=dropout,
        names=("c_attn", "", "", "c_proj"),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("n_inner", default=None) or 4 * hidden,
        gated=False,
        bias=True,
        dropout=dropout,
        activation=config.text("activation_function", default="gelu_pytorch_tanh"),
        names=("", "c_fc", "c_proj"),
    )
    same = Block((Residual(mixer, pre=_norm("ln_1", hidden)), Residual(feed, pre=_norm("ln_2", hidden))))
    positions = config.integer("n_positions", "max_position_embeddings", default=1024)
    tables = (
        Embedding("wte", config.integer("vocab_size"), hidden),
        Embedding("wpe", positions, hidden, "position_embedding", Dim.POSITIONS),
    )
    entry = Embeddings(tables, dropout=config.number("embd_pdrop", default=0.1))
    layers = config.layers("n_layer", "num_hidden_layers")
    return decoder(config, hidden, (same,) * layers, entry, _norm("ln_f", hidden), positions)


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
