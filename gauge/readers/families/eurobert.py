"""EuroBERT: Llama's blocks that see in both directions.

Source: transformers 5.23 models/eurobert/modeling_eurobert.py.
"""

from __future__ import annotations

from gauge.layers.head import Head
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.encoders import label_head
from gauge.readers.families import llama
from gauge.readers.heads import LABELLED, is_bare, kind_of


def read(config: Config) -> Model:
    """An encoder from its config; the head follows `architectures`."""
    mixer = llama.attention(config, causal=False, caches=False)
    model = llama.decoder(config, (llama.block(config, mixer, llama.mlp(config)),) * config.layers())
    return model.edited(head=_head(config, model))


def _head(config: Config, model: Model) -> Head | None:
    kind = kind_of(config)
    if kind.endswith(LABELLED):
        return label_head(config, kind, "dense")
    tied, bias = config.flag("tie_word_embeddings"), config.flag("mlp_bias")
    return None if is_bare(config) else Head(hidden=model.hidden, outputs=model.vocab, tied=tied, bias=bias, upcast=False)
