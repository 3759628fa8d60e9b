"""GPT-1: norms behind the sums, learned positions, composed attention only, causal masks kept as buffers.

Source: transformers 5.23 models/openai/modeling_openai.py.
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
    """A GPT-1 decoder from its config."""
    hidden, heads = config.integer("n_embd"), config.integer("n_head")
    positions = config.integer("n_positions", default=512)
    dropout = config.number("resid_pdrop", default=0.1)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("n_embd", "n_head", hidden, heads),
        fused=True,
        qkv_bias=True,
        out_bias=True,
        softmax32=False,
        has_sdpa=False,
        caches=False,
        mask_buffer=positions,
        dropout=config.number("attn_pdrop", default=0.1),
        out_dropout=dropout,
        names=("c_attn", "", "", "c_proj"),
    )
    feed = MLP(
        hidden=hidden,
        inner=4 * hidden,
        gated=False,
        bias=True,
        dropout=dropout,
        activation={"gelu": "gelu_new"}.get(config.text("afn", default="gelu"), "relu"),
        names=("", "c_fc", "c_proj"),
    )
    same = Block((Residual(mixer, after=_norm("ln_1", hidden)), Residual(feed, after=_norm("ln_2", hidden))))
    tables = (
        Embedding("tokens_embed", config.integer("vocab_size"), hidden),
        Embedding("positions_embed", positions, hidden, "position_embedding", Dim.POSITIONS),
    )
    entry = Embeddings(tables, dropout=config.number("embd_pdrop", default=0.1))
    return decoder(config, hidden, (same,) * config.layers("n_layer"), entry, None, positions)


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
