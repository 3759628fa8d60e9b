"""The text part of Gemma 4: larger heads in global layers, caches shared by upper layers, an MLP beside experts.

Source: transformers 5.23 models/gemma4/modeling_gemma4.py, configuration_gemma4.py.
"""

from __future__ import annotations

from typing import NamedTuple

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.experts import Experts
from gauge.layers.norm import Kind, Norm
from gauge.layers.per_layer_input import PerLayerEmbeddings, PerLayerInput
from gauge.layers.together import Branch, Together
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, llama, mixtral
from gauge.readers.patterns import blocks, layer_types
from gauge.tensor import Dim

KIND: Kind = "rms_unit_offset"
GLOBAL_HEAD = 512


class LayerKind(NamedTuple):
    """One layer: whether it slides a window, and whether it reads an earlier layer's cache."""

    slides: bool
    borrows: bool
    head: int
    kv_heads: int


def read(config: Config) -> Model:
    """A Gemma 4 decoder from its text config."""
    layers = config.layers()
    kinds = layer_types(config, layers, lambda i: "sliding_attention" if (i + 1) % 6 else "full_attention")
    kinds[-1] = "full_attention"
    first = layers - config.integer("num_kv_shared_layers", default=0, least=0)
    which = [_kind(config, i, k == "sliding_attention", 0 < first <= i) for i, k in enumerate(kinds)]
    chain = blocks(which, lambda kind: _block(config, kind))
    return llama.decoder(
        config,
        chain,
        gemma.final_norm(config),
        tied=True,
        embeddings=gemma.scaled(config),
        extras=per_layer(config, layers),
        soft_cap="final_logit_softcapping" in config,
    )


def _kind(config: Config, index: int, slides: bool, borrows: bool) -> LayerKind:
    """Global layers have heads of another size and may have fewer key heads; a config may list both layer by layer."""
    size, kv_heads = config.integer("head_dim", default=256), config.integer("num_key_value_heads")
    listed = config.inner("per_layer_config")
    if listed.keys:
        own = next((listed.inner(name) for name in listed.keys if name.lstrip("0") == str(index or "")), Config({}))
        return LayerKind(
            slides, borrows, own.integer("head_dim", default=size), own.integer("num_key_value_heads", default=kv_heads)
        )
    if slides:
        return LayerKind(slides, borrows, size, kv_heads)
    same = config.flag("attention_k_eq_v")
    fewer = config.integer("num_global_key_value_heads", default=kv_heads) if same else kv_heads
    return LayerKind(slides, borrows, config.integer("global_head_dim", default=GLOBAL_HEAD), fewer)


def per_layer(config: Config, layers: int) -> tuple[PerLayerEmbeddings, ...]:
    """The narrow embeddings of all layers, where the model has them."""
    narrow = _narrow(config)
    if not narrow:
        return ()
    rows = config.integer("vocab_size_per_layer_input", default=262_144)
    return (PerLayerEmbeddings(rows, layers, narrow, config.integer("hidden_size")),)


def _narrow(config: Config) -> int:
    """Width of the per-layer embeddings; the unified models have none."""
    unified = config.text("model_type").startswith("gemma4_unified")
    found: int = config.integer("hidden_size_per_layer_input", default=0 if unified else 256, least=0)
    return found


def _block(config: Config, kind: LayerKind) -> Block:
    hidden = config.integer("hidden_size")
    wide = kind.borrows and config.flag("use_double_wide_mlp")
    dense = llama.mlp(config, inner=config.integer("intermediate_size") * (2 if wide else 1), bias=False)
    feed: Residual = Residual(
        dense,
        pre=Norm("pre_feedforward_layernorm", hidden, KIND),
        post=Norm("post_feedforward_layernorm", hidden, KIND),
    )
    if config.flag("enable_moe_block"):
        feed = Residual(_beside(config, hidden, dense), post=Norm("post_feedforward_layernorm", hidden, KIND))
    steps = [
        Residual(
            _attention(config, kind),
            pre=Norm("input_layernorm", hidden, KIND),
            post=Norm("post_attention_layernorm", hidden, KIND),
        ),
        feed,
    ]
    narrow = _narrow(config)
    if narrow:
        mix = PerLayerInput(hidden, narrow, llama.activation(config))
        steps.append(Residual(mix, post=Norm("post_per_layer_input_norm", hidden, KIND)))
    return Block(tuple(steps), kind="sliding_attention" if kind.slides else "full_attention")


def _beside(config: Config, hidden: int, dense: Layer) -> Together:
    """The dense MLP and the experts read the same stream, each behind its own norm."""
    routed = Experts(
        hidden=hidden,
        inner=config.integer("moe_intermediate_size", "expert_intermediate_size"),
        router=mixtral.router(
            config, hidden, normalised=True, name="router.proj", vectors=(("router.scale", Dim.HIDDEN, hidden),)
        ),
        activation=llama.activation(config),
        scale=True,
    )
    return Together(
        (
            Branch(
                dense,
                Norm("pre_feedforward_layernorm", hidden, KIND),
                Norm("post_feedforward_layernorm_1", hidden, KIND),
            ),
            Branch(
                routed,
                Norm("pre_feedforward_layernorm_2", hidden, KIND),
                Norm("post_feedforward_layernorm_2", hidden, KIND),
            ),
        )
    )


def _attention(config: Config, kind: LayerKind) -> Attention:
    """The values of global layers may be their keys."""
    return llama.attention(
        config,
        head=kind.head,
        kv_heads=kind.kv_heads,
        window=config.integer("sliding_window", default=512) if kind.slides else None,
        norms="head",
        norm_kind=KIND,
        value_norm=True,
        value_from_key=not kind.slides and config.flag("attention_k_eq_v"),
        borrows=kind.borrows,
        rotary_scope="sliding" if kind.slides else "global",
    )
