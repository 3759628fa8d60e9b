"""Longformer: RoBERTa whose tokens see a band of others, and a second set of projections for those that see all.

Source: transformers 5.23 models/longformer/modeling_longformer.py.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.layers.banded_attention import BandedAttention
from gauge.layers.block import Block
from gauge.model import Model
from gauge.readers import encoders
from gauge.readers.config import Config
from gauge.readers.families import bert
from gauge.readers.heads import SEQUENCE, kind_of
from gauge.readers.patterns import blocks, numbers

WINDOW = 512


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    hidden, layers = config.integer("hidden_size"), config.layers()
    model = bert.read(config)
    plain = encoders.attention(config, bert.NAMES, has_sdpa=False)

    def make(window: int) -> Block:
        return encoders.block(BandedAttention(plain, window), encoders.mlp(config), hidden)

    windows = numbers(config, layers, "attention_window", least=2) or [WINDOW] * layers
    part = replace(model.parts[0], blocks=blocks(windows, make))
    kind = kind_of(config, "LongformerModel")
    if kind.endswith(SEQUENCE):  # a dense layer of the head's own stands where BERT pools
        part, head = replace(part, extras=()), encoders.label_head(config, kind, "classifier.dense")
        return model.edited(parts=(part,), head=head)
    return model.edited(parts=(part,))
