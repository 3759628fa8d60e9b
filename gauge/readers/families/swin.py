"""Swin: patches, stages of attention in shifted windows with a merging between them, a mean over the patches, a classifier.

Source: transformers 5.23 models/swin/modeling_swin.py; arXiv 2103.14030.
"""

from __future__ import annotations

from gauge.layers.block import Stage
from gauge.layers.convolution import Chain
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.patches import PatchEmbeddings, patches_of
from gauge.layers.windows import CosineAttention, NormedMean, PatchMerging, WindowAttention, WindowLayer
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families.convnext import shape
from gauge.readers.families.resnet import classifier
from gauge.tensor import Dim

MLP_NAMES = ("", "fc1", "fc2")


def read(config: Config) -> Model:
    """A Swin transformer from its config."""
    return net(config, second=False)


def net(config: Config, *, second: bool) -> Model:
    """Either version: the `second` has cosine attention, and its norms come behind the branches."""
    width, side, patch = config.integer("embed_dim", default=96), config.side("image_size", 224), config.side("patch_size", 4)
    heads, depths = shape(config, "num_heads", [3, 6, 12, 24], [2, 2, 6, 2])
    stages: list[Stage] = []
    for index, (count, depth) in enumerate(zip(heads, depths, strict=True)):
        if index:
            stages.append(Chain((PatchMerging(width, second),), f"stage {index}"))
            width *= 2
        resolution = side // patch // 2**index
        head = config.divides("the stage's width", "num_heads", width, count)
        kinds = [_layer(config, width, width // head, resolution, shifted, second, index) for shifted in (False, True)]
        stages += [kinds[i % 2] for i in range(depth)]
    entry = PatchEmbeddings(
        hidden=config.integer("embed_dim", default=96),
        patch=patch,
        channels=config.integer("num_channels", default=3),
        positions=patches_of(side, patch) + second if config.flag("use_absolute_embeddings") else 0,
        extra=1 if any("MaskedImage" in str(name) for name in config.listed("architectures")) else 0,
        norm=Norm("norm", config.integer("embed_dim", default=96), "layer", bias=True),
        dropout=config.number("hidden_dropout_prob", default=0.0),
    )
    return classifier(config, entry, (*stages, Chain((NormedMean(width),), "pooling")), width, inp=Dim.HIDDEN)


def _layer(config: Config, width: int, heads: int, side: int, shifted: bool, second: bool, index: int) -> Chain:
    window = config.integer("window_size", default=7)
    dropout, quiet = config.number("hidden_dropout_prob", default=0.0), config.number("attention_probs_dropout_prob", default=0.0)
    kind = CosineAttention if second else WindowAttention
    attention = kind(
        hidden=width,
        heads=heads,
        window=max(1, min(window, side)) if second else window,
        qkv_bias=config.flag("qkv_bias", default=True),
        dropout=quiet,
        out_dropout=quiet if second else dropout,
    )
    mlp = MLP(
        hidden=width,
        inner=max(1, int(config.number("mlp_ratio", default=4.0) * width)),
        gated=False,
        bias=True,
        dropout=dropout,
        activation=config.text("hidden_act", default="gelu"),
        names=MLP_NAMES,
    )
    drop = config.number("drop_path_rate", default=0.1)
    layer = WindowLayer(hidden=width, attention=attention, mlp=mlp, shifted=shifted, late=second, drop=drop)
    return Chain((layer,), f"stage {index + 1}")
