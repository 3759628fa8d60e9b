"""GPT-J: one norm feeds attention and MLP side by side; scores in float32; composed attention only.

Source: transformers 5.23 models/gptj/modeling_gptj.py.
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
    """A GPT-J decoder from its config."""
    hidden, heads = config.integer("n_embd", "hidden_size"), config.integer("n_head", "num_attention_heads")
    head = config.divides("n_embd", "n_head", hidden, heads)
    dropout = config.number("resid_pdrop", default=0.0)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=head,
        rotary=min(head, config.integer("rotary_dim", default=64)),
        rotary_joined=True,
        rotary_tables=2,
        rotary_buffer=config.integer("n_positions", "max_position_embeddings", default=2048),
        scores32=True,
        softmax32=False,
        has_sdpa=False,
        dropout=config.number("attn_pdrop", default=0.0),
        out_dropout=dropout,
        names=("q_proj", "k_proj", "v_proj", "out_proj"),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("n_inner", default=None) or 4 * hidden,
        gated=False,
        bias=True,
        dropout=dropout,
        activation=config.text("activation_function", default="gelu_new"),
        names=("", "fc_in", "fc_out"),
    )
    same = Block((Residual(mixer, pre=_norm("ln_1", hidden)), Residual(feed)), parallel=True)
    vocab = config.integer("vocab_size")
    entry = Embeddings((Embedding("wte", vocab, hidden),), dropout=config.number("embd_pdrop", default=0.0))
    layers = config.layers("n_layer", "num_hidden_layers")
    length = config.integer("n_positions", "max_position_embeddings", default=2048)
    return decoder(config, hidden, (same,) * layers, entry, _norm("ln_f", hidden), length, tied=False, bias=True)


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
