"""MobileNet v3: inverted residuals, some with squeeze-and-excitation, and hard activations.

The config is a form of our own: `blocks` lists [kernel, expansion, output, squeeze-excite] and, where it is not one of
the two published nets, a stride. Source: arXiv 1905.02244, tables 1 and 2; timm 1.0 models/mobilenetv3.py.
"""

from __future__ import annotations

from gauge.errors import RequestError
from gauge.layers.block import Layer, Stage
from gauge.layers.convolution import Branch, Chain, ConvNorm, Convolution, Pictures, Pool, SqueezeExcite, conv_norm
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families.mobilenet_v2 import divisible
from gauge.readers.families.resnet import classifier

STRIDES = {15: (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1), 11: (2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1)}
RELU_BLOCKS = {15: 6, 11: 3}
STEM = 16
LARGEST = 100_000


def read(config: Config) -> Model:
    """A MobileNet v3 from its list of blocks."""
    rows = _rows(config)
    early = RELU_BLOCKS.get(len(rows), len(rows) // 3)
    stages: list[Stage] = []
    inputs = STEM
    for index, row in enumerate(rows):
        activation = "relu" if index < early else "hardswish"
        stages.append(Chain((_block(inputs, row, activation),), "inverted residual"))
        inputs = row[2]
    wide = rows[-1][1]
    last = config.integer("last_channel", default=1280)
    behind = Convolution(name="conv_head", inputs=wide, outputs=last, bias=True)
    top = (conv_norm("conv_last", inputs, wide, "hardswish"), Pool("mean"), ConvNorm(behind, None, "hardswish"))
    stages.append(Chain(top, "last convolution"))
    channels = config.integer("num_channels", default=3)
    stem = conv_norm("conv_stem", channels, STEM, "hardswish", kernel=3, stride=2, padding=1)
    return classifier(config, Pictures((stem,), channels), tuple(stages), last)


def _rows(config: Config) -> list[tuple[int, int, int, int, int]]:
    found = []
    rows = config.listed("blocks")
    strides = STRIDES.get(len(rows), (1,) * len(rows))
    for row, stride in zip(rows, strides, strict=True):
        if not isinstance(row, list) or len(row) not in (4, 5) or not all(_fits(n) for n in row) or 0 in row[:3]:
            raise RequestError(
                f"{config.path}.blocks", "a block is [kernel, expansion, output, squeeze-excite]", "list four numbers"
            )
        found.append((row[0], row[1], row[2], row[3], max(1, row[4]) if len(row) > 4 else stride))
    if not found:
        raise RequestError(f"{config.path}.blocks", "the config has no blocks", "list the net's blocks")
    return found


def _fits(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _block(inputs: int, row: tuple[int, int, int, int, int], activation: str) -> Branch:
    kernel, wide, outputs, squeeze, stride = row
    layers: list[Layer] = []
    if wide != inputs:
        layers.append(conv_norm("expand", inputs, wide, activation))
    window = {"kernel": kernel, "stride": stride, "padding": kernel // 2, "groups": wide}
    layers.append(conv_norm("depthwise", wide, wide, activation, **window))
    if squeeze:
        layers.append(SqueezeExcite("se", wide, divisible(wide / 4), "relu", "hardsigmoid"))
    layers.append(conv_norm("project", wide, outputs, ""))
    return Branch(tuple(layers), adds=stride == 1 and inputs == outputs)
