"""ALBERT: BERT that runs one block again and again, with narrow embeddings.

Source: transformers 5.23 models/albert/modeling_albert.py.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.block import Again, Block
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import bert, electra


def read(config: Config) -> Model:
    """An encoder with its pooler, without a head; `num_hidden_groups` blocks have weights of their own."""
    keys = {"architectures": ["BertModel"], **{k: v for k, v in config.keys.items() if k != "architectures"}}
    model = electra.narrowed(bert.read(Config(keys, config.path)), config, "embedding_hidden_mapping_in")
    part = model.parts[0]
    owners = min(len(part.blocks), config.integer("num_hidden_groups", default=1))
    first = part.blocks[0]
    assert isinstance(first, Block)
    again = Again(first)
    blocks = (*(first,) * owners, *(again,) * (len(part.blocks) - owners))
    return model.edited(family="albert", parts=(replace(part, blocks=blocks),))
