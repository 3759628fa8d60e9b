"""Towers of Gemma 4: a vision transformer with four norms a block, and a conformer for sound.

Source: transformers 5.23 models/gemma4/modeling_gemma4.py, models/gemma3n/modeling_gemma3n.py.
"""

from __future__ import annotations

from gauge.layers.patches import PatchEmbeddings
from gauge.model import Part
from gauge.readers.config import Config
from gauge.readers.towers.block import encoder_block, tower_part

SIDE = 768
CONVOLUTION_CHANNELS = (128, 32)
CONVOLUTION_KERNEL = 5
REDUCED_BANDS = 32


def vision(config: Config) -> Part:
    """Positions along each axis from a table of their own."""
    hidden = config.integer("hidden_size", default=768)
    block = encoder_block(
        hidden=hidden,
        heads=config.integer("num_attention_heads", default=12),
        head=config.integer("head_dim", default=None),
        inner=config.integer("intermediate_size", default=3072),
        norm="rms",
        bias=config.flag("attention_bias"),
        out_bias=config.flag("attention_bias"),
        mlp_bias=False,
        gated=True,
        rotary=True,
        qk_norm=True,
        post_norms=True,
        activation=config.text("hidden_activation", default="gelu_pytorch_tanh"),
    )
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=config.side("patch_size", 16),
        bias=False,
        positions=2 * config.integer("position_embedding_size", default=10240),
    )
    return tower_part(entry, (block,) * config.layers("num_hidden_layers", default=16), SIDE)


def sound(config: Config, out: int, width: int = 1024) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The weights of Gemma's conformer; `out` is the width of a last projection, 0 for none (Gemma 3n)."""
    hidden = config.integer("hidden_size", default=width)
    head = max(1, hidden // config.integer("conf_num_attention_heads", "num_attention_heads", default=8))
    first, second = CONVOLUTION_CHANNELS
    stem = (
        ("subsample.layer0.conv", (first, 1, 9)),
        ("subsample.layer0.norm", (first,)),
        ("subsample.layer1.conv", (second, first, 9)),
        ("subsample.layer1.norm", (second,)),
        ("subsample.input_proj_linear", (hidden, second * REDUCED_BANDS)),
    )
    layers: list[tuple[str, tuple[int, ...]]] = []
    for index in range(config.layers("conf_num_hidden_layers", "num_hidden_layers", default=12)):
        layers += [(f"layers.{index}.{name}", shape) for name, shape in _conformer(hidden, head)]
    last = (("output_proj.weight", (out, hidden)), ("output_proj.bias", (out,))) if out else ()
    return (*stem, *layers, *last)


def _conformer(hidden: int, head: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    feed = tuple(
        (f"feed_forward{n}.{name}", shape)
        for n in (1, 2)
        for name, shape in (
            ("ffw_layer_1", (4 * hidden, hidden)),
            ("ffw_layer_2", (hidden, 4 * hidden)),
            ("pre_layer_norm", (hidden,)),
            ("post_layer_norm", (hidden,)),
        )
    )
    attention = tuple((f"self_attn.{n}", (hidden, hidden)) for n in ("q", "k", "v", "post", "relative_k"))
    convolution = (
        ("lconv1d.linear_start", (2 * hidden, hidden)),
        ("lconv1d.linear_end", (hidden, hidden)),
        ("lconv1d.depthwise", (hidden, CONVOLUTION_KERNEL)),
        ("lconv1d.pre_layer_norm", (hidden,)),
        ("lconv1d.conv_norm", (hidden,)),
    )
    norms = tuple((n, (hidden,)) for n in ("norm_pre_attn", "norm_post_attn", "norm_out"))
    return (*feed, ("self_attn.per_dim_scale", (head,)), *attention, *convolution, *norms)
