"""The head that `architectures` names: vocabulary, classes of a sequence, classes of a token, the span of an answer.

Source: transformers 5.23 modeling_layers.py (GenericForSequenceClassification, GenericForTokenClassification,
GenericForQuestionAnswering), whose heads almost all decoders have.
"""

from __future__ import annotations

from typing import Any

from gauge.layers.head import Head
from gauge.readers.config import Config
from gauge.tensor import Dim

SEQUENCE, TOKENS, SPAN = "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"
LABELLED = (SEQUENCE, TOKENS, SPAN)
WRITING = (
    *("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM", "ForPreTraining", "ForSpeechSeq2Seq"),
    *("DoubleHeadsModel", "MTModel", "WithLMHead", "ForImageTextToText", "ForMultimodalLM"),
)
SIDES = 2  # where an answer begins and ends


def kind_of(config: Config, default: str = "") -> str:
    """The class that the config names first."""
    name = next(iter(config.listed("architectures")), default)
    return name if isinstance(name, str) else default


def is_bare(config: Config) -> bool:
    """Whether the class has no head: a `...Model` that is no `LMHeadModel`."""
    kind = kind_of(config)
    return kind.endswith("Model") and not kind.endswith(("LMHeadModel", "DoubleHeadsModel", "MTModel"))


def labels(config: Config) -> int:
    """How many classes: `num_labels`, or as many as `id2label` names, or transformers' own default of two."""
    found: int = config.integer("num_labels", default=len(config.inner("id2label").keys) or 2)
    return found


def decoder_head(config: Config, hidden: int, vocab: int, tied: bool, /, **changes: Any) -> Head | None:
    """A decoder's: over the vocabulary with the family's `changes`, or the plain one of a class of labels."""
    kind = kind_of(config)
    if kind.endswith(LABELLED):
        width = int(changes.get("hidden", hidden))
        return labelled(config, kind, width)
    if is_bare(config):
        return None
    return Head(**({"hidden": hidden, "outputs": vocab, "tied": tied} | changes))


def labelled(config: Config, kind: str, hidden: int, name: str = "score", bias: bool = False, **changes: Any) -> Head:
    """Classes of every token (of which a sequence's last one counts), or the two ends of an answer."""
    keys: dict[str, Any]
    if kind.endswith(SPAN):
        keys = {"outputs": SIDES, "bias": True, "name": "qa_outputs"}
    elif kind.endswith(TOKENS):
        rate = config.number("classifier_dropout", "hidden_dropout", default=0.1)
        keys = {"outputs": labels(config), "bias": True, "name": name, "dropout": rate}
    else:
        keys = {"outputs": labels(config), "bias": bias, "name": name}
    plain: dict[str, Any] = {"hidden": hidden, "upcast": False, "over": Dim.LABELS}
    return Head(**(plain | keys | changes))


def said(config: Config) -> tuple[str, ...]:
    """A note where the class puts a head on the model that no reader knows: it is not counted."""
    kind = kind_of(config)
    at = kind.rfind("For")
    if at < 0 or kind.endswith((*WRITING, *LABELLED, "ForImageClassification")):
        return ()
    return (f"{kind}: the head of this class is not known, so its own layers are not counted.",)
