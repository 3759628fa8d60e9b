"""ALBERT: BERT that runs one block again and again, with narrow embeddings.

Source: transformers 5.23 models/albert/modeling_albert.py.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.block import Again, Block
from gauge.layers.linear import Linear, LinearLayer
from gauge.model import Model
from gauge.readers import encoders
from gauge.readers.config import Config
from gauge.readers.families import bert, electra
from gauge.readers.heads import kind_of, labels
from gauge.tensor import Dim


def read(config: Config) -> Model:
    """An encoder; the head follows `architectures`; `num_hidden_groups` blocks have weights of their own."""
    kind = kind_of(config, "AlbertModel")
    bare = "BertForTokenClassification" if kind.endswith(encoders.UNPOOLED) else "BertModel"
    keys = {**config.keys, "architectures": [bare]}
    model = electra.narrowed(bert.read(Config(keys, config.path)), config, "embedding_hidden_mapping_in")
    part = model.parts[0]
    owners = min(len(part.blocks), config.integer("num_hidden_groups", default=1))
    first = part.blocks[0]
    assert isinstance(first, Block)
    again = Again(first)
    blocks = (*(first,) * owners, *(again,) * (len(part.blocks) - owners))
    head = encoders.label_head(config, kind)
    if kind.endswith(("ForMaskedLM", "ForPreTraining")):
        width = config.integer("embedding_size", default=128)
        head = encoders.language_head(config, width, model.vocab, "predictions.dense", "predictions.LayerNorm")
    extras = part.extras
    if kind.endswith("ForPreTraining"):  # whether two sentences come in their order
        order = ((Dim.LABELS, labels(config)),)
        classifier = Linear("sop_classifier.classifier", "classifier", order, ((Dim.HIDDEN, model.hidden),), True, False)
        extras = (*extras, LinearLayer(classifier))
    return model.edited(family="albert", parts=(replace(part, blocks=blocks, extras=extras),), head=head)
