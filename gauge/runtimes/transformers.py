"""transformers under PyTorch: inference by `generate` on one device.

Source: transformers 5.23, PyTorch 2.13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from gauge.breakdown import Item, Pool, item, merged
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, FORMATS, Format, format_of
from gauge.memory.collect import stacked
from gauge.memory.overhead import finished
from gauge.memory.segments import Tracer, lengths
from gauge.memory.state import cache_formats, state_items
from gauge.memory.weights import weight_items
from gauge.plan import Plan
from gauge.quantization import scheme_of
from gauge.sequence import Sequence
from gauge.tape import How, Storage
from gauge.tensor import Dim, Tensor

PREFILL = (("load", "after loading"), ("prefill", "prefill"), ("decode", "last generated token"))


def inference(case: Case) -> Breakdown:
    """Weights, cache and the prefill's peak."""
    plan, model = case.plan, case.model
    dtype = FORMATS[plan.dtype]
    scheme = scheme_of(plan.quantization)
    resident = list(weight_items(model, lambda t: scheme.stored(t, dtype)))
    cache = state_items(model, _sequence(case), _formats(plan))
    how = How(compute=dtype, grad=False, attention=plan.attention)
    flying = _prefill(case, how)
    pool = Pool("gpu", max(case.cluster.count, 1), (), PREFILL)
    items = [*resident, *(i.at("prefill", "decode") for i in cache), *flying]
    return Breakdown(pools=(finished(replace(pool, items=merged(items))),))


def _sequence(case: Case) -> Sequence:
    where = lengths(case.model, case.plan, case.plan.tokens)
    return Sequence(where.batch, where.tokens, where.source, policy=_windowed)


def _windowed(tokens: int, window: int | None, chunk: int | None) -> int:
    """A sliding layer's cache keeps one token less than its window, since the next one joins it."""
    reach = window or chunk
    return tokens if reach is None else min(tokens, reach - 1)


def _formats(plan: Plan) -> Callable[[Tensor], Format]:
    key = format_of(plan.kv_cache_dtype or plan.dtype)
    value = format_of(plan.v_cache_dtype) if plan.v_cache_dtype else None
    return cache_formats(key, value, lambda t: t.format if t.format is FLOAT32 else FORMATS[plan.dtype])


def _prefill(case: Case, how: How) -> Iterator[Item]:
    """The largest operator of the prompt's forward pass."""
    run = Tracer(case.model, how, lengths(case.model, case.plan, case.plan.prompt_length or case.plan.tokens)).run(
        loss=False
    )
    embedded = [s.trace.results[0].storage for s in run.segments if s.name == "embeddings"]
    worst: tuple[int, tuple[Storage, ...]] = (0, ())
    for segment in run.segments:
        kept = embedded if segment.name not in ("embeddings", "head") else []
        for moment in segment.trace.forward:
            size = moment.bytes + sum(s.size for s in kept)
            if size > worst[0]:
                worst = (size, (*moment.alive, *kept))
    shared = tuple(v.storage for v in run.shared.values())
    yield from activation_items([(s.tensor, 1) for s in (*worst[1], *shared)], "prefill")


def activation_items(tensors: Iterable[tuple[Tensor, int]], moment: str) -> Iterator[Item]:
    """Activations of one moment; what has a vocabulary dimension is logits."""
    for one in stacked(tensors):
        kind = "logits" if any(e.dim is Dim.VOCAB for e in one.dims) else "activations"
        yield item(kind, one, why="Alive while the prompt passes through this layer.", moments=(moment,))


RUNTIMES = (
    Runtime(
        id="transformers",
        label="transformers (PyTorch)",
        tasks=("inference",),
        breakdown=inference,
        uses=frozenset(
            {
                "quantization",
                "attention",
                "prompt_length",
                "target_length",
                "kv_cache_dtype",
                "v_cache_dtype",
                "logits",
                "image_size",
            }
        ),
    ),
)
