"""transformers' Trainer under PyTorch: full fine-tuning, LoRA, QLoRA, on one device or as replicas on several.

Source: transformers 5.23, PyTorch 2.13; the course of a step is described in `gauge.memory.step`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from gauge.breakdown import Event, Item, Pool, constant, item, merged, within
from gauge.case import Breakdown, Case, Runtime
from gauge.errors import RequestError
from gauge.formats import FLOAT32, FORMATS
from gauge.hardware import Cluster
from gauge.how import AdapterPlan, How
from gauge.memory.adapters import adapters, stacked_targets, targets_of
from gauge.memory.allocator import reserved
from gauge.memory.collect import layered
from gauge.memory.optimizer import optimizer_of, state_items, temporary_items
from gauge.memory.overhead import finished
from gauge.memory.segments import INPUTS, Pass, Tracer, lengths
from gauge.memory.sharding import elements_by_format
from gauge.memory.step import COURSE, MOMENTS, Gradients, Step, by_kind, gradient_items
from gauge.memory.weights import buffer_items, weight_items
from gauge.model import Model
from gauge.optimizers import Optimizer, with_wide_tables
from gauge.overheads import overhead
from gauge.plan import Plan
from gauge.quantization import SCHEMES, Scheme, scheme_of
from gauge.runtimes.transformers import on_host
from gauge.tensor import Dim, Tensor
from gauge.units import ceil_div
from gauge.versions import before, before_foreach

EIGHT_BIT = ("adamw-8bit", "adamw-paged-8bit")
WHY_MASTER = "The float32 copy that the optimizer updates; the 16-bit weights are rounded from it."
WHY_ADAPTERS = "Two thin matrices beside each adapted one; only they are trained."
WHY_BATCH = "The batch, held until the step is over."
WHY_LIVE = "Weights wait in host memory; those of the layer at work are copied here."
WHY_BUCKETS = "Each replica copies its gradients here, bucket by bucket, and the devices average them while backward goes on."
DDP = "torch/nn/parallel/distributed.py: gradient_as_bucket_view is off, so buckets are memory of their own"
LENGTHS = ("batch_size", "sequence_length", "prompt_length", "target_length", "image_size")
APART: dict[str, Any] = {**dict.fromkeys(LENGTHS, 1), "config": None, "gguf_types": None}
"""What a model's weights and optimizer states do not depend on, as one plan for all of it."""
AtRest = tuple[tuple[Item, ...], tuple[Item, ...]]
STATEFUL = tuple(m for m, _ in MOMENTS if m not in ("load", "first"))


USES = frozenset(
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
        "upcast_frozen",
        "activation_offload",
        "cpu_offload",
        "precision",
        "runtime_version",
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
)
"""What every trainer reads."""


@dataclass(frozen=True)
class Training:
    """One training case: its pass, its step, and what each component holds."""

    case: Case

    @property
    def plan(self) -> Plan:
        """What the user decided."""
        return self.case.plan

    @cached_property
    def how(self) -> How:
        """The circumstances of the forward pass."""
        return training_how(self.case)

    @cached_property
    def run(self) -> Pass:
        """The traced pass."""
        plan, model = self.plan, self.case.model
        recompute = plan.gradient_checkpointing == "full"
        frozen = model.layers - ceil_div(round(plan.trainable_fraction * model.layers * 1000), 1000)
        where = lengths(model, plan, plan.tokens)
        grad = recompute and self.how.frozen
        return Tracer(model, self.how, where, grad, recompute, 0 if self.how.frozen else frozen).run(loss=True)

    @cached_property
    def step(self) -> Step:
        """The course of the step."""
        plan = self.plan
        policy = gradients_of(plan, self.optimizer)
        return Step(self.run, plan.gradient_checkpointing, policy, self.case.model.tied, plan.activation_offload)

    @cached_property
    def weights(self) -> list[tuple[Tensor, int]]:
        """Trained weights in the format that they are held in, with the number of layers that own one."""
        if self.how.adapters is not None:
            return list(adapters(self.run))
        if self.plan.trainable_fraction < 1:
            return list(self.step.trained)
        return [(replace(t, format=self.how.holds(t)), n) for t, n in self.case.model.weights() if t.trainable]

    @cached_property
    def updated(self) -> list[tuple[Tensor, int]]:
        """What the optimizer updates: the weights, or their float32 masters."""
        if self.plan.precision != "master" or self.how.adapters is not None:
            return self.weights
        return [(replace(t, format=FLOAT32), n) for t, n in self.weights]

    @property
    def wide_tables(self) -> bool:
        """Whether 8-bit optimizers leave embeddings in float32, as the Trainer has them do."""
        return not before(self.plan.runtime_version, 4, 42)

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer that this version of the software runs."""
        if self.plan.optimizer in EIGHT_BIT and self.wide_tables:
            return with_wide_tables(optimizer_of(self.plan.optimizer))
        loop = self.plan.optimizer == "adamw" and before_foreach(self.plan.runtime_version)
        return optimizer_of("adamw-loop" if loop else self.plan.optimizer)

    @property
    def talks(self) -> bool:
        """Whether several devices work together."""
        return self.plan.data_parallel > 1

    @property
    def scheme(self) -> Scheme:
        """How frozen weights are stored."""
        return storage_scheme(self.plan)

    # ---------------------------------------------------------------- what is held
    def held(self) -> Iterator[Item]:
        """Weights, buffers, adapters."""
        scheme = self.scheme
        yield from weight_items(self.case.model, lambda t: scheme.stored(t, self.how.holds(t)))
        yield from buffer_items(self.case.model, self.how.stored)
        if self.how.adapters is not None:
            named = ((replace(t, name=f"adapter factors {t.name[-1]}"), n) for t, n in self.weights)
            for one in layered(named, self.case.model.layers):
                yield item("adapters", one, why=WHY_ADAPTERS)

    def updates(self) -> Iterator[Item]:
        """Master weights and optimizer states."""
        if self.updated is not self.weights:
            for one in layered(self.updated, self.case.model.layers):
                yield item("master_weights", one, f"{one.name}, master", why=WHY_MASTER)
        yield from state_items(self.optimizer, self.updated, STATEFUL)

    def at_rest(self) -> AtRest:
        """`held` and `updates`: remembered where no pass has to be traced for them."""
        if type(self) is not Training or self.how.adapters is not None or self.plan.trainable_fraction < 1:
            return tuple(self.held()), tuple(self.updates())
        return _at_rest(self.case.model, self.plan.edited(**APART))

    def course(self) -> Iterator[Item]:
        """What comes and goes within the step."""
        worst = self.step.worst()
        for point in worst.values():
            yield from self.step.items(point)
        if self.stateful and worst:
            yield from self.step.items(max(worst.values(), key=lambda p: p.bytes), "first")
        for name in INPUTS:
            if name in self.run.shared:
                yield item("activations", self.run.shared[name].storage.tensor, why=WHY_BATCH, moments=("step",))
        yield from self.buckets()
        gradients = self.ready()
        if gradients:
            yield from gradient_items(gradients, "step")
            for moment in self.lingering:
                yield from gradient_items(gradients, moment)
            if self.plan.cpu_offload == "none":
                yield from temporary_items(self.optimizer, self.updated)

    def buckets(self) -> Iterator[Item]:
        """Several replicas: flat copies of all gradients, which are reduced over the devices (`DistributedDataParallel`)."""
        if self.plan.data_parallel == 1:
            return
        moments = tuple(id for id, _ in self.moments() if id != "load")
        for one in elements_by_format("gradient buckets", (w.times(Dim.COPIES, n) for w, n in self.weights)):
            yield item("communication.buckets", one, why=WHY_BUCKETS, source=DDP, certainty="policy", moments=moments)

    def ready(self) -> list[tuple[Tensor, int]]:
        """Gradients as the optimizer step finds them."""
        kept = self.step.gradients.kept
        return [(k, n) for w, n in self.weights if (k := kept(w)) is not None]

    @property
    def lingering(self) -> tuple[str, ...]:
        """Moments outside the course at which gradients still exist."""
        return ("between",) if self.step.gradients.resident and before_foreach(self.plan.runtime_version) else ()

    @property
    def stateful(self) -> bool:
        """Whether the optimizer remembers anything."""
        return any(True for w, _ in self.updated for _ in self.optimizer.states(w))

    def moments(self) -> tuple[tuple[str, str], ...]:
        """The moments that this step has."""
        worst = self.step.worst()
        return tuple(m for m in MOMENTS if m[0] in worst or (m[0] not in COURSE and (m[0] != "first" or self.stateful)))

    # ---------------------------------------------------------------- where it is held
    def pools(self) -> Iterator[Pool]:
        """The accelerator, and the host where something waits there; the host alone where it does the work."""
        held, updates = map(list, self.at_rest())
        waiting: list[Item] = list(self.step.host())
        if self.plan.cpu_offload != "none" or self.optimizer.paged:
            paged = [i for i in updates if self.plan.cpu_offload != "none" or i.kind == "optimizer_states"]
            updates = [i for i in updates if i not in paged]
            waiting += [i.at() for i in paged]
        if self.plan.cpu_offload == "all":
            waiting += [i for i in held if i.kind == "weights"]
            held = [*(i for i in held if i.kind != "weights"), *self.live()]
        moments = self.moments()
        items = within(merged([*held, *updates, *self.course()]), moments)
        if on_host(self.case):
            process = constant("framework.process", overhead("pytorch", "process"))
            pool = Pool("host", 1, merged([*items, *waiting, process]), moments)
            yield replace(pool, timeline=course(pool, self.step)) if self.plan.timeline else pool
            return
        pool = Pool("gpu", max(self.case.cluster.count, 1), items, moments)
        pool = finished(pool, self.slack(pool), self.plan.runtime_version, self.case.cluster.device)
        if self.talks:
            pool = replace(pool, items=(*pool.items, constant("communication.nccl", overhead("nccl", "context"))))
        yield replace(pool, timeline=course(pool, self.step)) if self.plan.timeline else pool
        if waiting:
            yield Pool("host", max(self.case.cluster.count, 1), merged(waiting), (("step", "training step"),))

    def born(self, items: Iterable[Item]) -> int:
        """Bytes that appear while the first step's activations die, and stay: states, and gradients that are kept."""
        states = sum(i.bytes for i in items if i.kind == "optimizer_states")
        kept = sum(g.bytes * n for g, n in self.ready()) if self.step.gradients.resident else 0
        first = self.step.worst().get("forward")
        return min(states + kept, first.bytes) if first else 0

    def slack(self, pool: Pool) -> tuple[int, int, int]:
        """What the allocator holds beyond live tensors: typical, lowest, highest."""
        return reserved(pool, self.case.cluster.usable, self.step.sizes(), self.born(pool.items))

    def live(self) -> Iterator[Item]:
        """The weights of the largest layer, where all others wait in host memory."""
        outer = [[(t, 1)] for part in self.case.model.parts for t in part.outer()]
        blocks = [[(t, 1) for t in block.weights()] for part in self.case.model.parts for block, _ in part.runs()]
        largest = max((*outer, *blocks), key=lambda owned: sum(t.elements for t, _ in owned))
        for one in layered(((replace(t, format=self.how.holds(t)), n) for t, n in largest), 1):
            yield item("workspace.live", one, f"{one.name}, at work", why=WHY_LIVE)


@lru_cache(maxsize=8)
def _at_rest(model: Model, plan: Plan) -> AtRest:
    one = Training(Case(model, plan, Cluster(None, 1)))
    return tuple(one.held()), tuple(one.updates())


def training(case: Case) -> Breakdown:
    """The moments of one step: load, forward, loss, backward, optimizer step, between steps."""
    one = Training(case)
    trainable = sum(w.elements * n for w, n in one.weights)
    return Breakdown(pools=tuple(one.pools()), trainable=trainable, warnings=tuple(remarks(case.plan)))


def remarks(plan: Plan) -> Iterator[str]:
    """What a reader should know about how the request was taken."""
    if plan.method == "qlora" and plan.quantization == "bnb-nf4":
        yield "QLoRA quantizes the scales too (double quantization); for plain NF4 under adapters choose method=lora."


def gradients_of(plan: Plan, optimizer: Optimizer) -> Gradients:
    """How this plan keeps gradients; before PyTorch 2.0 they were zeroed in place after a step, not dropped."""
    if plan.optimizer_in_backward:
        return Gradients(kept=_used_up, used=lambda weight: optimizer.temporaries([(weight, 1)]))
    resident = plan.gradient_accumulation > 1 or before_foreach(plan.runtime_version)
    if plan.precision == "master" and plan.method == "full":
        return Gradients(kept=lambda w: replace(w, format=FLOAT32), resident=resident)
    return Gradients(resident=resident)


def _used_up(weight: Tensor) -> Tensor | None:
    return None


QUIET = (("between steps", "between"), ("optimizer step", "step"))
"""Events of the course in which no layer works, and their moments."""


def course(pool: Pool, step: Step) -> tuple[Event, ...]:
    """The step from event to event: between steps, every layer forward and backward, the optimizer step."""
    between, update = (Event(name, None, by_kind(pool.alive(moment))) for name, moment in QUIET)
    return (between, *step.timeline(pool.alive), update, between)


def training_how(case: Case) -> How:
    """The circumstances of a training pass under the plan's precision scheme and method."""
    plan = case.plan
    adapters = None
    if plan.method != "full":
        targets = targets_of(case.model, plan.lora_targets)
        stacked, moved = stacked_targets(case.model, plan.lora_targets, plan.runtime_version)
        format = FORMATS[plan.lora_dtype]
        adapters = AdapterPlan(targets, plan.lora_rank, format, plan.lora_dropout, stacked=stacked, moved=moved)
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
        upcast=plan.upcast_frozen and adapters is not None,
    )


def storage_scheme(plan: Plan) -> Scheme:
    """How the weights are stored. QLoRA's NF4 quantizes the scales too (arXiv 2305.14314, section 3); plain NF4 under
    adapters is `method=lora` with `quantization=bnb-nf4`."""
    scheme = scheme_of(plan.quantization)
    if plan.method == "qlora" and scheme.id in ("none", "bnb-nf4"):
        return SCHEMES["bnb-nf4-double"]
    return scheme


def check(case: Case) -> None:
    """What this trainer cannot do. Raises RequestError."""
    plan, device = case.plan, case.cluster.device
    if device is not None and device.kind == "mobile":
        raise RequestError("device", "phones do not run this trainer", "choose a computer or an accelerator")
    if plan.method == "full" and scheme_of(plan.quantization).format is not None:
        message = "quantized weights cannot be trained themselves"
        raise RequestError("quantization", message, "use method=qlora", ({"method": "qlora"},))


OPTIM = {
    "adamw": "adamw_torch",
    "adamw-fused": "adamw_torch_fused",
    "adamw-8bit": "adamw_bnb_8bit",
    "adamw-paged-8bit": "paged_adamw_8bit",
    "adamw-4bit": "adamw_torch_4bit",
    "sgd": "sgd",
    "adafactor": "adafactor",
    "lion": "lion_32bit",
    "adagrad": "adagrad",
    "galore-adamw": "galore_adamw",
}
"""Our optimizers as `TrainingArguments.optim` calls them."""


def command(case: Case) -> str:
    """`trl sft`, which starts transformers' Trainer."""
    plan = case.plan
    start = f"torchrun --nproc_per_node {plan.data_parallel} -m trl.scripts.sft" if plan.data_parallel > 1 else "trl sft"
    words = [f"{start} --model_name_or_path {case.model.id} --max_length {plan.tokens}"]
    words.append(f"--per_device_train_batch_size {plan.batch_size} --gradient_accumulation_steps {plan.gradient_accumulation}")
    if plan.dtype != "float32" and plan.precision == "mixed":
        words.append("--bf16 true" if plan.dtype == "bfloat16" else "--fp16 true")
    if plan.precision == "pure-16bit":
        words.append(f"--dtype {plan.dtype}")
    words.append(f"--gradient_checkpointing {str(plan.gradient_checkpointing == 'full').lower()}")
    if plan.optimizer in OPTIM:
        words.append(f"--optim {OPTIM[plan.optimizer]}")
    if plan.method != "full":
        targets = plan.lora_targets.replace(",", " ")
        words.append(f"--use_peft true --lora_r {plan.lora_rank} --lora_dropout {plan.lora_dropout}")
        words.append(
            f"--lora_target_modules {targets}" if targets != "attention" else "--lora_target_modules q_proj k_proj v_proj o_proj"
        )
    if plan.method == "qlora":
        words.append("--load_in_4bit true --use_bnb_nested_quant true")
    if plan.attention == "flash":
        words.append("--attn_implementation flash_attention_2")
    if plan.loss == "fused":
        words.append("--use_liger_kernel true")
    if plan.activation_offload:
        words.append("--activation_offloading true")
    if plan.compile:
        words.append("--torch_compile true")
    return " ".join(words)


RUNTIMES = (
    Runtime(
        id="transformers",
        label="transformers Trainer",
        tasks=("training",),
        newest=("5.23",),
        breakdown=training,
        check=check,
        command=command,
        uses=USES | {"trainable_fraction", "data_parallel"},
    ),
)
