"""What trainers on many devices have in common: split tensors, sharded model states, pipeline stages.

A trainer subclasses `Sharded` with its habits. One device is computed for each kind of pipeline stage; the cost does not
grow with the number of devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from gauge.breakdown import Item, item
from gauge.case import Breakdown, Case, check_divides
from gauge.errors import RequestError
from gauge.formats import FLOAT32, Format
from gauge.how import How
from gauge.layers.attention import Attention
from gauge.layers.experts import Experts
from gauge.layers.mlp import MLP
from gauge.memory.adapters import adapters
from gauge.memory.collect import layered, stacked
from gauge.memory.optimizer import state_items
from gauge.memory.pipeline import Schedule
from gauge.memory.sharding import Shards, elements_by_format, mesh_of, reduced, rules_of, weight_rules
from gauge.memory.stages import Stage, stages
from gauge.memory.step import COURSE, Gradients, Step
from gauge.memory.weights import buffer_items, weight_items
from gauge.plan import Plan
from gauge.quantization import scheme_of
from gauge.record import Trace
from gauge.runtimes.transformers_training import (
    STATEFUL,
    WHY_ADAPTERS,
    WHY_MASTER,
    Training,
    training_how,
)
from gauge.runtimes.transformers_training import (
    USES as TRAINER_USES,
)
from gauge.tape import Storage
from gauge.tensor import Dim, Tensor

WHY_GATHERED = "Shards of a layer are put together while it works; the next layer's are fetched meanwhile."
WHY_ROOT = "What belongs to no layer is one unit of its own; it stays together from forward until backward ends."
WHY_IN_FLIGHT = "Micro-batches that this stage has run forward and whose backward has not come back yet."
LAYER_MOMENTS = ("forward", "backward")
USES = TRAINER_USES | {"data_parallel", "zero_stage", "shard_degree"}
PARALLEL = frozenset(
    {
        "tensor_parallel",
        "sequence_parallel",
        "context_parallel",
        "expert_parallel",
        "expert_tensor_parallel",
        "pipeline_parallel",
        "virtual_pipeline",
        "microbatches",
    }
)


@dataclass(frozen=True)
class Sharded(Training):
    """One device of one pipeline stage; `case.model` is that stage's part of the model.

    Properties are the trainer's habits.
    """

    stage: Stage | None = None

    @property
    def talks(self) -> bool:
        """Whether several devices work together."""
        return self.plan.world > 1

    @property
    def layers_at_once(self) -> int:
        """Layers whose shards are together at once."""
        return 2

    @property
    def fetches_beside_head(self) -> tuple[str, ...]:
        """When the shards of the next layer are fetched beside the head."""
        return ("loss", "loss_backward") if self.layers_at_once > 1 else ()

    @property
    def root_moments(self) -> tuple[str, ...]:
        """When what belongs to no layer is together."""
        return COURSE

    @property
    def keeps_gradients(self) -> bool:
        """Whether gradients stay allocated between steps."""
        return False

    @property
    def gradients_wait(self) -> bool:
        """Whether gradients go to host memory as they are made."""
        return self.plan.cpu_offload == "all"

    @property
    def reduces_units(self) -> bool:
        """Whether a layer's gradients stay whole until its last one was made, rather than going through buckets."""
        return True

    @property
    def reduce(self) -> Format:
        """The format that gradients are reduced in."""
        return self.how.compute

    @cached_property
    def shards(self) -> Shards:
        """How model states are split over data-parallel ranks."""
        return Shards.of(self.plan)

    @property
    def gathers(self) -> bool:
        """Whether weights are put together layer by layer."""
        return self.shards.stage == 3 and self.shards.ranks > 1

    @cached_property
    def how(self) -> How:
        """The circumstances of the forward pass on one device."""
        split = self.plan.sequence_parallel and self.plan.tensor_parallel > 1
        return replace(
            self.habits(training_how(self.case)),
            rules=rules_of(self.plan),
            mesh=mesh_of(self.plan),
            weight_rules=weight_rules,
            gathers=self.gathered_inputs if split else "",
        )

    @property
    def gathered_inputs(self) -> str:
        """Whether the tokens that sequence parallelism puts together are `kept` for backward or put together `again`."""
        return "again"

    def habits(self, how: How) -> How:
        """How this trainer's precision and kernels differ from plain PyTorch."""
        return how

    # ---------------------------------------------------------------- weights
    @property
    def stored(self) -> Format:
        """The format that trained weights are held in."""
        return self.how.compute if self.plan.precision in ("pure-16bit", "master") else FLOAT32

    def held_as(self, weight: Tensor) -> Format:
        """The format that a weight is held in on its device."""
        return self.how.holds(weight) if self.how.adapters is not None else self.stored

    def local(self, weight: Tensor) -> Tensor:
        """What one device has of a weight besides data parallelism."""
        return self.how.split(replace(weight, format=self.held_as(weight)))

    @cached_property
    def weights(self) -> list[tuple[Tensor, int]]:
        """Trained weights as one model replica's rank has them, with the number of layers that own one."""
        if self.how.adapters is not None:
            return list(adapters(self.run))
        return [(self.local(t), n) for t, n in self.case.model.weights() if t.trainable]

    @cached_property
    def updated(self) -> list[tuple[Tensor, int]]:
        """What this rank's optimizer updates."""
        wide = self.plan.precision == "master" and self.how.adapters is None
        whole = [(replace(t, format=FLOAT32), n) for t, n in self.weights] if wide else self.weights
        return [(self.shards.state(t), n) for t, n in whole]

    def held(self) -> Iterator[Item]:
        """This rank's part of weights and adapters; buffers whole."""
        scheme = self.scheme

        def store(weight: Tensor) -> Iterator[Tensor]:
            for one in scheme.stored(weight, self.held_as(weight)):
                yield self.resting(one)

        yield from weight_items(self.case.model, store, weight_rules, self.how.mesh)
        yield from buffer_items(self.case.model, self.how.stored)
        if self.how.adapters is not None:
            named = ((self.shards.weight(replace(t, name=f"adapter factors {t.name[-1]}")), n) for t, n in self.weights)
            for one in layered(named, self.case.model.layers):
                yield item("adapters", one, why=WHY_ADAPTERS)

    def resting(self, weight: Tensor) -> Tensor:
        """What this rank keeps of a weight between its uses."""
        return self.shards.weight(weight)

    def updates(self) -> Iterator[Item]:
        """Masters and optimizer states of this rank's part."""
        if self.plan.precision == "master" and self.how.adapters is None:
            for one in layered(self.updated, self.case.model.layers):
                yield item("master_weights", one, f"{one.name}, master", why=WHY_MASTER)
        yield from state_items(self.optimizer, self.updated, STATEFUL)

    # ---------------------------------------------------------------- the step
    @cached_property
    def step(self) -> Step:
        """The course of the step under this trainer's policies."""
        plan = self.plan
        keep = self.keep()
        checkpoint = "full" if keep is not None else plan.gradient_checkpointing
        return Step(self.run, checkpoint, self.policy(), self.case.model.tied, plan.activation_offload, keep)

    def keep(self) -> Callable[[Trace], tuple[Storage, ...]] | None:
        """What a checkpointed block keeps, where that is neither everything nor its input alone."""
        return None

    def policy(self) -> Gradients:
        """How gradients are kept."""
        optimizer = self.optimizer
        if self.plan.optimizer_in_backward:
            return Gradients(kept=_used_up, used=lambda w: optimizer.temporaries([(self.shards.state(w), 1)]))
        unit = reduced(self.reduce) if self.gathers and self.reduces_units else None
        resident = self.plan.gradient_accumulation > 1 or self.keeps_gradients
        if self.gradients_wait:
            return Gradients(kept=_used_up, unit=unit)
        return Gradients(kept=self.gradient, resident=resident, unit=unit)

    def gradient(self, weight: Tensor) -> Tensor:
        """What stays of a gradient: this rank's part, in the format of the weight that is updated."""
        adapter = weight.role == "adapter"
        wide = not adapter and (self.plan.precision == "master" or self.stored is FLOAT32)
        whole = replace(weight, format=FLOAT32) if wide else weight
        return self.shards.gradient(whole)

    def ready(self) -> list[tuple[Tensor, int]]:
        """Gradients as the optimizer step finds them."""
        if self.plan.optimizer_in_backward or self.gradients_wait:
            return []
        return [(self.gradient(w), n) for w, n in self.weights]

    @property
    def lingering(self) -> tuple[str, ...]:
        """Moments outside the course at which gradients still exist."""
        return ("between",) if self.keeps_gradients else ()

    def course(self) -> Iterator[Item]:
        """What comes and goes, with what sharding and pipelining add."""
        yield from super().course()
        present = {m for m, _ in self.moments()}
        worst = self.step.worst().values()
        largest = max(worst, key=lambda p: p.bytes).moment if worst else ""
        for one in (*self.gathered(), *self.in_flight(), *self.buffers()):
            moments = tuple(m for m in one.moments if m in present)
            moments = (*(("first",) if largest in moments and "first" in present else ()), *moments)
            if moments or not one.moments:
                yield one.at(*moments)

    # ---------------------------------------------------------------- what sharding adds
    def root(self) -> list[Tensor]:
        """Weights outside the layers, as the root unit gathers them."""
        model = self.case.model
        outer = [t for part in model.parts for t in part.outer()] + list(model.head.weights() if model.head else ())
        return [self.how.split(replace(t, format=self.how.holds(t))) for t in outer]

    def largest_layer(self) -> list[Tensor]:
        """Weights of the largest layer, as its unit gathers them."""
        scheme = self.scheme
        layers = [
            [s for t in block.weights() for s in scheme.stored(self.how.split(t), self.how.holds(t))]
            for part in self.case.model.parts
            for block, _ in part.runs()
        ]
        return max(layers, key=lambda held: sum(t.bytes for t in held), default=[])

    def gathered(self) -> Iterator[Item]:
        """Whole layers and the root unit, while they work."""
        if not self.gathers:
            return
        layer = self.largest_layer()
        for one in elements_by_format("weights of layers, gathered", layer, self.layers_at_once):
            yield item("communication.gathered", one, why=WHY_GATHERED, certainty="policy", moments=LAYER_MOMENTS)
        ahead = self.fetches_beside_head
        for one in elements_by_format("weights of the next layer, gathered", layer if ahead else []):
            yield item("communication.gathered", one, why=WHY_GATHERED, certainty="policy", moments=ahead)
        for one in elements_by_format("weights outside layers, gathered", self.root()):
            yield item("communication.gathered", one, why=WHY_ROOT, certainty="policy", moments=self.root_moments)

    def in_flight(self) -> Iterator[Item]:
        """Activations of micro-batches between their forward and their backward, besides the one at work."""
        if self.stage is None or self.stage.count == 1:
            return
        plan = self.plan
        schedule = Schedule(self.stage.count, plan.virtual_pipeline, plan.microbatches or self.stage.count)
        held, chunks = schedule.in_flight(self.stage.index)
        layers = [s for s in self.run.segments if s.name != "head"]
        kept = [(s.tensor, 1) for segment in layers for s in self.step.resident(segment)]
        for one in stacked(kept):
            more = _times(one, held - chunks, chunks)
            if more is not None:
                yield item("activations.in_flight", more, why=WHY_IN_FLIGHT, moments=COURSE)

    def buffers(self) -> Iterator[Item]:
        """Further communication buffers of this trainer."""
        return iter(())

    def live(self) -> Iterator[Item]:
        """Under parameter offload: the gathered layers are counted already where weights are sharded."""
        return iter(()) if self.gathers else super().live()

    def buckets(self) -> Iterator[Item]:
        """A trainer's own buffers stand for DistributedDataParallel's."""
        return iter(())


def _used_up(weight: Tensor) -> Tensor | None:
    return None


def _times(one: Tensor, parts: int, of: int) -> Tensor | None:
    """`parts` / `of` of what a stack of equal tensors takes."""
    if parts <= 0:
        return None
    head = one.dims[0] if one.dims else None
    if of == 1:
        return one.times(Dim.MICROBATCHES, parts)
    if head is not None and head.dim is Dim.COPIES:
        count = head.size * parts // of
        return replace(one, dims=(head._replace(size=count, whole=count), *one.dims[1:])) if count else None
    return one if parts >= of else None


def by_stage(case: Case, kind: type[Sharded]) -> Breakdown:
    """The fullest pipeline stage first, then a pool for each other kind of stage."""
    cut = list(stages(case.model, case.plan.pipeline_parallel))
    if len(cut) == 1:
        only = kind(case, cut[0])
        trainable = sum(_whole(t) * n for t, n in kind(case).weights)
        return Breakdown(pools=tuple(only.pools()), trainable=trainable)
    each = case.cluster.count // len(cut)
    found = []
    for alike in _kinds(cut):
        device, *waiting = kind(replace(case, model=alike[0].model), alike[0]).pools()
        found.append((replace(device, count=len(alike) * each, place=_place(alike)), tuple(waiting), alike[0]))
    found.sort(key=lambda f: -f[0].allocated)
    fullest, host, worst = found[0]
    others = (replace(pool, timeline=()) for pool, _, _ in found[1:])
    told = f"The fullest pipeline stage is {worst.index + 1} of {len(cut)}; its devices are shown first."
    return Breakdown(pools=(fullest, *others, *host), trainable=case.model.parameters, warnings=(told,))


def _whole(weight: Tensor) -> int:
    count = 1
    for e in weight.dims:
        count *= e.whole
    return count


def _kinds(cut: list[Stage]) -> list[list[Stage]]:
    """Stages of the same layers together, the earliest first: later ones hold fewer micro-batches."""
    seen: dict[tuple[object, ...], list[Stage]] = {}
    for stage in cut:
        blocks = tuple((id(block), n) for part in stage.model.parts for block, n in part.runs())
        seen.setdefault((stage.first, stage.last, blocks), []).append(stage)
    return list(seen.values())


def _place(alike: list[Stage]) -> str:
    """`pipeline stage 1 of 8`, `pipeline stages 2 to 7 of 8`."""
    numbers, count = [s.index + 1 for s in alike], alike[0].count
    if len(numbers) == 1:
        return f"pipeline stage {numbers[0]} of {count}"
    together = numbers[-1] - numbers[0] + 1 == len(numbers)
    which = f"{numbers[0]} to {numbers[-1]}" if together else ", ".join(str(n) for n in numbers)
    return f"pipeline stages {which} of {count}"


def check_sharded(case: Case) -> None:
    """Degrees and choices that cannot be. Raises RequestError."""
    plan, model = case.plan, case.model
    if plan.method == "full" and scheme_of(plan.quantization).format is not None:
        message = "quantized weights cannot be trained themselves"
        raise RequestError("quantization", message, "use method=qlora", ({"method": "qlora"},))
    attention, mlp, experts = model.first(Attention), model.first(MLP), model.first(Experts)
    degree = plan.tensor_parallel
    if attention is not None:
        check_divides("tensor_parallel", degree, "attention heads", attention.heads)
        if degree > attention.kv_heads and degree % attention.kv_heads:
            message = f"{degree} is no multiple of {attention.kv_heads} KV heads"
            raise RequestError("tensor_parallel", message, "use a divisor or a multiple of the KV heads")
    if mlp is not None:
        check_divides("tensor_parallel", degree, "numbers inside the MLP", mlp.inner)
    if plan.expert_parallel > 1 or plan.expert_tensor_parallel:
        _check_experts(plan, experts)
    ranks = plan.data_parallel * plan.context_parallel
    if plan.shard_degree is not None and ranks % plan.shard_degree:
        message = f"{plan.shard_degree} does not divide {ranks} data-parallel ranks"
        raise RequestError("shard_degree", message, f"use a divisor of {ranks}, or leave it out")
    check_divides("context_parallel", plan.context_parallel, "tokens", plan.tokens)
    if plan.sequence_parallel and degree > 1:
        check_divides("tensor_parallel", degree, "tokens of a context rank", plan.tokens // plan.context_parallel)
    _check_pipeline(case)


def _check_experts(plan: Plan, experts: Experts | None) -> None:
    field = "expert_parallel" if plan.expert_parallel > 1 else "expert_tensor_parallel"
    if experts is None:
        raise RequestError(field, "this model has no experts", "leave it at 1")
    check_divides("expert_parallel", plan.expert_parallel, "experts", experts.experts)
    ranks = plan.data_parallel * plan.context_parallel * plan.tensor_parallel
    if ranks % plan.expert_parallel:
        message = f"expert-parallel ranks are taken from the {ranks} others, which {plan.expert_parallel} does not divide"
        raise RequestError("expert_parallel", message, f"use a divisor of {ranks}, or raise data_parallel")
    degree = plan.expert_tensor_parallel or 1
    check_divides("expert_tensor_parallel", degree, "numbers inside an expert", experts.inner)
    if ranks // plan.expert_parallel % degree:
        message = f"{degree} does not divide the {ranks // plan.expert_parallel} devices that share an expert-parallel rank"
        raise RequestError("expert_tensor_parallel", message, f"use a divisor of {ranks // plan.expert_parallel}")


def _check_pipeline(case: Case) -> None:
    plan, layers = case.plan, len(case.model.decoder.blocks)
    if plan.pipeline_parallel > 1 and case.model.decoder.sequence == "image":
        raise RequestError("pipeline_parallel", "a model that reads an image is not cut into stages", "use 1")
    pieces = plan.pipeline_parallel * plan.virtual_pipeline
    if pieces > layers:
        message = f"{pieces} pieces for {layers} layers"
        raise RequestError("pipeline_parallel", message, f"use at most {layers // plan.virtual_pipeline}")
    if plan.virtual_pipeline > 1:
        if plan.pipeline_parallel == 1:
            raise RequestError("virtual_pipeline", "there is one stage only", "raise pipeline_parallel, or leave it at 1")
        if layers % pieces:
            message = f"{pieces} pieces do not divide {layers} layers"
            raise RequestError("virtual_pipeline", message, "use a divisor of the layers of one stage")


def words_of(dtype: str) -> str:
    """A dtype as launchers write it."""
    return {"bfloat16": "bf16", "float16": "fp16", "float32": "no"}.get(dtype, dtype)
