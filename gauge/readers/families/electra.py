"""ELECTRA: BERT whose embeddings may be narrower than its layers.

Source: transformers 5.23 models/electra/modeling_electra.py.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.embedding import Embeddings
from gauge.layers.head import Head
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.readers import encoders
from gauge.readers.config import Config
from gauge.readers.families import bert
from gauge.readers.heads import kind_of
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder; generator, discriminator or labels: the head follows `architectures`."""
    kind = kind_of(config, "ElectraModel")
    bare = Config({**config.keys, "architectures": ["BertForTokenClassification"]}, config.path)
    model = narrowed(bert.read(bare), config, "embeddings_project")
    if kind.endswith("ForPreTraining"):
        return model.edited(family="electra", head=_discriminator(config))
    if not kind.endswith(("ForMaskedLM", "ForCausalLM")):
        return model.edited(family="electra", head=encoders.label_head(config, kind, "classifier.dense"))
    width = config.integer("embedding_size", default=128)
    names = ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head")
    head = encoders.language_head(config, width, model.vocab, *names, act="gelu", spare=False)
    return model.edited(family="electra", head=head)


def _discriminator(config: Config) -> Head:
    """Whether each token was replaced: a dense layer and one number."""
    hidden = config.integer("hidden_size")
    square = ((Dim.HIDDEN, hidden),)
    dense = Linear("discriminator_predictions.dense", "head_transform", square, square, True, False)
    name = "discriminator_predictions.dense_prediction"
    return Head(hidden=hidden, outputs=1, bias=True, upcast=False, project=dense, over=Dim.LABELS, name=name)


def narrowed(model: Model, config: Config, name: str) -> Model:
    """The same encoder with embeddings of `embedding_size` and a map to the layers' width where they differ."""
    hidden = config.integer("hidden_size")
    width = config.integer("embedding_size", default=hidden)
    part = model.parts[0]
    entry = part.embeddings
    if not isinstance(entry, Embeddings):
        return model
    project = Linear(name, "embedding_projection", ((Dim.HIDDEN, hidden),), ((Dim.HIDDEN, width),), True, False)
    embeddings = replace(
        entry,
        tables=tuple(replace(table, size=width) for table in entry.tables),
        norm=Norm("embeddings.LayerNorm", width, "layer", bias=True),
        project=project if width != hidden or name != "embeddings_project" else None,
        project_at="end",
    )
    return model.edited(parts=(replace(part, embeddings=embeddings),))
