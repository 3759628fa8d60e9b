"""OPT: learned positions with two rows to spare, biases everywhere, ReLU; the 350M size projects its embeddings.

Source: transformers 5.23 models/opt/modeling_opt.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.embedding import Embedding, Embeddings
from gauge.layers.linear import Linear
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.tensor import Dim

SPARE_POSITIONS = 2


def read(config: Config) -> Model:
    """An OPT decoder from its config."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size")
    width = config.integer("word_embed_proj_dim", default=hidden)
    before = config.flag("do_layer_norm_before", default=True)
    positions = config.integer("max_position_embeddings", default=2048) + SPARE_POSITIONS
    tables = (
        Embedding("embed_tokens", vocab, width),
        Embedding("embed_positions", positions, hidden, "position_embedding", Dim.POSITIONS),
    )
    narrow = width != hidden
    final = before and not config.flag("_remove_final_layer_norm")
    return llama.decoder(
        config,
        (_block(config, hidden, before),) * config.layers(),
        _norm(config, "final_layer_norm", hidden),
        bare=not final,
        tied=True,
        embeddings=Embeddings(tables, project=_map("project_in", width, hidden) if narrow else None),
        project=_map("project_out", hidden, width) if narrow else None,
        hidden=width,
    )


def _block(config: Config, hidden: int, before: bool) -> Block:
    heads = config.integer("num_attention_heads")
    bias, dropout = config.flag("enable_bias", default=True), config.number("dropout", default=0.1)
    mixer = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("hidden_size", "num_attention_heads", hidden, heads),
        qkv_bias=bias,
        out_bias=bias,
        scales_queries=True,
        dropout=config.number("attention_dropout", default=0.0),
        out_dropout=dropout,
        names=("q_proj", "k_proj", "v_proj", "out_proj"),
    )
    feed = MLP(
        hidden=hidden,
        inner=config.integer("ffn_dim", "intermediate_size"),
        gated=False,
        bias=bias,
        activation=config.text("activation_function", default="relu"),
        dropout=dropout,
        names=("", "fc1", "fc2"),
    )
    first, second = _norm(config, "self_attn_layer_norm", hidden), _norm(config, "final_layer_norm", hidden)
    if before:
        return Block((Residual(mixer, pre=first), Residual(feed, pre=second)))
    return Block((Residual(mixer, after=first), Residual(feed, after=second)))


def _norm(config: Config, name: str, hidden: int) -> Norm:
    affine = config.flag("layer_norm_elementwise_affine", default=True)
    return Norm(name, hidden, "layer", bias=affine, affine=affine)


def _map(name: str, inp: int, out: int) -> Linear:
    role = "embedding_projection"
    return Linear(name, role, ((Dim.HIDDEN, out),), ((Dim.HIDDEN, inp),), adaptable=False)
