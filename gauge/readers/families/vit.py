"""Vision transformers: patches, pre-norm blocks without masks, a classifier over the first token.

Source: transformers 5.23 models/vit/modeling_vit.py; arXiv 2010.11929.
"""

from __future__ import annotations

from gauge.layers.attention import Attention
from gauge.layers.block import Block, Layer, Residual
from gauge.layers.head import Head
from gauge.layers.linear import LinearLayer
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.patches import PatchEmbeddings, patches_of
from gauge.layers.pooler import Pooler
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """A vision transformer from its config."""
    return net(config, special=1)


def net(config: Config, special: int) -> Model:
    """With so many learned tokens in front of the patches; classifiers and pooler follow `architectures`."""
    hidden, side, patch = config.integer("hidden_size"), config.side("image_size", 224), config.side("patch_size", 16)
    kind = str(next(iter(config.listed("architectures")), "ViTForImageClassification"))
    dropout = config.number("hidden_dropout_prob", default=0.0)
    entry = PatchEmbeddings(
        hidden=hidden,
        patch=patch,
        channels=config.integer("num_channels", default=3),
        special=special,
        positions=patches_of(side, patch) + special,
        extra=1 if "MaskedImage" in kind else 0,
        dropout=dropout,
    )
    part = Part(
        "encoder",
        (block(config, hidden, dropout),) * config.layers("num_hidden_layers"),
        entry,
        Norm("layernorm", hidden, "layer", bias=True),
        _behind(config, kind, hidden),
        sequence="image",
        length=side,
    )
    return Model(
        id="",
        family=config.text("model_type"),
        parts=(part,),
        head=classifier(config, hidden) if kind.endswith(("ForImageClassification", "WithTeacher")) else None,
        max_length=patches_of(side, patch) + special,
        hidden=hidden,
        vocab=0,
    )


def _behind(config: Config, kind: str, hidden: int) -> tuple[Layer, ...]:
    """A bare model's pooler; a second classifier, which only inference uses, where the model had a teacher."""
    if kind.endswith("WithTeacher"):
        return (LinearLayer(classifier(config, hidden, "distillation_classifier").projection),)
    if kind.endswith(("ViTModel", "DeiTModel")):
        return (Pooler(hidden, config.integer("pooler_output_size", default=hidden)),)
    return ()


def classifier(config: Config, width: int, name: str = "classifier") -> Head:
    """A linear map from the first token to the classes."""
    labels = config.integer("num_labels", default=len(config.inner("id2label").keys) or 2)
    return Head(hidden=width, outputs=labels, bias=True, upcast=False, per_sequence=True, over=Dim.LABELS, name=name)


def block(config: Config, hidden: int, dropout: float) -> Block:
    """Norm, attention, norm, MLP."""
    heads = config.integer("num_attention_heads")
    attention = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=config.divides("hidden_size", "num_attention_heads", hidden, heads),
        qkv_bias=config.flag("qkv_bias", default=True),
        out_bias=True,
        causal=False,
        caches=False,
        dropout=config.number("attention_probs_dropout_prob", default=0.0),
        out_dropout=dropout,
    )
    mlp = MLP(
        hidden=hidden,
        inner=config.integer("intermediate_size"),
        gated=False,
        bias=True,
        dropout=dropout,
        activation=config.text("hidden_act", default="gelu"),
        names=("", "fc1", "fc2"),
    )
    return Block(
        (
            Residual(attention, pre=Norm("layernorm_before", hidden, "layer", bias=True)),
            Residual(mlp, pre=Norm("layernorm_after", hidden, "layer", bias=True)),
        )
    )
