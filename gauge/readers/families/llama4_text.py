"""The text part of Llama 4: chunked attention in three of four layers, one expert of many beside a shared one.

Source: transformers 5.23 models/llama4/modeling_llama4.py.
"""

from __future__ import annotations

from typing import Any

from gauge.layers.block import Block, Layer
from gauge.layers.experts import Experts
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama, mixtral
from gauge.readers.patterns import blocks, numbers


def read(config: Config) -> Model:
    """A Llama 4 decoder from its text config."""
    hidden, layers = config.integer("hidden_size"), config.layers()
    interval = config.integer("no_rope_layer_interval", default=4)
    rope = numbers(config, layers, "no_rope_layers") or [int((i + 1) % interval != 0) for i in range(layers)]
    step = config.integer("interleave_moe_layer_step", default=1)
    listed = set(map(str, config.listed("moe_layers")))
    sparse = [str(i) in listed if listed else (i + 1) % step == 0 for i in range(layers)]
    chunk: int | None = config.integer("attention_chunk_size", default=8192)
    shared = llama.mlp(config, bias=False, prefix="shared_expert")
    routed = Experts(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        router=mixtral.router(config, hidden, scores="sigmoid", low=True, name="router"),
        activation=llama.activation(config),
        shared=shared,
        every=True,
    )
    dense = llama.mlp(config, inner=config.integer("intermediate_size_mlp", default=16384), bias=False)

    def make(kind: tuple[bool, bool]) -> Block:
        size = config.integer("head_dim", default=128)
        norms = "head" if kind[0] and config.flag("use_qk_norm", default=True) else ""
        where: dict[str, Any] = {"chunk": chunk if kind[0] else None, "rotary": size if kind[0] else 0}
        mixer = llama.attention(config, head=size, norms=norms, norm_affine=False, **where)
        feed: Layer = routed if kind[1] else dense
        return llama.block(config, mixer, feed)

    return llama.decoder(config, blocks([(bool(r), s) for r, s in zip(rope, sparse, strict=True)], make))
