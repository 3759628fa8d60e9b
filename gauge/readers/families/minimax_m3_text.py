"""The text part of MiniMax M3: block-sparse attention with an indexer behind dense first layers, shared experts.

Source: transformers 5.23 models/minimax_m3_vl/modeling_minimax_m3_vl.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer
from gauge.layers.experts import Experts
from gauge.layers.norm import Norm
from gauge.layers.sparse_attention import BlockIndexer, SparseAttention
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral
from gauge.readers.patterns import blocks, numbers


def read(config: Config) -> Model:
    """A MiniMax M3 decoder from its text config."""
    layers = config.layers()
    inner = config.inner("sparse_attention_config")
    sparse = numbers(config, layers, "moe_layer_freq") or [1] * layers
    indexed = numbers(inner, layers, "sparse_attention_freq") or [int(bool(inner.keys))] * layers

    def make(kind: tuple[int, int]) -> Block:
        full = _attention(config)
        mixer: Layer = SparseAttention(full, _indexer(config, inner)) if kind[1] else full
        feed: Layer = _experts(config) if kind[0] else _mlp(config, "dense_intermediate_size", "mlp")
        return llama.block(config, mixer, feed, norm="rms_unit_offset")

    final = Norm("norm", config.integer("hidden_size"), "rms_unit_offset")
    return llama.decoder(config, blocks(zip(sparse, indexed, strict=True), make), final)


def _attention(config: Config) -> Attention:
    size = llama.head_size(config)
    return llama.attention(
        config,
        qkv_bias=False,
        out_bias=False,
        norms="head",
        norm_kind="rms_unit_offset",
        rotary=llama.rotated(config, size),
        rotary_joined=True,
    )


def _indexer(config: Config, inner: Config) -> BlockIndexer:
    return BlockIndexer(
        hidden=config.integer("hidden_size"),
        heads=inner.integer("sparse_num_index_heads", default=4),
        head=inner.integer("sparse_index_dim", default=128),
    )


def _mlp(config: Config, key: str, prefix: str) -> Layer:
    return llama.mlp(
        config, inner=config.integer(key), fused=True, bias=False, prefix=prefix, names=("", "gate_up_proj", "down_proj")
    )


def _experts(config: Config) -> Experts:
    hidden = config.integer("hidden_size")
    return Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(config, hidden, scores="sigmoid", normalised=True, wide=True),
        activation="swiglu_clamped",
        shared=_mlp(config, "shared_intermediate_size", "shared_expert"),  # type: ignore[arg-type]
    )
