"""transformers under PyTorch: inference by `generate`, training by `Trainer` on one device.

Source: transformers 5.23, PyTorch 2.13; the course of a step is described in `gauge.memory.step`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from gauge.breakdown import Item, Pool, item, measured, merged
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, FORMATS, format_of
from gauge.layers.linear import Linear
from gauge.memory.collect import layered, stacked
from gauge.memory.roles import component_of, label_of
from gauge.memory.segments import Lengths, Tracer
from gauge.memory.state import cache_formats, state_items
from gauge.memory.step import MOMENTS, Step, gradient_items
from gauge.memory.weights import weight_items
from gauge.model import Model
from gauge.optimizers import OPTIMIZERS
from gauge.plan import Plan
from gauge.quantization import SCHEMES, Scheme
from gauge.sequence import Sequence
from gauge.tape import AdapterPlan, How, Storage
from gauge.tensor import Dim, Tensor
from gauge.units import MIB

CONTEXT = (450 * MIB, 300 * MIB, 620 * MIB)
CONTEXT_SOURCE = "CUDA context and loaded kernels: 0.3 to 0.6 GiB on drivers that load lazily"
WHY_CONTEXT = "The driver's context and the kernels that were loaded; it lives outside PyTorch's allocator."
SLACK_LOW, SLACK_TYPICAL, SLACK_HIGH = 0, 4, 15  # percent of allocated
WHY_SLACK = "The caching allocator keeps whole segments; what it holds beyond live tensors depends on their sizes and order."
WHY_STATES = "What the optimizer remembers of each trained weight between steps."
WHY_TEMPORARY = "Made inside the optimizer step and freed with it."

ATTENTION_TARGETS = {"query", "key", "value", "qkv", "attention_output"}
PREFILL = (("load", "after loading"), ("prefill", "prefill"), ("decode", "last generated token"))


# ---------------------------------------------------------------------------------------------------- inference
def scheme_of(plan: Plan) -> Scheme:
    """The quantization scheme of the plan; GGUF file types belong to llama.cpp."""
    return SCHEMES.get(plan.quantization, SCHEMES["none"])


def lengths(case: Case, tokens: int) -> Lengths:
    """Sequence lengths of the parts: an encoder-decoder reads `sequence_length` and writes `target_length`."""
    plan = case.plan
    if case.model.parts[0].sequence == "source":
        return Lengths(plan.batch_size, plan.target_length or tokens, tokens)
    return Lengths(plan.batch_size, tokens)


def inference(case: Case) -> Breakdown:
    """Weights, cache and the prefill's peak."""
    plan, model = case.plan, case.model
    dtype = FORMATS[plan.dtype]
    scheme = scheme_of(plan)
    resident = list(weight_items(model, lambda t: scheme.stored(t, dtype)))
    cache = state_items(model, _sequence(case), _formats(plan))
    how = How(compute=dtype, grad=False, attention=plan.attention)
    flying = _prefill(case, how)
    pool = Pool("gpu", max(case.cluster.count, 1), (), PREFILL)
    items = [*resident, *(i.at("prefill", "decode") for i in cache), *flying]
    return Breakdown(pools=(finished(replace(pool, items=merged(items))),))


def _sequence(case: Case) -> Sequence:
    where = lengths(case, case.plan.tokens)
    return Sequence(where.batch, where.tokens, where.source, policy=_windowed)


def _windowed(tokens: int, window: int | None, chunk: int | None) -> int:
    """A sliding layer's cache keeps one token less than its window, since the next one joins it."""
    reach = window or chunk
    return tokens if reach is None else min(tokens, reach - 1)


def _formats(plan: Plan) -> object:
    key = format_of(plan.kv_cache_dtype or plan.dtype)
    value = format_of(plan.v_cache_dtype) if plan.v_cache_dtype else None
    return cache_formats(key, value, lambda t: t.format if t.format is FLOAT32 else FORMATS[plan.dtype])


def _prefill(case: Case, how: How) -> Iterator[Item]:
    """The largest operator of the prompt's forward pass."""
    run = Tracer(case.model, how, lengths(case, case.plan.prompt_length or case.plan.tokens)).run(loss=False)
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


# ---------------------------------------------------------------------------------------------------- training
def training(case: Case) -> Breakdown:
    """The moments of one step: load, forward, loss, backward, optimizer step, between steps."""
    plan, model = case.plan, case.model
    how = training_how(case)
    where = lengths(case, plan.tokens)
    adapted_input = how.frozen and plan.gradient_checkpointing != "none"
    run = Tracer(model, how, where, input_grad=adapted_input).run(loss=True)
    weights = list(trained(model, how))
    gradients = tuple((w, n) for w, n in weights)
    step = Step(
        run, plan.gradient_checkpointing == "full", None,
        resident_gradients=gradients if plan.gradient_accumulation > 1 else (),
        keeps_gradients=not plan.optimizer_in_backward,
    )  # fmt: skip
    items = [*_held(case, how), *_states(plan, weights)]
    worst = step.worst()
    for point in worst.values():
        items += step.items(point)
    items += _tied_gradients(model, how, worst)
    if not plan.optimizer_in_backward:
        items += gradient_items(weights, "step")
        items += _temporary(plan, weights)
    moments = tuple(m for m in MOMENTS if m[0] in worst or m[0] in ("load", "step", "between"))
    pool = Pool("gpu", max(case.cluster.count, 1), merged(items), moments)
    if plan.timeline:
        base: dict[str, int] = {}
        for one in pool.items:
            if not one.moments:
                base[one.kind] = base.get(one.kind, 0) + one.bytes
        pool = replace(pool, timeline=step.timeline(base))
    trainable = sum(w.elements * n for w, n in weights)
    return Breakdown(pools=(finished(pool),), trainable=trainable)


def training_how(case: Case) -> How:
    """The circumstances of a training pass under the plan's precision scheme and method."""
    plan = case.plan
    adapters = None
    if plan.method != "full":
        adapters = AdapterPlan(_targets(case), plan.lora_rank, FORMATS[plan.lora_dtype], plan.lora_dropout)
    return How(
        compute=FLOAT32 if plan.precision == "float32" else FORMATS[plan.dtype],
        autocast=plan.precision == "mixed" and plan.dtype != "float32",
        kernels="compiled" if plan.compile else "eager", attention=plan.attention, dropout=plan.dropout,
        adapters=adapters, frozen=adapters is not None,
    )  # fmt: skip


def _targets(case: Case) -> frozenset[str] | None:
    asked = case.plan.lora_targets
    if asked == "all-linear":
        return None
    linears = linear_names(case.model)
    if asked == "attention":
        return frozenset(name for name, role in linears if role in ATTENTION_TARGETS)
    return frozenset(part.strip() for part in asked.split(","))


def linear_names(model: Model) -> set[tuple[str, str]]:
    """(name, role) of every matrix inside the blocks."""
    return {
        (t.name.removesuffix(".weight"), t.role)
        for part in model.parts for block, _ in part.runs() for t in block.weights() if t.name.endswith(".weight")
    }  # fmt: skip


def adapters(model: Model, plan: AdapterPlan) -> Iterator[tuple[Tensor, int]]:
    """The adapters' factors, with the number of layers that own one."""
    for part in model.parts:
        for block, count in part.runs():
            for linear in linears(block):
                if plan.targets is None or linear.name in plan.targets:
                    for factor in linear.adapters(plan.rank):
                        yield replace(factor, format=plan.format), count


def linears(owner: object) -> Iterator[Linear]:
    """Every adaptable linear map inside a block, in order."""
    for layer in getattr(owner, "layers", ()):
        for name in type(layer).__dict__:
            found = getattr(layer, name, None) if isinstance(type(layer).__dict__[name], property) else None
            if isinstance(found, Linear) and found.adaptable and _owned(layer, found):
                yield found


def _owned(layer: object, linear: Linear) -> bool:
    return any(t.name == linear.weight.name for t in layer.weights())  # type: ignore[attr-defined]


def trained(model: Model, how: How) -> Iterator[tuple[Tensor, int]]:
    """Trained weights in the format that they are held in, with the number of layers that own one."""
    if how.adapters is not None:
        yield from adapters(model, how.adapters)
        return
    for tensor, count in model.weights():
        yield replace(tensor, format=how.stored), count


def _held(case: Case, how: How) -> Iterator[Item]:
    """Weights as they are held, and adapters."""
    scheme = scheme_of(case.plan)
    if case.plan.method == "qlora" and scheme.format is None:
        scheme = SCHEMES["bnb-nf4-double"]
    stored = how.stored if how.adapters is None else FORMATS[case.plan.dtype]
    yield from weight_items(case.model, lambda t: scheme.stored(t, stored))
    if how.adapters is not None:
        named = ((replace(t, name="adapter factors A" if "lora_A" in t.name else "adapter factors B"), n) for t, n in adapters(case.model, how.adapters))
        for one in layered(named, case.model.layers):
            yield item("adapters", one, why="Two thin matrices beside each adapted one; only they are trained.")


def _states(plan: Plan, weights: list[tuple[Tensor, int]]) -> Iterator[Item]:
    optimizer = OPTIMIZERS[plan.optimizer]
    states = (
        (state, count)
        for weight, count in weights
        for state in optimizer.states(replace(weight, name=label_of(weight.role, weight.name)))
    )
    for one in stacked(states):
        yield item(f"optimizer_states.{component_of(one.role)}", one, why=WHY_STATES, source=optimizer.source)


def _temporary(plan: Plan, weights: list[tuple[Tensor, int]]) -> Iterator[Item]:
    made = OPTIMIZERS[plan.optimizer].temporary(weights)
    if made is not None:
        yield item("workspace", made, why=WHY_TEMPORARY, source=OPTIMIZERS[plan.optimizer].source, moments=("step",))


def _tied_gradients(model: Model, how: How, worst: dict[str, object]) -> Iterator[Item]:
    """A tied matrix gets two gradients, from the head and from the embedding; their sum is a third tensor."""
    if not model.tied or how.frozen or "backward_end" not in worst:
        return
    table = next((t for t, _ in model.weights() if t.role == "token_embedding"), None)
    if table is not None:
        extra = replace(table, name="second gradient of the tied embedding and their sum", format=how.stored)
        yield item("workspace", extra.times(Dim.COPIES, 2), why="Autograd adds the two gradients of a tied weight out of place.", moments=("backward_end",))


# ---------------------------------------------------------------------------------------------------- device
def finished(pool: Pool) -> Pool:
    """Adds what lies outside live tensors: the allocator's slack and the driver's context, each with its range."""
    live = pool.allocated
    slack = (
        measured("framework.allocator", "allocator slack", live * SLACK_TYPICAL // 100, live * SLACK_LOW // 100, live * SLACK_HIGH // 100,
                 why=WHY_SLACK, source="PyTorch caching allocator: 2 MiB segments, 20 MiB for blocks up to 10 MiB", scope="reserved"),
        measured("framework.context", "CUDA context", *CONTEXT, why=WHY_CONTEXT, source=CONTEXT_SOURCE),
    )  # fmt: skip
    return replace(pool, items=(*pool.items, *slack))


RUNTIMES = (
    Runtime(
        id="transformers", label="transformers (PyTorch)", tasks=("inference",), breakdown=inference,
        uses=frozenset({"quantization", "attention", "prompt_length", "target_length", "kv_cache_dtype", "v_cache_dtype", "logits", "image_size"}),
    ),
    Runtime(
        id="transformers", label="transformers Trainer", tasks=("training",), breakdown=training,
        uses=frozenset({
            "quantization", "attention", "target_length", "image_size", "method", "lora_rank", "lora_targets", "lora_dropout",
            "lora_dtype", "precision", "optimizer", "optimizer_in_backward", "gradient_checkpointing", "gradient_accumulation",
            "loss", "loss_chunk_tokens", "compile", "dropout", "timeline",
        }),
    ),
)  # fmt: skip

