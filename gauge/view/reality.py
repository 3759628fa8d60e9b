"""Measured runs near the question, each beside what is computed for its own settings: how far to trust the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from gauge.measured import Run
from gauge.view.derivation import source
from gauge.view.figures import MINUS, NBSP, Scale
from gauge.view.html import Markup, join, tag, uncapital

FIGURES = {
    "gpu.allocated": "peak of its tensors",
    "gpu.reserved": "reserved at the peak",
    "gpu.device": "used on the device",
    "gpu.weights": "weights",
    "gpu.kv_cache": "KV cache",
    "capacity.kv_pool_tokens": "room in the cache",
}
SETTINGS = ("method", "quantization", "device", "batch_size", "sequence_length", "tensor_parallel", "gradient_checkpointing")


def table(
    found: Sequence[tuple[Run, float | None]], titles: Mapping[str, str], labels: Mapping[str, str], scale: Scale
) -> Markup:
    """The runs with what was measured and what is computed; `titles` names models, `labels` fields."""
    if not found:
        return tag("p", "No measured run of this runtime is in the collection yet.", class_="quiet")
    heads = (("Measured run", ""), ("Measured", "n"), ("Computed", "n"), ("Off by", "n"))
    return tag(
        "table",
        tag("caption", "The nearest published measurements, and what is computed here and now for their settings"),
        tag("thead", tag("tr", [tag("th", text, scope="col", class_=kind or None) for text, kind in heads])),
        tag("tbody", [_row(run, said, titles, labels, scale) for run, said in found]),
        class_="reality",
    )


def _row(run: Run, said: float | None, titles: Mapping[str, str], labels: Mapping[str, str], scale: Scale) -> Markup:
    model = str(run.request.get("model"))
    what = join(
        tag("a", titles.get(model, model), href=address(run.request)),
        tag("small", join(settings(run.request, labels), "; ", FIGURES.get(run.of, run.of), ". ", source(run.source) or "")),
    )
    off = "" if said is None else percent_off(said, run.value)
    return tag(
        "tr",
        tag("th", what, scope="row"),
        tag("td", amount(run, run.value, scale), class_="n num"),
        tag("td", "not computed" if said is None else amount(run, round(said), scale), class_="n num"),
        tag("td", off, class_="n num"),
    )


def settings(request: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The settings of a run in words, those that it names."""
    told = [(labels.get(name, name), request[name]) for name in SETTINGS if request.get(name) not in (None, "none")]
    return ", ".join(f"{uncapital(label)} {format(value, ',' if isinstance(value, int) else '')}" for label, value in told)


def amount(run: Run, value: int, scale: Scale) -> str:
    """A measured or computed value with its unit."""
    return f"{value:,}{NBSP}tokens" if run.unit == "tokens" else scale.near(value, finer=0)


def percent_off(said: float, measured: int) -> str:
    """The error with its sign: `+1.2 %`."""
    tenths = round((said - measured) * 1000 / measured)
    sign = "+" if tenths > 0 else MINUS if tenths < 0 else ""
    return f"{sign}{abs(tenths) / 10:.1f}{NBSP}%"


def address(request: Mapping[str, Any]) -> str:
    """The fragment that opens a run's own settings in the calculator."""
    return "#v=1&" + "&".join(f"{quote(name)}={quote(str(value), safe='/,')}" for name, value in request.items())
