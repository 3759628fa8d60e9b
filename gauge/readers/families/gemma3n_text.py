"""The text part of Gemma 3n: four copies of the stream, a low-rank path, narrow embeddings a layer, shared caches.

Source: transformers 5.23 models/gemma3n/modeling_gemma3n.py.
"""

from __future__ import annotations

from typing import NamedTuple

from gauge.layers.alternating_updates import CopyMaps, Laurel, Predicted
from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual
from gauge.layers.norm import Kind, Norm
from gauge.layers.per_layer_input import PerLayerInput
from gauge.layers.together import Branch, Together
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, gemma4_text, llama
from gauge.readers.patterns import blocks, layer_types, numbers

KIND: Kind = "rms_unit_offset"


class LayerKind(NamedTuple):
    """One layer: window, borrowed cache, MLP width."""

    slides: bool
    borrows: bool
    inner: int


def read(config: Config) -> Model:
    """A Gemma 3n decoder from its text config."""
    layers = config.layers()
    kinds = layer_types(config, layers, lambda i: "sliding_attention" if (i + 1) % 5 else "full_attention")
    first = layers - config.integer("num_kv_shared_layers", default=15, least=0)
    widths = numbers(config, layers, "intermediate_size", least=1) or [16_384] * layers
    chain = blocks(
        [LayerKind(k == "sliding_attention", 0 < first <= i, widths[i]) for i, k in enumerate(kinds)],
        lambda kind: _block(config, kind),
    )
    maps = CopyMaps(config.integer("hidden_size"), config.integer("altup_num_inputs", default=4))
    return llama.decoder(
        config,
        chain,
        gemma.final_norm(config),
        tied=True,
        embeddings=gemma.scaled(config),
        extras=(*gemma4_text.per_layer(config, layers), maps),
        soft_cap=config.number("final_logit_softcapping", default=30.0) > 0,
    )


def _block(config: Config, kind: LayerKind) -> Block:
    hidden = config.integer("hidden_size")
    low = Laurel(hidden, config.integer("laurel_rank", default=64))
    post = Norm("post_attention_layernorm", hidden, KIND)
    both = Together((Branch(_attention(config, kind), post=post), Branch(low)))
    predicted = Predicted(hidden, config.integer("altup_num_inputs", default=4), both)
    narrow = config.integer("hidden_size_per_layer_input", default=256)
    return Block(
        (
            Residual(predicted, pre=Norm("input_layernorm", hidden, KIND)),
            Residual(
                llama.mlp(config, inner=kind.inner, bias=False),
                pre=Norm("pre_feedforward_layernorm", hidden, KIND),
                post=Norm("post_feedforward_layernorm", hidden, KIND),
            ),
            Residual(
                PerLayerInput(hidden, narrow, llama.activation(config)),
                post=Norm("post_per_layer_input_norm", hidden, KIND),
            ),
        ),
        kind="sliding_attention" if kind.slides else "full_attention",
    )


def _attention(config: Config, kind: LayerKind) -> Attention:
    return llama.attention(
        config,
        head=config.integer("head_dim", default=256),
        window=config.integer("sliding_window", default=512) if kind.slides else None,
        norms="head",
        norm_kind=KIND,
        value_norm=True,
        borrows=kind.borrows,
        rotary_scope="sliding" if kind.slides else "global",
    )
