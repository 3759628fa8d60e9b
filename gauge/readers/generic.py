"""A decoder derived from nothing but a parameter count: usual proportions, and said to be a guess."""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama
from gauge.units import format_count

VOCAB = 32_000
HEAD = 128
LAYERS_BY_HIDDEN = 128
MLP_RATIO = (8, 3)


def from_parameters(parameters: int) -> Model:
    """A Llama-style decoder of about that size.

    Takes the width for which 12 × layers × hidden² fits, with layers = hidden ÷ 128.
    """
    hidden = HEAD
    while _size(hidden + HEAD) <= parameters:
        hidden += HEAD
    inner = hidden * MLP_RATIO[0] // MLP_RATIO[1]
    keys = {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": max(1, hidden // LAYERS_BY_HIDDEN),
        "num_attention_heads": max(1, hidden // HEAD),
        "intermediate_size": inner,
        "vocab_size": VOCAB,
        "max_position_embeddings": 131_072,
    }
    note = (
        f"Only a parameter count was given: a generic decoder of {hidden // LAYERS_BY_HIDDEN} layers of width "
        f"{hidden:,} stands for {format_count(parameters)} parameters. Its cache and activations are a guess."
    )
    model = llama.read(Config(keys))
    return model.edited(id="generic", title=f"generic {format_count(parameters)}", notes=(note,), total=parameters)


def _size(hidden: int) -> int:
    return 12 * (hidden // LAYERS_BY_HIDDEN) * hidden * hidden + 2 * VOCAB * hidden
