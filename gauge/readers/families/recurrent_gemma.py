"""RecurrentGemma: two recurrent layers to one of windowed attention, Gemma's norms and scaled embeddings.

Source: transformers 5.23 models/recurrent_gemma/modeling_recurrent_gemma.py.
"""

from __future__ import annotations

from gauge.layers.block import Block, Layer
from gauge.layers.gated_recurrence import GatedRecurrence
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import gemma, llama
from gauge.readers.patterns import blocks, layer_types

NAMES = ("temporal_pre_norm", "channel_pre_norm")
USUAL = ["recurrent", "recurrent", "attention"]
ATTENDS = ("attention", "sliding_attention")


def read(config: Config) -> Model:
    """A RecurrentGemma decoder from its config."""
    hidden, layers = config.integer("hidden_size"), config.layers()
    pattern = [str(kind) for kind in config.listed("block_types")] or USUAL
    kinds = layer_types(config, layers, lambda i: pattern[i % len(pattern)], "layer_types", "layers_block_type")
    act = config.text("hidden_activation", default="gelu_pytorch_tanh")
    feed = llama.mlp(config, inner=config.integer("intermediate_size") // 2, bias=True, activation=act)

    def make(kind: str) -> Block:
        mixer: Layer = _attention(config) if kind in ATTENDS else _recurrence(config, hidden, act)
        return llama.block(config, mixer, feed, norm="rms_unit_offset", names=NAMES, kind=kind)

    norm = Norm("final_norm", hidden, "rms_unit_offset")
    entry = gemma.scaled(config)
    return llama.decoder(
        config,
        blocks(kinds, make),
        norm,
        tied=True,
        embeddings=entry,
        soft_cap=config.number("logits_soft_cap", default=30.0) > 0,
    )


def _attention(config: Config) -> Layer:
    size = llama.head_size(config)
    window = config.integer("attention_window_size", "sliding_window", default=2048)
    part = llama.rotated(config, size) if "partial_rotary_factor" in config else size // 2
    return llama.attention(config, out_bias=True, window=window, rotary=part, rotary_joined=True)


def _recurrence(config: Config, hidden: int, act: str) -> GatedRecurrence:
    heads, width = config.integer("num_attention_heads"), config.integer("lru_width", default=hidden)
    config.divides("lru_width", "num_attention_heads", width, heads)
    taps = config.integer("conv1d_width", default=4)
    return GatedRecurrence(hidden=hidden, width=width, heads=heads, taps=taps, activation=act)
