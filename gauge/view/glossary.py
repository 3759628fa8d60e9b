"""What a word of a formula means, and which field of the question sets it."""

from __future__ import annotations

from gauge.view.derivation import meaning
from gauge.view.html import Markup, tag

SET_BY = {
    "batch": "batch_size",
    "tokens": "sequence_length",
    "key tokens": "sequence_length",
    "source tokens": "sequence_length",
    "rank": "lora_rank",
    "micro-batches": "microbatches",
    "bytes": "dtype",
}


def line(symbol: str, labels: dict[str, str]) -> Markup:
    """The glossary's line, with a button to the field that sets the value, or to the model where its shape does."""
    field = SET_BY.get(symbol, "model")
    go = tag("button", f"Go to {labels.get(field, field)}", type="button", data_focus=field)
    words = meaning(symbol)
    return tag("span", tag("b", symbol), f": {words}. " if words else ". ", go)
