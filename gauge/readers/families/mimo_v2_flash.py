"""MiMo V2 Flash: windowed layers with sinks and more key heads, values narrower than keys, sigmoid-routed experts.

Source: transformers 5.23 models/mimo_v2_flash/modeling_mimo_v2_flash.py.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import deepseek_v3, llama
from gauge.readers.patterns import blocks, layer_types, numbers


def read(config: Config) -> Model:
    """A MiMo V2 decoder from its config."""
    layers = config.layers()
    pattern = numbers(config, layers, "hybrid_layer_pattern") or [0] * layers
    kinds = layer_types(config, layers, lambda i: "sliding_attention" if pattern[i] else "full_attention")
    listed = numbers(config, layers, "moe_layer_freq") if isinstance(config.keys.get("moe_layer_freq"), list) else []
    sparse = [bool(s) for s in listed] or deepseek_v3.is_sparse(config, first=1)
    routed = deepseek_v3.experts(config, scores="sigmoid", normalised=True)
    dense = llama.mlp(config, bias=False)

    def make(kind: tuple[str, bool]) -> Block:
        feed: Layer = routed if kind[1] else dense
        return llama.block(config, _attention(config, kind[0] == "sliding_attention"), feed)

    return llama.decoder(config, blocks(zip(kinds, sparse, strict=True), make), Norm("norm", config.integer("hidden_size")))


def _attention(config: Config, slides: bool) -> Attention:
    kv_heads = config.integer("num_key_value_heads")
    size = config.integer("head_dim", default=192)
    bias = config.flag("attention_bias")
    return llama.attention(
        config,
        head=size,
        value_head=config.integer("v_head_dim", default=128),
        kv_heads=config.integer("swa_num_key_value_heads", default=2 * kv_heads) if slides else kv_heads,
        rotary=max(2, llama.rotated(config, size) // 2 * 2),
        rotary_joined=True,
        window=config.integer("sliding_window", default=128) if slides else None,
        sinks=slides and config.flag("add_swa_attention_sink_bias", default=True),
        qkv_bias=bias,
        out_bias=False,
    )
