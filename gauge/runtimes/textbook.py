"""The rules of thumb that people learn first, for any model. Kept as they are taught, so that they can be compared.

weights = parameters × bytes; KV cache = 2 × batch × sequence × layers × hidden × bytes;
activations = batch × sequence × hidden × (34 + 5 × sequence × heads / hidden) × bytes;
AdamW 8 bytes a parameter, 8-bit AdamW 2, SGD 4; gradients 4 bytes a parameter.
"""

from __future__ import annotations

from gauge.breakdown import Factor, Item, Pool, made
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FORMATS, Format
from gauge.layers.attention import Attention
from gauge.quantization import SCHEMES
from gauge.units import ceil_div

SOURCE = "rule of thumb, as it is taught"
SOURCE_ACTIVATIONS = (
    "rule of thumb; its bracket is that of arXiv 2205.05198, equation 1, which counts bytes of one layer in 16 bits"
)
STATE_BYTES = {
    "adamw": 8,
    "adamw-fused": 8,
    "adamw-loop": 8,
    "adamw-8bit": 2,
    "adamw-paged-8bit": 2,
    "sgd": 4,
    "none": 0,
}
STATE_BYTES_OTHERWISE = 8
GRADIENT_BYTES = 4

WHY = {
    "weights": "Counts every parameter at one width; scales, zero points and layers kept in 16 bits are left out.",
    "kv_cache": "Takes the hidden size for keys and values: wrong under grouped-query or latent attention, "
    "windows and recurrent layers.",
    "activations": "The bracket already counts the bytes that training keeps of one layer of GPT's kind in 16 bits, "
    "with composed attention and dropout. The rule multiplies them by the width once more, and not by the layers.",
    "optimizer_states": "Counts states alone; the step's temporaries are left out.",
    "gradients": "Counts 4 bytes whatever the precision scheme.",
}


def _item(component: str, factors: tuple[Factor, ...], size: int) -> Item:
    return Item(
        component=component,
        label=f"{component.replace('_', ' ')} by the rule of thumb",
        bytes=size,
        low=size,
        high=size,
        certainty="policy",
        factors=factors,
        why=WHY[component],
        source=SOURCE_ACTIVATIONS if component == "activations" else SOURCE,
        code=made(),
    )


def _stored(case: Case) -> Format:
    scheme = SCHEMES.get(case.plan.quantization)
    if scheme and scheme.format:
        return scheme.format
    return FORMATS["int4"] if case.plan.quantization.startswith(("Q4", "IQ4")) else FORMATS[case.plan.dtype]


def weights(parameters: int, format: Format) -> Item:
    """parameters × bytes."""
    factors = [Factor("parameters", parameters)]
    if format.values > 1:
        factors.append(Factor("values a block", format.values, divides=True))
    factors.append(Factor("bytes", format.bytes))
    size = parameters * format.bytes
    if size % format.values:
        factors = [Factor("blocks", ceil_div(parameters, format.values)), Factor("bytes", format.bytes)]
    return _item("weights", tuple(factors), format.size(parameters))


def kv_cache(batch: int, tokens: int, layers: int, hidden: int, width: int) -> Item:
    """2 × batch × sequence × layers × hidden × bytes."""
    names = ("keys and values", "batch", "tokens", "layers", "hidden", "bytes")
    return _product("kv_cache", names, (2, batch, tokens, layers, hidden, width))


def activations(batch: int, tokens: int, hidden: int, heads: int, width: int) -> Item:
    """batch × sequence × hidden × (34 + 5 × sequence × heads / hidden) × bytes."""
    bracket = 34 * hidden + 5 * tokens * heads
    names = ("batch", "tokens", "34 × hidden + 5 × tokens × heads", "bytes")
    return _product("activations", names, (batch, tokens, bracket, width))


def _product(component: str, names: tuple[str, ...], numbers: tuple[int, ...]) -> Item:
    size = 1
    for number in numbers:
        size *= number
    return _item(component, tuple(Factor(n, v) for n, v in zip(names, numbers, strict=True)), size)


def optimizer(parameters: int, name: str) -> Item:
    """8, 4 or 2 bytes a parameter."""
    return _product("optimizer_states", ("parameters", "bytes"), (parameters, STATE_BYTES.get(name, STATE_BYTES_OTHERWISE)))


def gradients(parameters: int) -> Item:
    """4 bytes a parameter, always."""
    return _product("gradients", ("parameters", "bytes"), (parameters, GRADIENT_BYTES))


def breakdown(case: Case) -> Breakdown:
    """Inference is weights + cache + activations; training adds optimizer and gradients."""
    plan, model = case.plan, case.model
    width = FORMATS[plan.dtype].bytes
    attention = model.first(Attention)
    heads = attention.heads if attention else 0
    items = [
        weights(model.parameters, _stored(case)),
        kv_cache(plan.batch_size, plan.tokens, model.layers, model.hidden, width),
        activations(plan.batch_size, plan.tokens, model.hidden, heads, width),
    ]
    if plan.training:
        items += [optimizer(model.parameters, plan.optimizer), gradients(model.parameters)]
    moments = (("peak", "the sum of all parts"),)
    pool = Pool("gpu", max(case.cluster.count, 1), tuple(items), moments)
    return Breakdown(pools=(pool,))


RUNTIMES = (
    Runtime(
        id="textbook",
        label="Rule of thumb",
        tasks=("inference", "training"),
        breakdown=breakdown,
        uses=frozenset({"quantization", "optimizer"}),
        source=SOURCE,
    ),
)
