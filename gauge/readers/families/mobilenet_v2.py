"""MobileNet v2: inverted residuals with linear bottlenecks.

Source: transformers 5.23 models/mobilenet_v2/modeling_mobilenet_v2.py; arXiv 1801.04381.
"""

from __future__ import annotations

from collections.abc import Callable

from gauge.layers.block import Stage
from gauge.layers.convolution import Branch, Chain, ConvNorm, Pictures, Pool, conv_norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families.resnet import classifier

WIDTHS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
STRIDES = (2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
STEM, LAST = 32, 1280
LARGEST_LOSS = 0.9  # rounding to a multiple may not lose more than a tenth

Brick = Callable[..., ConvNorm]


def read(config: Config) -> Model:
    """A MobileNet v2 from its config."""
    factor = config.number("depth_multiplier", default=1.0)
    widths = [_scaled(config, w * factor) for w in WIDTHS]
    activation, same = config.text("hidden_act", default="relu6"), config.flag("tf_padding", default=True)
    channels = config.integer("num_channels", default=3)

    def brick(name: str, inputs: int, outputs: int, act: bool = True, **shape: object) -> ConvNorm:
        return conv_norm(name, inputs, outputs, activation if act else "", same=same, **shape)

    stages: list[Stage] = []
    reached, most = 2, config.integer("output_stride", default=32)
    for index, stride in enumerate(STRIDES):
        step = 1 if reached >= most else stride
        reached *= step
        stages.append(Chain((_inverted(config, brick, widths[index], widths[index + 1], step),), "inverted residual"))
    last = LAST if config.flag("finegrained_output", default=True) and factor < 1 else _scaled(config, LAST * factor)
    stages.append(Chain((brick("conv_1x1", widths[-1], last), Pool("mean")), "last convolution"))
    dropout = config.number("classifier_dropout_prob", default=0.8)
    entry = Pictures(_stem(config, brick, channels, _scaled(config, STEM * factor), widths[0]), channels)
    return classifier(config, entry, tuple(stages), last, dropout)


def divisible(value: float, divisor: int = 8, least: int | None = None) -> int:
    """The multiple of `divisor` next to `value`, no more than a tenth below it."""
    rounded = max(least or divisor, int(value + divisor / 2) // divisor * divisor)
    return int(rounded + divisor if rounded < LARGEST_LOSS * value else rounded)


def _scaled(config: Config, value: float) -> int:
    return divisible(round(value), config.integer("depth_divisible_by", default=8), config.integer("min_depth", default=8))


def _inverted(config: Config, brick: Brick, inputs: int, outputs: int, stride: int) -> Branch:
    wide = _scaled(config, inputs * config.number("expand_ratio", default=6.0))
    layers = (
        brick("expand_1x1", inputs, wide),
        brick("conv_3x3", wide, wide, kernel=3, stride=stride, padding=1, groups=wide),
        brick("reduce_1x1", wide, outputs, act=False),
    )
    return Branch(layers, adds=stride == 1 and inputs == outputs)


def _stem(config: Config, brick: Brick, channels: int, wide: int, outputs: int) -> tuple[ConvNorm, ...]:
    first = brick("first_conv", channels, wide, kernel=3, stride=2, padding=1)
    extra = () if config.flag("first_layer_is_expansion", default=True) else (brick("expand_1x1", wide, wide),)
    deep = brick("conv_3x3", wide, wide, kernel=3, padding=1, groups=wide)
    return (first, *extra, deep, brick("reduce_1x1", wide, outputs, act=False))
