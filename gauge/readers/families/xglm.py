"""XGLM: pre-norm decoder with biases and computed positions.

Source: transformers 5.23 models/xglm/modeling_xglm.py.
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

SPARE = 2  # positions that count from two (XGLMSinusoidalPositionalEmbedding)


def read(config: Config) -> Model:
    """An XGLM decoder from its config."""
    hidden, heads = config.integer("d_model", "hidden_size"), config.integer("attention_heads", "num_attention_heads")
    dropout = config.number("dropout", default=0.1)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("d_model", "attention_heads", hidden, heads),
        qkv_bias=True,
        out_bias=True,
        heads_first=True,
        scaled=False,
        clamped=True,
        has_sdpa=False,
        dropout=config.number("attention_dropout", default=0.1),
        out_dropout=dropout,
        names=("q_proj", "k_proj", "v_proj", "out_proj"),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("ffn_dim", "intermediate_size"),
        gated=False,
        bias=True,
        activation=config.text("activation_function", default="gelu"),
        inner_dropout=config.number("activation_dropout", default=0.0),
        dropout=dropout,
        names=("", "fc1", "fc2"),
    )
    steps = [Residual(mixer, pre=_norm("self_attn_layer_norm", hidden))]
    if config.flag("add_cross_attention"):
        steps.append(Residual(mixer.edited(cross=hidden, causal=False), pre=_norm("encoder_attn_layer_norm", hidden)))
    steps.append(Residual(feed, pre=_norm("final_layer_norm", hidden)))
    table = Embedding("embed_tokens", config.integer("vocab_size"), hidden)
    length = config.integer("max_position_embeddings", default=2048)
    scaled = config.flag("scale_embedding", default=True)
    entry = Embeddings((table,), dropout=dropout, scaled=scaled, computed=length + SPARE)
    layers = config.layers("num_layers", "num_hidden_layers")
    return decoder(config, hidden, (Block(tuple(steps)),) * layers, entry, _norm("layer_norm", hidden), length)


def _norm(name: str, hidden: int) -> Norm:
    return Norm(name, hidden, "layer", bias=True)
