"""GPT-2 and GPT-3: learned positions, layer norms, fused projection, GELU written out.

Source: transformers 5.23 models/gpt2/modeling_gpt2.py; GPT-3 sizes from arXiv 2005.14165, table 2.1.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.heads import decoder_head
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """A GPT-2 decoder from its config."""
    hidden, heads = config.integer("n_embd", "hidden_size"), config.integer("n_head", "num_attention_heads")
    vocab, positions = config.integer("vocab_size"), config.integer("n_positions", "n_ctx", "max_position_embeddings")
    layers = config.layers("n_layer", "num_hidden_layers")
    dropout = config.number("resid_pdrop", default=0.1)
    attention = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("n_embd", "n_head", hidden, heads),
        fused=True,
        qkv_bias=True,
        out_bias=True,
        softmax32=False,
        dropout=config.number("attn_pdrop", default=0.1),
        out_dropout=dropout,
        names=("c_attn", "", "", "c_proj"),
    )
    mlp = MLP(
        hidden=hidden,
        inner=config.integer("n_inner", default=None) or 4 * hidden,
        gated=False,
        bias=True,
        dropout=dropout,
        activation=config.text("activation_function", default="gelu_new"),
        names=("", "c_fc", "c_proj"),
    )
    block = Block((Residual(attention, pre=_norm("ln_1", hidden)), Residual(mlp, pre=_norm("ln_2", hidden))))
    tables = (
        Embedding("wte", vocab, hidden),
        Embedding("wpe", positions, hidden, "position_embedding", Dim.POSITIONS),
    )
    part = Part(
        "decoder",
        (block,) * layers,
        Embeddings(tables, dropout=config.number("embd_pdrop", default=0.1)),
        _norm("ln_f", hidden),
    )
    return Model(
        id="",
        family="gpt2",
        parts=(part,),
        head=decoder_head(config, hidden, vocab, config.flag("tie_word_embeddings", default=True)),
        max_length=positions,
        hidden=hidden,
        vocab=vocab,
    )


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
