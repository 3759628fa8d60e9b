"""MobileNet v1: depthwise and pointwise convolutions in turn.

Source: transformers 5.23 models/mobilenet_v1/modeling_mobilenet_v1.py; arXiv 1704.04861.
"""

from __future__ import annotations

from gauge.layers.block import Stage
from gauge.layers.convolution import Chain, Pictures, Pool, conv_norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families.resnet import classifier

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
FIRST = 32


def read(config: Config) -> Model:
    """A MobileNet v1 from its config."""
    factor = config.number("depth_multiplier", default=1.0)
    least: int = config.integer("min_depth", default=8)
    activation = config.text("hidden_act", default="relu6")
    same = config.flag("tf_padding", default=True)
    channels = config.integer("num_channels", default=3)

    def width(depth: int) -> int:
        return max(int(depth * factor), least)

    window = {"kernel": 3, "same": same, "padding": 1}
    depth, inputs = FIRST, width(FIRST)
    stem = conv_norm("conv_stem", channels, inputs, activation, stride=2, **window)
    stages: list[Stage] = []
    for index, stride in enumerate(STRIDES):
        depth *= 2 if stride == 2 or index == 0 else 1
        outputs = width(depth)
        deep = conv_norm(f"layer.{2 * index}", inputs, inputs, activation, stride=stride, groups=inputs, **window)
        point = conv_norm(f"layer.{2 * index + 1}", inputs, outputs, activation, same=same)
        stages.append(Chain((deep, point), "separable block"))
        inputs = outputs
    dropout = config.number("classifier_dropout_prob", default=0.999)
    return classifier(config, Pictures((stem,), channels), (*stages, Chain((Pool("mean"),), "pooling")), inputs, dropout)
