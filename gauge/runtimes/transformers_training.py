"""transformers' Trainer under PyTorch on one device: full fine-tuning, LoRA, QLoRA.

Source: transformers 5.23, PyTorch 2.13; the course of a step is described in `gauge.memory.step`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from gauge.breakdown import Item, Pool, item, merged
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, FORMATS
from gauge.memory.adapters import adapters, targets_of
from gauge.memory.collect import layered, stacked
from gauge.memory.overhead import finished
from gauge.memory.roles import component_of, label_of
from gauge.memory.segments import INPUTS, Pass, Tracer, lengths
from gauge.memory.step import MOMENTS, Step, gradient_items
from gauge.memory.weights import buffer_items, weight_items
from gauge.model import Model
from gauge.optimizers import OPTIMIZERS
from gauge.plan import Plan
from gauge.quantization import SCHEMES, scheme_of
from gauge.tape import AdapterPlan, How
from gauge.tensor import Dim, Tensor

WHY_STATES = "What the optimizer remembers of each trained weight between steps."
WHY_TEMPORARY = "Made inside the optimizer step and freed with it."


def training(case: Case) -> Breakdown:
    """The moments of one step: load, forward, loss, backward, optimizer step, between steps."""
    plan, model = case.plan, case.model
    how = training_how(case)
    where = lengths(model, plan, plan.tokens)
    adapted_input = how.frozen and plan.gradient_checkpointing != "none"
    run = Tracer(model, how, where, input_grad=adapted_input).run(loss=True)
    weights = list(trained(model, how))
    gradients = tuple((w, n) for w, n in weights)
    step = Step(
        run,
        plan.gradient_checkpointing == "full",
        None,
        resident_gradients=gradients if plan.gradient_accumulation > 1 else (),
        keeps_gradients=not plan.optimizer_in_backward,
    )
    items = [*_held(case, how), *_states(plan, weights)]
    worst = step.worst()
    for point in worst.values():
        items += step.items(point)
    items += _tied_gradients(model, how, worst)
    if not plan.optimizer_in_backward:
        items += gradient_items(weights, "step")
        items += _inputs(run)
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
    )


def trained(model: Model, how: How) -> Iterator[tuple[Tensor, int]]:
    """Trained weights in the format that they are held in, with the number of layers that own one."""
    if how.adapters is not None:
        yield from adapters(model, how.adapters)
        return
    for tensor, count in model.weights():
        if tensor.trainable:
            yield replace(tensor, format=how.stored), count


def _held(case: Case, how: How) -> Iterator[Item]:
    """Weights as they are held, and adapters."""
    scheme = scheme_of(case.plan.quantization)
    if case.plan.method == "qlora" and scheme.format is None:
        scheme = SCHEMES["bnb-nf4-double"]
    stored = how.stored if how.adapters is None else FORMATS[case.plan.dtype]
    yield from weight_items(case.model, lambda t: scheme.stored(t, stored))
    yield from buffer_items(case.model, stored)
    if how.adapters is not None:
        named = (
            (replace(t, name="adapter factors A" if "lora_A" in t.name else "adapter factors B"), n)
            for t, n in adapters(case.model, how.adapters)
        )
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


def _tied_gradients(model: Model, how: How, worst: Mapping[str, object]) -> Iterator[Item]:
    """A tied matrix gets two gradients, from the head and from the embedding; their sum is a third tensor."""
    if not model.tied or how.frozen or "backward_end" not in worst:
        return
    table = next((t for t, _ in model.weights() if t.role == "token_embedding"), None)
    if table is not None:
        extra = replace(table, name="second gradient of the tied embedding and their sum", format=how.stored)
        yield item(
            "workspace",
            extra.times(Dim.COPIES, 2),
            why="Autograd adds the two gradients of a tied weight out of place.",
            moments=("backward_end",),
        )


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
