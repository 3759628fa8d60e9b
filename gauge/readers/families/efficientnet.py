"""EfficientNet: inverted residuals with squeeze-and-excitation, scaled in width and depth.

Source: transformers 5.23 models/efficientnet/modeling_efficientnet.py; arXiv 1905.11946.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from gauge.errors import RequestError
from gauge.layers.block import Layer, Stage
from gauge.layers.convolution import (
    BatchNorm,
    Branch,
    Chain,
    ConvNorm,
    Convolution,
    Dropped,
    Pictures,
    Pool,
    SqueezeExcite,
)
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families.mobilenet_v2 import divisible
from gauge.readers.families.resnet import classifier

STEM, LAST = 32, 1280
MOST_REPEATS = 1000


@dataclass(frozen=True, slots=True)
class _Shape:
    """One block: where `first` of its stage it has no residual; `drop` is the largest rate, since only zero matters."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    ratio: int
    first: bool
    adjusted: bool
    drop: float


def read(config: Config) -> Model:
    """An EfficientNet from its config."""
    activation = config.text("hidden_act", default="swish")
    channels = config.integer("num_channels", default=3)
    shapes = _shapes(config)
    known = {s: Chain((_block(config, s, activation),), "inverted residual") for s in shapes}
    stages: list[Stage] = [known[s] for s in shapes]
    last = _rounded(config, LAST)
    if config.integer("hidden_dim", default=last) != last:
        message = f"{config.integer('hidden_dim')} is not the width {last} of the last convolution"
        raise RequestError(f"{config.path}.hidden_dim", message, f"give {last}")
    top = _brick("top", shapes[-1].outputs, last, activation)
    stages.append(Chain((top, Pool("mean")), "last convolution"))
    width = _rounded(config, STEM)
    stem = _brick("stem", channels, width, activation, kernel=3, stride=2, padded=1)
    dropout = config.number("dropout_rate", default=0.5)
    return classifier(config, Pictures((stem,), channels), tuple(stages), last, dropout)


def _rounded(config: Config, value: int) -> int:
    return divisible(value * config.number("width_coefficient", default=2.0), config.integer("depth_divisor", default=8))


def _brick(name: str, inputs: int, outputs: int, activation: str, **shape: object) -> ConvNorm:
    convolution = Convolution(name=f"{name}_conv", inputs=inputs, outputs=outputs, **shape)  # type: ignore[arg-type]
    return ConvNorm(convolution, BatchNorm(f"{name}_bn", outputs), activation)


def _shapes(config: Config) -> list[_Shape]:
    keys = {
        "in_channels": [32, 16, 24, 40, 80, 112, 192],
        "out_channels": [16, 24, 40, 80, 112, 192, 320],
        "kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
        "strides": [1, 2, 2, 2, 1, 2, 1],
        "num_block_repeats": [1, 2, 2, 3, 3, 4, 1],
        "expand_ratios": [1, 6, 6, 6, 6, 6, 6],
    }
    columns = [config.integers(key, default=default) for key, default in keys.items()]
    if len({len(c) for c in columns}) != 1:
        raise RequestError(config.path, f"{', '.join(keys)} differ in length", "give one number for each stage")
    factor = config.number("depth_coefficient", default=3.1)
    counts = [ceil(factor * n) for n in columns[4]]
    if not 0 < sum(counts) <= MOST_REPEATS:
        raise RequestError(f"{config.path}.depth_coefficient", f"{sum(counts):,} blocks", "give a smaller number")
    plain = config.listed("depthwise_padding")
    drop = config.number("drop_connect_rate", default=0.2)
    shapes: list[_Shape] = []
    for (inputs, outputs, kernel, stride, _, ratio), count in zip(zip(*columns, strict=True), counts, strict=True):
        for j in range(count):
            shapes.append(
                _Shape(
                    _rounded(config, inputs if j == 0 else outputs),
                    _rounded(config, outputs),
                    kernel,
                    stride if j == 0 else 1,
                    ratio,
                    j == 0,
                    stride == 2 and j == 0 and len(shapes) not in plain,
                    drop if shapes else 0.0,
                )
            )
    return shapes


def _block(config: Config, s: _Shape, activation: str) -> Branch:
    wide = s.inputs * s.ratio
    layers: list[Layer] = []
    if s.ratio != 1:
        layers.append(_brick("expand", s.inputs, wide, activation))
    half = s.kernel // 2
    window = {"padded": 2 * half - (1 if s.adjusted else 0)} if s.stride == 2 else {"padding": half}
    layers.append(_brick("depthwise", wide, wide, activation, kernel=s.kernel, stride=s.stride, groups=wide, **window))
    reduced = max(1, int(s.inputs * config.number("squeeze_expansion_ratio", default=0.25)))
    layers.append(SqueezeExcite("squeeze_excite", wide, reduced, activation))
    layers.append(_brick("project", wide, s.outputs, ""))
    adds = s.stride == 1 and not s.first
    if adds:
        layers.append(Dropped(s.drop))
    return Branch(tuple(layers), adds=adds)
