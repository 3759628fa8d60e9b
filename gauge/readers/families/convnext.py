"""ConvNeXt: patches, stages of depthwise branches with a halving between them, a mean over the picture, a classifier.

Source: transformers 5.23 models/convnext/modeling_convnext.py; arXiv 2201.03545.
"""

from __future__ import annotations

from gauge.errors import RequestError
from gauge.layers.block import Stage
from gauge.layers.convnext import PixelNorm, PooledNorm, WideBranch
from gauge.layers.convolution import Chain, Convolution, Pictures
from gauge.model import Model
from gauge.readers.config import MOST_LAYERS, Config
from gauge.readers.families.resnet import classifier
from gauge.tensor import Dim

HALF = 2


def read(config: Config) -> Model:
    """A ConvNeXt from its config."""
    return net(config, scaled=config.number("layer_scale_init_value", default=1e-6) > 0, responds=False)


def net(config: Config, *, scaled: bool, responds: bool) -> Model:
    """Either version of the net: `scaled` branches, or a response norm in each."""
    widths, depths = shape(config, "hidden_sizes", [96, 192, 384, 768], [3, 3, 9, 3])
    channels, patch = config.integer("num_channels", default=3), config.side("patch_size", 4)
    activation, drop = config.text("hidden_act", default="gelu"), config.number("drop_path_rate", default=0.0)
    stem = Convolution(name="patch_embeddings", inputs=channels, outputs=widths[0], kernel=patch, stride=patch, bias=True)
    stages: list[Stage] = []
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if index:
            stages.append(_halving(widths[index - 1], width, index))
        kinds = [
            Chain((WideBranch(channels=width, activation=activation, scaled=scaled, responds=responds, drop=rate),), _name(index))
            for rate in (0.0, drop)
        ]
        stages += [kinds[bool(stages) or i > 0] for i in range(depth)]
    entry = Pictures((stem, PixelNorm("layernorm", widths[0])), channels)
    last = Chain((PooledNorm(widths[-1]),), "pooling")
    return classifier(config, entry, (*stages, last), widths[-1], inp=Dim.HIDDEN)


def shape(config: Config, key: str, default: list[int], deep: list[int]) -> tuple[list[int], list[int]]:
    """A number for each stage under `key`, and the stages' depths. Raises RequestError where they differ in length."""
    given, depths = config.integers(key, default=default), config.integers("depths", default=deep)
    if sum(depths) > MOST_LAYERS:
        raise RequestError(f"{config.path}.depths", f"{sum(depths):,} layers are too many", f"give at most {MOST_LAYERS:,}")
    if len(given) != len(depths):
        raise RequestError(f"{config.path}.depths", f"depths and {key} differ in length", "give one for each")
    return given, depths


def _name(index: int) -> str:
    return f"stage {index + 1}"


def _halving(inputs: int, outputs: int, index: int) -> Chain:
    smaller = Convolution(name="downsampling_layer.1", inputs=inputs, outputs=outputs, kernel=HALF, stride=HALF, bias=True)
    return Chain((PixelNorm("downsampling_layer.0", inputs), smaller), _name(index))
