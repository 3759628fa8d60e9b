"""ResNet: a stem, stages of basic or bottleneck branches, a mean over the picture, a classifier.

Source: transformers 5.23 models/resnet/modeling_resnet.py; arXiv 1512.03385.
"""

from __future__ import annotations

from gauge.errors import RequestError, shown
from gauge.layers.block import Stage
from gauge.layers.convolution import Branch, Chain, ConvNorm, Pictures, Pool, conv_norm
from gauge.layers.embedding import Entry
from gauge.layers.head import Head
from gauge.model import Model, Part
from gauge.readers.config import MOST_LAYERS, Config
from gauge.tensor import Dim

REDUCTION = 4

IMAGENET = 1000


def read(config: Config) -> Model:
    """A ResNet from its config."""
    first = config.integer("embedding_size", default=64)
    widths = config.integers("hidden_sizes", default=[256, 512, 1024, 2048])
    depths = config.integers("depths", default=[3, 4, 6, 3])
    if sum(depths) > MOST_LAYERS:
        raise RequestError(f"{config.path}.depths", f"{sum(depths):,} layers are too many", f"give at most {MOST_LAYERS:,}")
    if len(widths) != len(depths):
        raise RequestError(f"{config.path}.depths", "depths and hidden_sizes differ in length", "give one for each")
    activation = config.text("hidden_act", default="relu")
    channels = config.integer("num_channels", default=3)
    stem = conv_norm("embedder.embedder", channels, first, activation, kernel=7, stride=2, padding=3)
    stages: list[Stage] = []
    inputs = first
    for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        stride = 2 if index or config.flag("downsample_in_first_stage") else 1
        stages.append(Chain((_branch(config, inputs, width, stride),), f"stage {index + 1}"))
        stages += [Chain((_branch(config, width, width, 1),), f"stage {index + 1}")] * (depth - 1)
        inputs = width
    entry = Pictures((stem, Pool("max", 3, 2, 1)), channels)
    return classifier(config, entry, (*stages, Chain((Pool("mean"),), "pooling")), inputs)


def classifier(
    config: Config, entry: Entry, stages: tuple[Stage, ...], width: int, dropout: float = 0.0, inp: Dim = Dim.CHANNELS
) -> Model:
    """A convolutional net around its stages; the classifier is left out where `architectures` names the bare net."""
    side = config.integer("image_size", default=224)
    kind = str(next(iter(config.listed("architectures")), "ForImageClassification"))
    usual = IMAGENET if config.text("model_type") == "mobilenet_v3" else 2  # timm's own, transformers' own
    labels = config.integer("num_labels", "num_classes", default=len(config.inner("id2label").keys) or usual)
    head = Head(
        hidden=width,
        outputs=labels,
        bias=True,
        upcast=False,
        over=Dim.LABELS,
        name="classifier",
        inp=inp,
        dropout=dropout,
    )
    return Model(
        id="",
        family=config.text("model_type"),
        parts=(Part("backbone", stages, entry, sequence="image", length=side),),
        head=None if kind.endswith("Model") else head,
        max_length=1,
        hidden=width,
        vocab=0,
    )


def _branch(config: Config, inputs: int, width: int, stride: int) -> Branch:
    kind = config.text("layer_type", default="bottleneck")
    activation = config.text("hidden_act", default="relu")
    if kind not in ("basic", "bottleneck"):
        raise RequestError(f"{config.path}.layer_type", f"{shown(kind)} is not known", "give basic or bottleneck")
    layers = _basic(inputs, width, stride, activation) if kind == "basic" else _bottleneck(config, inputs, width, stride)
    shortcut = conv_norm("shortcut", inputs, width, "", stride=stride) if inputs != width or stride != 1 else None
    return Branch(layers, shortcut, in_place=True, activation=activation)


def _basic(inputs: int, width: int, stride: int, activation: str) -> tuple[ConvNorm, ...]:
    return (
        conv_norm("layer.0", inputs, width, activation, kernel=3, stride=stride, padding=1),
        conv_norm("layer.1", width, width, "", kernel=3, padding=1),
    )


def _bottleneck(config: Config, inputs: int, width: int, stride: int) -> tuple[ConvNorm, ...]:
    activation = config.text("hidden_act", default="relu")
    early = config.flag("downsample_in_bottleneck")
    narrow = max(1, width // REDUCTION)
    return (
        conv_norm("layer.0", inputs, narrow, activation, stride=stride if early else 1),
        conv_norm("layer.1", narrow, narrow, activation, kernel=3, stride=1 if early else stride, padding=1),
        conv_norm("layer.2", narrow, width, ""),
    )
