"""The rule of thumb beside the exact estimate: row by row how far it is off, and why.

The reasons follow from the two answers and the model's own shape; none of them is typed for a particular model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gauge.view import palette
from gauge.view.breakdown import swatch
from gauge.view.figures import MINUS, NBSP
from gauge.view.html import Markup, join, tag
from gauge.view.reading import Json, Reading

PLUS = "+"


@dataclass(frozen=True, slots=True)
class Pair:
    """One component in both estimates, in bytes at each one's own peak; `steps` is the exact one as the table shows it."""

    component: str
    thumb: int
    exact: int
    steps: int


def compare(thumb: Reading, exact: Reading) -> Markup:
    """The table of both and the sentence that sums it up; `thumb` is the textbook's answer to the same question."""
    pairs = _pairs(thumb, exact)
    scale = exact.scale
    real = [p.steps for p in pairs]
    # NOTE: rows that are equal in bytes are to be equal as shown, whatever the rounding of their columns.
    alike = [n if p.thumb == p.exact else None for p, n in zip(pairs, real, strict=True)]
    shown = (scale.rows([p.thumb for p in pairs], alike), real)
    rows = [_row(exact, pair, a, b) for pair, a, b in zip(pairs, *shown, strict=True)]
    total = [sum(s) for s in shown]
    return join(
        tag("p", _summary(exact, total[0], total[1]), class_="lead"),
        tag(
            "table",
            tag(
                "caption",
                "The same question by the rule of thumb and exactly, each at its own peak, without what an engine reserves",
            ),
            tag(
                "thead",
                tag(
                    "tr",
                    tag("th", "Component", scope="col"),
                    tag("th", "Rule of thumb", scope="col", class_="n"),
                    tag("th", "Exact", scope="col", class_="n"),
                    tag("th", "Off by", scope="col", class_="n"),
                ),
            ),
            [tag("tbody", row, class_=f"c-{palette.group_of(pair.component).id}") for pair, row in zip(pairs, rows, strict=True)],
            tag(
                "tfoot",
                tag(
                    "tr",
                    tag("th", "Total", scope="row"),
                    tag("td", scale.text(total[0]), class_="n num"),
                    tag("td", scale.text(total[1]), class_="n num"),
                    tag("td", _signed(exact, total[0] - total[1]), class_="n num"),
                    class_="total",
                ),
            ),
            class_="thumb",
        ),
        tag(
            "p",
            tag("button", "Put both side by side", type="button", data_compare='{"runtime":"textbook"}'),
            class_="row",
        ),
    )


def _pairs(thumb: Reading, exact: Reading) -> list[Pair]:
    sums: tuple[dict[str, int], dict[str, int]] = ({}, {})
    steps: dict[str, int] = {}
    for found, shown in zip(sums, (thumb, exact), strict=True):
        for row in shown.rows_of(shown.pool, str(shown.pool["peak"])):
            name = palette.kind(row.component)
            if name == palette.RESERVE:
                continue
            found[name] = found.get(name, 0) + row.size
            if shown is exact:
                steps[name] = steps.get(name, 0) + row.steps
    names = sorted(sums[0].keys() | sums[1].keys(), key=palette.place)
    return [Pair(name, sums[0].get(name, 0), sums[1].get(name, 0), steps.get(name, 0)) for name in names]


def _row(exact: Reading, pair: Pair, thumb: int, real: int) -> Markup:
    """The figures, and under them why they differ."""
    scale = exact.scale
    group = palette.group_of(pair.component)
    line = tag(
        "tr",
        tag("th", swatch(group), palette.COMPONENTS.get(pair.component, pair.component), scope="row"),
        tag("td", scale.text(thumb) if pair.thumb else tag("span", "left out", class_="quiet"), class_="n"),
        tag("td", scale.text(real) if pair.exact else tag("span", "none", class_="quiet"), class_="n"),
        tag("td", _signed(exact, thumb - real), class_="n num"),
        class_="figures",
    )
    return join(line, tag("tr", tag("td", reason(exact, pair), colspan="4"), class_="because"))


def _signed(exact: Reading, steps: int) -> str:
    if steps == 0:
        return f"0{NBSP}{exact.scale.name}"
    return (PLUS if steps > 0 else MINUS) + exact.scale.text(abs(steps))


def _summary(exact: Reading, thumb: int, real: int) -> str:
    if real <= 0:
        return "There is nothing to compare."
    if thumb * 100 in range(real * 98, real * 102 + 1):
        return "Here the rule of thumb comes within 2 % of the exact sum. Its rows may still be wrong in opposite directions."
    word = "too much" if thumb > real else "too little"
    factor = thumb / real if thumb > real else real / max(thumb, 1)
    how = f"{factor:.1f} times" if factor >= 1.5 else f"{abs(thumb - real) * 100 // real}{NBSP}%"
    if factor >= 1.5:
        return f"Here {'the rule of thumb says' if thumb > real else 'the real sum is'} {how} what {OTHER[thumb > real]}."
    return f"Here the rule of thumb says {how} {word}."


OTHER = {True: "is needed", False: "the rule of thumb says"}


def reason(exact: Reading, pair: Pair) -> str:
    """Why the rule of thumb differs on one component, in one or two short sentences."""
    if pair.thumb == pair.exact:
        return "Right."
    explain = REASONS.get(pair.component)
    return explain(exact, pair) if explain else "The rule of thumb does not know this row."


def _weights(exact: Reading, pair: Pair) -> str:
    request = exact.request
    if request.get("quantization") not in (None, "none"):
        return "Quantized weights carry scales, and some tensors stay in 16 bits; the rule multiplies parameters by a flat size."
    if request.get("task") == "training" and pair.exact > pair.thumb:
        return "Under mixed precision the weights are held in float32; the rule counts them in the compute type."
    if pair.exact < pair.thumb:
        return "One device holds only its share of the weights; the rule puts all of them on one device."
    return "Parameters times bytes, but with every tensor's own format and padding."


def _cache(exact: Reading, pair: Pair) -> str:
    if pair.exact == 0:
        return (
            "This model keeps no keys and values here."
            if exact.request.get("task") != "training"
            else "Training keeps no KV cache; the rule adds one."
        )
    if pair.exact < pair.thumb:
        ratio = pair.thumb / pair.exact
        return (
            "The rule caches the whole hidden width for every layer and token. This model caches "
            f"{ratio:.1f} times less: fewer key/value heads than "
            "query heads, windows or a compressed cache, split over devices."
        )
    return "The cache is allotted in whole blocks or for the engine's whole share, not only for these tokens."


def _activations(exact: Reading, pair: Pair) -> str:
    if exact.request.get("task") != "training":
        return (
            "The rule's 34 bytes a token and its attention square are what training keeps for one layer. "
            "Inference keeps nothing for a backward pass; "
            "its largest layer lives for a moment."
        )
    if pair.exact == 0:
        return "At the peak no activation is alive any more; the rule adds them to everything else."
    if pair.exact > pair.thumb:
        return "The rule counts one layer; every layer keeps what its backward pass needs."
    return (
        "A fused attention kernel never stores the sequence-by-sequence scores that the rule counts, "
        "and recomputation keeps less."
    )


def _logits(exact: Reading, pair: Pair) -> str:
    return "Tokens times vocabulary, which the rule leaves out; with a large vocabulary and the float32 loss it can be the peak."


def _gradients(exact: Reading, pair: Pair) -> str:
    if exact.request.get("method") in {"lora", "qlora"} or _trains_part(exact):
        return "Only trained parameters have gradients; the rule gives every parameter one."
    if pair.exact == 0:
        return "At the peak no gradient is alive; the rule adds them to everything else."
    return "The rule takes 4 bytes a parameter; here gradients have their own type, their share of the devices and their moment."


def _optimizer(exact: Reading, pair: Pair) -> str:
    if exact.request.get("method") in {"lora", "qlora"} or _trains_part(exact):
        return "Only trained parameters have optimizer states; the rule gives every parameter some."
    return (
        "The rule's flat bytes a parameter miss this optimizer's real states, their block scales or their share of the devices."
    )


def _trains_part(exact: Reading) -> bool:
    model: Json = exact.answer.get("model") or {}
    return 0 < int(model.get("trainable_parameters") or 0) < int(model.get("parameters") or 0)


def _constant(text: str) -> Any:
    return lambda exact, pair: text


REASONS: Mapping[str, Any] = {
    "weights": _weights,
    "kv_cache": _cache,
    "activations": _activations,
    "logits": _logits,
    "gradients": _gradients,
    "optimizer_states": _optimizer,
    "master_weights": _constant("A float32 copy of 16-bit weights; the rule leaves it out."),
    "adapters": _constant("The low-rank adapters themselves; the rule does not know them."),
    "recurrent_state": _constant("Recurrent layers keep a state of fixed size; the rule knows only keys and values."),
    "workspace": _constant("Scratch that kernels, the optimizer step or the engine's buffers need; the rule leaves it out."),
    "communication": _constant("Buffers of the communication library; the rule knows one device."),
    "cuda_graphs": _constant("Captured graphs keep their own memory; the rule leaves it out."),
    "framework": _constant(
        "The device context and libraries take memory before the first tensor, and the allocator keeps some beyond its "
        "tensors; the rule leaves both out."
    ),
    "slack": _constant("What the allocator keeps beyond its tensors; the rule leaves it out."),
}
