"""transformers' Trainer under PyTorch on one device: full fine-tuning, LoRA, QLoRA.

Source: transformers 5.23, PyTorch 2.13; the course of a step is described in `gauge.memory.step`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gauge.breakdown import Event, Item, Pool, item, merged
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, FORMATS
from gauge.memory.adapters import adapters, targets_of
from gauge.memory.collect import layered, stacked
from gauge.memory.overhead import finished
from gauge.memory.roles import component_of, label_of
from gauge.memory.segments import INPUTS, Pass, Tracer, lengths
from gauge.memory.step import COURSE, MOMENTS, Gradients, Step, gradient_items
from gauge.memory.weights import buffer_items, weight_items
from gauge.model import Model
from gauge.optimizers import OPTIMIZERS
from gauge.plan import Plan
from gauge.quantization import SCHEMES, Scheme, scheme_of
from gauge.tape import AdapterPlan, How
from gauge.tensor import Tensor

WHY_STATES = "What the optimizer remembers of each trained weight between steps."
WHY_MASTER = "The float32 copy that the optimizer updates; the 16-bit weights are rounded from it."
STATEFUL = tuple(m for m, _ in MOMENTS if m not in ("load", "first"))
WHY_TEMPORARY = "Made inside the optimizer step and freed with it."


def training(case: Case) -> Breakdown:
    """The moments of one step: load, forward, loss, backward, optimizer step, between steps."""
    plan, model = case.plan, case.model
    how = training_how(case)
    recompute = plan.gradient_checkpointing == "full"
    run = Tracer(model, how, lengths(model, plan, plan.tokens), how.frozen and recompute, recompute).run(loss=True)
    step = Step(run, plan.gradient_checkpointing, gradients_of(plan), tied=model.tied, offload=plan.activation_offload)
    weights = list(adapters(run)) if how.adapters else list(trained(model, how))
    worst = step.worst()
    items = [*_held(case, how, weights), *_states(plan, weights)]
    for point in worst.values():
        items += step.items(point)
    stateful = bool(worst) and any(i.kind == "optimizer_states" for i in items)
    if stateful:
        items += step.items(max(worst.values(), key=lambda p: p.bytes), "first")
    items += _inputs(run)
    if not plan.optimizer_in_backward:
        items += gradient_items(kept_gradients(step, weights), "step")
        items += _temporary(plan, weights)
    moments = tuple(m for m in MOMENTS if m[0] in worst or (m[0] not in COURSE and (m[0] != "first" or stateful)))
    pool = finished(Pool("gpu", max(case.cluster.count, 1), merged(items), moments))
    if plan.timeline:
        pool = replace(pool, timeline=course(pool, step))
    trainable = sum(w.elements * n for w, n in weights)
    host = tuple(step.host())
    pools = (pool, Pool("host", 1, host, (("step", "training step"),))) if host else (pool,)
    return Breakdown(pools=pools, trainable=trainable)


def gradients_of(plan: Plan) -> Gradients:
    """How this plan keeps gradients."""
    if plan.optimizer_in_backward:
        optimizer = OPTIMIZERS[plan.optimizer]
        return Gradients(kept=lambda w: None, used=lambda w: [t for t in (optimizer.temporary([(w, 1)]),) if t])
    if plan.precision == "master":
        return Gradients(kept=lambda w: replace(w, format=FLOAT32), resident=plan.gradient_accumulation > 1)
    return Gradients(resident=plan.gradient_accumulation > 1)


def kept_gradients(step: Step, weights: list[tuple[Tensor, int]]) -> Iterator[tuple[Tensor, int]]:
    """What is kept of every trained weight's gradient; what forward did not use gets none."""
    for weight, count in weights:
        kept = step.gradients.kept(weight)
        if kept is not None:
            yield kept, count


def course(pool: Pool, step: Step) -> tuple[Event, ...]:
    """The step from event to event: loading, every layer forward and backward, the optimizer step, after it."""

    def split(moment: str, *skip: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for one in pool.alive(moment):
            if not skip or not one.moments or set(one.moments) >= set(skip):
                sums[one.kind] = sums.get(one.kind, 0) + one.bytes
        return sums

    base = split("between")
    last = (Event("optimizer step", None, split("step")), Event("between steps", None, base))
    return (Event("between steps", None, base), *step.timeline(base), *last)


def _inputs(run: Pass) -> Iterator[Item]:
    """Pictures and sound stay with the caller until the step is over."""
    for name in INPUTS:
        if name in run.shared:
            held = run.shared[name].storage.tensor
            yield item("activations", held, why="The batch, held until the step is over.", moments=("step",))


def training_how(case: Case) -> How:
    """The circumstances of a training pass under the plan's precision scheme and method."""
    plan = case.plan
    adapters = None
    if plan.method != "full":
        adapters = AdapterPlan(
            targets_of(case.model, plan.lora_targets), plan.lora_rank, FORMATS[plan.lora_dtype], plan.lora_dropout
        )
    return How(
        compute=FLOAT32 if plan.precision == "float32" else FORMATS[plan.dtype],
        autocast=plan.precision == "mixed" and plan.dtype != "float32",
        kernels="compiled" if plan.compile else "eager",
        attention=plan.attention,
        dropout=plan.dropout,
        adapters=adapters,
        frozen=adapters is not None,
        quantized=storage_scheme(plan).format is not None,
        version=plan.runtime_version,
        loss=plan.loss,
        loss_chunk=plan.loss_chunk_tokens or 0,
    )


def storage_scheme(plan: Plan) -> Scheme:
    """How the weights are stored: QLoRA without a further word means NF4 with double quantization."""
    scheme = scheme_of(plan.quantization)
    return SCHEMES["bnb-nf4-double"] if plan.method == "qlora" and scheme.format is None else scheme


def trained(model: Model, how: How) -> Iterator[tuple[Tensor, int]]:
    """Trained weights in the format that they are held in, with the number of layers that own one."""
    for tensor, count in model.weights():
        if tensor.trainable:
            yield replace(tensor, format=how.stored), count


def _held(case: Case, how: How, weights: list[tuple[Tensor, int]]) -> Iterator[Item]:
    """Weights as they are held, and adapters."""
    scheme = storage_scheme(case.plan)
    yield from weight_items(case.model, lambda t: scheme.stored(t, how.stored))
    yield from buffer_items(case.model, how.stored)
    if how.adapters is not None:
        named = ((replace(t, name="adapter factors A" if "lora_A" in t.name else "adapter factors B"), n) for t, n in weights)
        for one in layered(named, case.model.layers):
            yield item("adapters", one, why="Two thin matrices beside each adapted one; only they are trained.")
    if case.plan.precision == "master" and how.adapters is None:
        for one in layered(((replace(t, format=FLOAT32), n) for t, n in weights), case.model.layers):
            yield item("master_weights", one, f"{one.name}, master", why=WHY_MASTER)


def _states(plan: Plan, weights: list[tuple[Tensor, int]]) -> Iterator[Item]:
    optimizer = OPTIMIZERS[plan.optimizer]
    states = (
        (state, count)
        for weight, count in weights
        for state in optimizer.states(replace(weight, name=label_of(weight.role, weight.name)))
    )
    for one in stacked(states):
        yield item(
            f"optimizer_states.{component_of(one.role)}",
            one,
            why=WHY_STATES,
            source=optimizer.source,
            moments=STATEFUL,
        )


def _temporary(plan: Plan, weights: list[tuple[Tensor, int]]) -> Iterator[Item]:
    made = OPTIMIZERS[plan.optimizer].temporary(weights)
    if made is not None:
        yield item("workspace", made, why=WHY_TEMPORARY, source=OPTIMIZERS[plan.optimizer].source, moments=("step",))


RUNTIMES = (
    Runtime(
        id="transformers",
        label="transformers Trainer",
        tasks=("training",),
        breakdown=training,
        uses=frozenset(
            {
                "quantization",
                "attention",
                "target_length",
                "image_size",
                "method",
                "lora_rank",
                "lora_targets",
                "lora_dropout",
                "lora_dtype",
                "precision",
                "optimizer",
                "optimizer_in_backward",
                "gradient_checkpointing",
                "gradient_accumulation",
                "loss",
                "loss_chunk_tokens",
                "compile",
                "dropout",
                "timeline",
            }
        ),
    ),
)
