"""Which type each tensor of a GGUF file gets: a file type such as Q4_K_M is a rule, not a type.

The rule reads the tensor's name, its place among its like and a few facts of the model. It stands here as the
quantizer has it: a column for each kind of tensor, in each cell the types to try in order, each under a condition; an
empty cell means the file's base type. No importance matrix is assumed.
Source: ggml-org/llama.cpp src/llama-quant.cpp (llama_tensor_get_type), release v0.5.0 of 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gauge.formats import FORMATS, Format
from gauge.gguf.tensors import Stored
from gauge.layers.attention import Attention
from gauge.layers.experts import Experts
from gauge.layers.latent_attention import LatentAttention
from gauge.layers.linear_attention import GatedDeltaNet
from gauge.model import Model

BASE = {
    "Q2_K_S": "Q2_K",
    "Q3_K_S": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K",
    "Q4_K_M": "Q4_K",
    "Q5_K_S": "Q5_K",
    "Q5_K_M": "Q5_K",
    "IQ2_S": "IQ2_XS",
    "IQ2_M": "IQ2_S",
    "IQ3_XS": "IQ3_S",
    "IQ3_M": "IQ3_S",
}
FLOATING = ("F32", "F16", "BF16")
# Where a row is not a whole number of blocks; 32 values a block must still divide it, or the tensor stays F16.
FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "Q2_K": "Q4_0", "Q3_K": "Q4_0"}
FALLBACK |= {"TQ1_0": "Q4_0", "TQ2_0": "Q4_0"}
GROUPED_ENOUGH = 4
# Small matrices that the quantizer leaves as the converter wrote them.
KEPT_IN_16_BITS = ("altup", "laurel", "per_layer_model_proj", "indexer.q_proj", "indexer.k_proj")
# Families whose converter appends the checkpoint's multi-token-prediction layers to the blocks.
PREDICTING = frozenset({"bailing_hybrid", "bailing_moe_v2", "deepseek_v32", "deepseek_v4", "exaone_moe", "glm4_moe", "hy_v3"})
PREDICTING |= frozenset({"glm4_moe_lite", "glm5_next_text", "glm_moe_dsa", "mimo_v2_flash", "nemotron_h", "qwen3_next"})
PREDICTING |= frozenset({"qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text", "step3p5", "step3p7"})
SEVENTY_LAYERS = 80
LLAMA_LIKE = frozenset({"llama", "mistral", "mixtral"})
SEVENTY_FAMILIES = LLAMA_LIKE | frozenset({"qwen2", "nemotron-nas", "olmo"})


@dataclass(frozen=True, slots=True)
class Traits:
    """What the rule asks of a model.

    `grouped`: at least four query heads for each key head in layer 0 (false where that is recurrent; latent attention
    has one key head). `rewritten`: whether the quantizer is of 2026, which treats fused projections as values.
    """

    blocks: int
    experts: int = 1
    grouped: bool = False
    falcon: bool = False
    seventy: bool = False
    rewritten: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """The `i`-th of `n` tensors of its kind."""

    i: int
    n: int
    traits: Traits


Condition = Callable[[Place], bool]
Cell = tuple[tuple[str, Condition], ...]


def always(place: Place) -> bool:
    """No condition."""
    return True


def grouped(place: Place) -> bool:
    """Few key heads: values are shared by many queries."""
    return place.traits.grouped


def grouped_or_experts(place: Place) -> bool:
    """Few key heads, or at least four experts."""
    return place.traits.grouped or place.traits.experts >= 4


def more(place: Place) -> bool:
    """The first and last eighth of the layers and every third between them."""
    i, n = place.i, place.n
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def more_of_eight(place: Place) -> bool:
    """`more`, in models of eight experts."""
    return place.traits.experts == 8 and more(place)


def part(share: int) -> Condition:
    """The first `1/share` of the layers."""
    return lambda place: place.i < place.n // share


def first(count: int) -> Condition:
    """The first `count`."""
    return lambda place: place.i < count


def middle(place: Place) -> bool:
    """Neither the first nor the last eighth."""
    return place.n // 8 <= place.i < 7 * place.n // 8


def falcon(condition: Condition = always) -> Condition:
    """Only in Falcon."""
    return lambda place: place.traits.falcon and condition(place)


def not_falcon(condition: Condition = always) -> Condition:
    """In everything but Falcon."""
    return lambda place: not place.traits.falcon and condition(place)


_LOW_VALUES: Cell = (("Q4_K", grouped_or_experts), ("Q2_K", always))
_LOW_DOWN: Cell = (("Q2_K", part(8)),)
VALUES: Mapping[str, Cell] = {
    "Q2_K": (("Q4_K", grouped), ("Q3_K", always)),
    "Q2_K_S": (("Q4_K", grouped),),
    "Q3_K_M": (("Q5_K", first(2)), ("Q4_K", always)),
    "Q3_K_L": (("Q5_K", always),),
    "Q4_K_S": (("Q5_K", first(4)),),
    "Q4_K_M": (("Q6_K", more),),
    "Q5_K_M": (("Q6_K", more),),
    "IQ4_XS": (("Q5_K", grouped),),
    "IQ4_NL": (("Q5_K", grouped),),
    "IQ3_M": (("Q4_K", always),),
    "IQ3_S": (("Q4_K", grouped),),
    "IQ3_XS": (("Q4_K", grouped),),
    "IQ3_XXS": (("Q4_K", grouped), ("IQ3_S", always)),
    "IQ2_S": (("Q4_K", grouped_or_experts), ("IQ3_S", always)),
    "IQ2_M": (("Q4_K", grouped_or_experts), ("IQ3_S", always)),
    "IQ2_XXS": _LOW_VALUES,
    "IQ2_XS": _LOW_VALUES,
    "IQ1_S": _LOW_VALUES,
    "IQ1_M": _LOW_VALUES,
}
DOWN: Mapping[str, Cell] = {
    "Q2_K": (("Q3_K", always),),
    "Q2_K_S": (("Q4_K", part(8)),),
    "Q3_K_M": (("Q5_K", part(16)), ("Q4_K", not_falcon()), ("Q4_K", more)),
    "Q3_K_L": (("Q4_K", falcon()), ("Q5_K", always)),
    "Q4_K_S": (("Q5_K", not_falcon(part(8))),),
    "Q4_K_M": (("Q6_K", falcon(part(16))), ("Q5_K", falcon(more)), ("Q6_K", not_falcon(more))),
    "Q5_K_M": (("Q6_K", more),),
    "IQ4_XS": (("Q5_K", part(8)),),
    "IQ4_NL": (("Q5_K", part(8)),),
    "IQ3_M": (("Q4_K", part(8)), ("Q4_K", more_of_eight)),
    "IQ3_XXS": (("Q4_K", part(8)), ("Q3_K", always)),
    "IQ2_S": (("IQ3_S", part(8)),),
    "IQ2_M": (("IQ3_S", part(8)),),
    "IQ2_XXS": _LOW_DOWN,
    "IQ2_XS": _LOW_DOWN,
    "IQ1_S": _LOW_DOWN,
    "IQ1_M": _LOW_DOWN,
}
OUTPUTS: Mapping[str, Cell] = {
    "Q2_K": (("Q3_K", not_falcon()),),
    "Q3_K_M": (("Q4_K", not_falcon()),),
    "Q3_K_L": (("Q4_K", falcon()), ("Q5_K", always)),
    "IQ3_M": (("Q4_K", not_falcon()),),
    "IQ3_XXS": (("IQ3_S", not_falcon()),),
    "IQ2_S": (("IQ3_S", always),),
    "IQ2_M": (("IQ3_S", always),),
    "IQ1_S": (("IQ2_XXS", always),),
    "IQ1_M": (("IQ2_XXS", always),),
}
QUERIES: Mapping[str, Cell] = {"IQ3_XS": (("IQ3_XXS", always),), "IQ3_XXS": (("IQ2_S", always),)}
GATES: Mapping[str, Cell] = {"IQ3_XS": (("IQ3_XXS", middle),)}
OLD_QKV: Mapping[str, Cell] = {
    "Q3_K_M": (("Q4_K", always),),
    "Q3_K_L": (("Q4_K", always),),
    "IQ3_M": (("Q4_K", always),),
    "Q4_K_M": (("Q5_K", always),),
    "Q5_K_M": (("Q6_K", always),),
}
EMBEDDING = dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"), "Q2_K")
EMBEDDING |= dict.fromkeys(("IQ2_S", "IQ2_M", "IQ3_XXS"), "IQ3_S") | dict.fromkeys(("TQ1_0", "TQ2_0"), "Q4_K")
LOW_BITS = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})
EIGHT_OUTPUT_Q5 = frozenset({"Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M"})
EIGHT_OUTPUT_Q5 |= frozenset({"IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "IQ4_NL", "IQ4_XS"}) | LOW_BITS


def traits_of(model: Model, rewritten: bool = True, split_latent: bool = True, predicting: bool = True) -> Traits:
    """The facts that the rule asks of a model. `predicting`: whether multi-token-prediction layers count as blocks."""
    blocks = model.decoder.blocks
    layers = [layer for block in blocks for layer in block.layers]
    experts = [layer.experts for layer in layers if isinstance(layer, Experts)]
    return Traits(
        blocks=len(blocks) + (len(model.predictors) if predicting and model.family in PREDICTING else 0),
        experts=max(experts, default=1),
        grouped=_grouped(_heads_of_layer_0(model), split_latent),
        falcon=model.family == "falcon",
        seventy=_is_seventy(model),
        rewritten=rewritten,
    )


def _is_seventy(model: Model) -> bool:
    """What llama.cpp calls a 70B: 80 layers of these architectures; Llama only with grouped keys (LLaMA 65B has not)."""
    if len(model.decoder.blocks) != SEVENTY_LAYERS or model.family not in SEVENTY_FAMILIES:
        return False
    layer = model.first(Attention)
    return model.family not in LLAMA_LIKE or (layer is not None and layer.heads != layer.kv_heads)


def _heads_of_layer_0(model: Model) -> Iterable[object]:
    """The layers that decide `grouped`. Files of gated delta nets give one number of key heads for all layers; other
    hybrids give one a layer, which is none for a recurrent one."""
    front = model.decoder.blocks[0].layers
    return [layer for b in model.decoder.blocks for layer in b.layers] if _is_delta(front) else front


def _is_delta(layers: Iterable[object]) -> bool:
    return any(isinstance(layer, GatedDeltaNet) for layer in layers)


def _grouped(layers: Iterable[object], split_latent: bool) -> bool:
    for layer in layers:
        if isinstance(layer, LatentAttention):
            return split_latent and layer.heads >= GROUPED_ENOUGH
        if isinstance(layer, Attention):
            return layer.heads // layer.kv_heads >= GROUPED_ENOUGH
    return False


def stored_types(tensors: Iterable[Stored], file_type: str, traits: Traits, experts: str = "") -> Iterator[tuple[Stored, Format]]:
    """Each tensor of a file with its type. `experts`: the type in which stacked experts stay, whatever the file type."""
    listed = list(tensors)
    rule = _Rule(file_type, traits, listed)
    for one in listed:
        chosen = "F32" if one.floating else rule.type_of(one)
        yield one, FORMATS[experts if experts and one.stacked and not one.floating else chosen]


@dataclass
class _Rule:
    """The rule with its running counters."""

    file_type: str
    traits: Traits
    tensors: list[Stored]
    counts: dict[str, int] = field(default_factory=dict)
    values: int = 0
    has_output: bool = False

    def __post_init__(self) -> None:
        """Counts what the rule compares with."""
        self.values = sum(t.name.removeprefix("cross_") in ("attn_v", "attn_qkv", "attn_kv_b") for t in self.tensors)
        self.has_output = any(t.name == "output" for t in self.tensors)

    @property
    def base(self) -> str:
        """The type that a tensor gets where nothing else is said."""
        return BASE.get(self.file_type, self.file_type)

    def type_of(self, one: Stored) -> str:
        """The type of one tensor; to be asked in the order of the file."""
        if self.file_type in FLOATING:
            return self.file_type
        return fitting(self._chosen(one), one.row)

    def _chosen(self, one: Stored) -> str:
        if one.name.startswith(KEPT_IN_16_BITS):
            return "F16"
        if one.name == "per_layer_token_embd":
            return self._output(one)
        if one.name == "output" or (one.name == "token_embd" and not self.has_output):
            return self._output(one)
        if self.file_type == "MXFP4_MOE":
            return "MXFP4" if one.stacked else "Q8_0"
        if one.name == "token_embd":
            return EMBEDDING.get(self.file_type, self.base)
        return self._inside(one)

    def _output(self, one: Stored) -> str:
        if self.file_type == "MXFP4_MOE" or self.traits.falcon:
            return "Q8_0"
        if one.row % FORMATS[self.base].values:
            return "Q8_0"
        if self.file_type in LOW_BITS or self.file_type == "IQ3_XXS":
            return "Q5_K"
        return "Q8_0" if self.base == "Q8_0" else "Q6_K"

    def _inside(self, one: Stored) -> str:
        name = one.name.removeprefix("cross_").removeprefix("indexer.")
        if name == "attn_v" or (self.traits.rewritten and name in ("attn_qkv", "attn_kv_b")):
            return self._value()
        if name == "attn_qkv":
            return self._cell(OLD_QKV, Place(0, 1, self.traits))
        if name in ("attn_k", "attn_q"):
            return self._query(name)
        if name == "attn_output":
            return self._attention_output()
        if name.startswith("ffn_down"):
            return self._cell(DOWN, self._feed(one, "down"))
        if name.startswith(("ffn_gate", "ffn_up")):
            return self._cell(GATES, self._feed(one, "gate" if name.startswith("ffn_gate") else "up"))
        return self.base

    def _cell(self, column: Mapping[str, Cell], place: Place) -> str:
        for type, holds in column.get(self.file_type, ()):
            if holds(place):
                return type
        return self.base

    def _next(self, kind: str) -> int:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return self.counts[kind] - 1

    def _value(self) -> str:
        type = self._cell(VALUES, Place(self._next("value"), self.values, self.traits))
        if self.file_type in LOW_BITS:
            return type
        if self.traits.seventy and type in ("Q3_K", "Q4_K"):
            type = "Q5_K"
        return "Q8_0" if self.traits.experts == 8 else type

    def _query(self, name: str) -> str:
        if name == "attn_k" and self.traits.experts == 8:
            return "Q4_K" if self.file_type in LOW_BITS else "Q8_0"
        return self._cell(QUERIES, Place(0, 1, self.traits))

    def _attention_output(self) -> str:
        if self.traits.experts == 8 and not self.traits.falcon:
            return "Q5_K" if self.file_type in EIGHT_OUTPUT_Q5 else self.base
        return self._cell(OUTPUTS, Place(0, 1, self.traits))

    def _feed(self, one: Stored, kind: str) -> Place:
        """A running counter in dense models, the block's number where there are experts."""
        i = self._next(kind)
        if self.traits.experts > 1 and self.file_type not in LOW_BITS:
            i = one.block
        return Place(i, self.traits.blocks, self.traits)


def fitting(type: str, row: int) -> str:
    """The type itself where its blocks divide the row, else the one that is put in its place."""
    if row % FORMATS[type].values == 0:
        return type
    other = "IQ4_NL" if type.startswith("IQ") else FALLBACK.get(type, "F16")
    return other if row % FORMATS[other].values == 0 else "F16"
