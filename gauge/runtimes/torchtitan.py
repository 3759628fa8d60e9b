"""torchtitan: FSDP2 over float32 shards, 16-bit gathered layers and residual stream, tensor and context parallelism.

Gradients of a layer are reduced in float32. Selective checkpointing keeps the input of a block, the attention output
and every second matrix product; the rest of the block runs again. Source: torchtitan parallelisms/parallelize_llama.py
(December 2024): `apply_ac`, `apply_fsdp`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from gauge.breakdown import Pool
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, Format
from gauge.how import How
from gauge.memory.sharding import elements_by_format
from gauge.overheads import overhead
from gauge.record import Trace
from gauge.runtimes.sharded import PARALLEL, USES, Sharded, by_stage, check_sharded
from gauge.tape import Storage
from gauge.tensor import Dim, Tensor
from gauge.versions import month_of

PRODUCTS = frozenset({"linear", "grouped_mm"})
ATTENTION = frozenset({"flash_attention", "efficient_attention"})
COMPILED_LOSS = (2025, 4)
"""When the loss began to be compiled with the model; before, compiling it made CUDA errors and was switched off.

Source: torchtitan train.py of December 2024 (commit 9dec370); torchtitan pull request 1033.
"""


class Titan(Sharded):
    """One rank of torchtitan."""

    @property
    def wide_tables(self) -> bool:
        """Nothing makes an exception of embeddings."""
        return False

    def habits(self, how: How) -> How:
        """FSDP2 casts; there is no autocast. RMSNorm is PyTorch's fused one."""
        kernels = "compiled" if self.plan.compile else "fused"
        return replace(how, autocast=False, gathered=True, kernels=kernels, loss=self.loss(how.loss), spread_heads=True)

    def loss(self, asked: str) -> str:
        """How the loss is held: composed unless it is compiled, over the split vocabulary under tensor parallelism."""
        if asked not in ("standard", "compiled", "vocab-parallel"):
            return asked
        if self.plan.tensor_parallel > 1:
            return "composed-parallel"
        month = month_of(self.plan.runtime_version)
        old = month is not None and month < COMPILED_LOSS
        return "compiled" if self.plan.compile and not old else "composed"

    @property
    def gathered_inputs(self) -> str:
        """A distributed tensor's redistributed input is what autograd keeps."""
        return "kept"

    @property
    def reduce(self) -> Format:
        """`mixed_precision_reduce` is float32."""
        return FLOAT32

    def keep(self) -> Callable[[Trace], tuple[Storage, ...]] | None:
        """Selective checkpointing by operator; the compiler leaves out what backward does not read."""
        if self.plan.gradient_checkpointing != "selective":
            return None
        return lambda trace: read_again(trace, every_second_product(trace)) if self.plan.compile else every_second_product(trace)

    # ---------------------------------------------------------------- what is reserved
    def slack(self, pool: Pool) -> tuple[int, int, int]:
        """Memory of other streams, and holes that what comes later is too large for.

        torchtitan sets expandable segments, so sizes are not rounded up. Gathered layers are made on a stream of their
        own, sharded gradients on another, and a stream's memory serves that stream only. The 16-bit logits are freed
        before backward, whose float32 gradients do not fit there; the same may hold for what blocks free in forward.
        """
        streams = sum(t.bytes for t in self.streams())
        hole = sum(s.size for s in self.logits())
        forward = self.step.worst().get("forward")
        own = {id(s) for s in self.step.kept(forward.segment)} if forward else set()
        freed = sum(s.size for s in forward.flying.alive if id(s) not in own) if forward else 0
        low, high = streams, streams + hole + freed
        typical = streams + hole + overhead("pytorch", "spread").value * freed // 100
        usable = self.case.cluster.usable
        room = high if usable is None else max(usable - pool.allocated, 0)
        return min(typical, room), min(low, room), min(high, room)

    def streams(self) -> Iterator[Tensor]:
        """What the gathering and the reducing stream hold when the compute stream is at its peak."""
        if not self.gathers:
            return
        yield from elements_by_format("gathered on the way: the root unit", self.root())
        yield from elements_by_format("gathered on the way: layers", self.largest_layer(), self.layers_at_once)
        for one in elements_by_format("reduced gradients", (self.shards.weight(w).times(Dim.COPIES, n) for w, n in self.weights)):
            yield replace(one, format=self.reduce)

    def logits(self) -> Iterator[Storage]:
        """The logits in the compute format, which the loss reads once."""
        for segment in self.run.segments:
            if segment.name == "head" and self.how.loss.startswith("composed"):
                yield from (o.storage for op in segment.trace.ops for o in op.outputs if o.name == "logits")


def every_second_product(trace: Trace) -> tuple[Storage, ...]:
    """A block's input, what attention gives with its statistics, and the 1st, 3rd, 5th, … matrix product."""
    kept: dict[int, Storage] = {}
    if trace.source is not None:
        kept[id(trace.source.storage)] = trace.source.storage
    products = 0
    for op in trace.ops:
        made = {id(o.storage): o.storage for o in op.outputs}
        if op.name in PRODUCTS:
            products += 1
            kept |= made if products % 2 else {}
        elif op.name in ATTENTION:
            given = {id(v.storage) for v in op.inputs}
            kept |= made | {id(s): s for s in op.saved if id(s) not in given}
    return tuple(kept.values())


def read_again(trace: Trace, kept: tuple[Storage, ...]) -> tuple[Storage, ...]:
    """Those of `kept` that backward reads, or runs an operator on to make again what it reads."""
    known = {id(s) for s in kept}
    makers = {id(o.storage): op for op in trace.ops for o in op.outputs if not any(v.storage is o.storage for v in op.inputs)}
    wanted = [s for op in trace.ops for s in op.saved]
    seen: set[int] = set()
    while wanted:
        one = wanted.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if id(one) not in known and id(one) in makers:
            wanted += [v.storage for v in makers[id(one)].inputs]
    return tuple(s for s in kept if id(s) in seen)


def titan(case: Case) -> Breakdown:
    """One rank's pools."""
    return by_stage(case, Titan)


def command(case: Case) -> str:
    """`torchtitan` with these settings."""
    plan = case.plan
    within = min(plan.shard_degree or plan.data_parallel, plan.data_parallel)
    words = [
        f"torchrun --nproc_per_node {min(plan.world, 8)} train.py",
        f"--training.batch_size {plan.batch_size} --training.seq_len {plan.tokens}",
        f"--training.data_parallel_shard_degree {within}",
    ]
    for name, degree in (
        ("training.data_parallel_replicate_degree", plan.data_parallel // within),
        ("training.tensor_parallel_degree", plan.tensor_parallel),
        ("experimental.context_parallel_degree", plan.context_parallel),
        ("experimental.pipeline_parallel_degree", plan.pipeline_parallel),
        ("experimental.pipeline_parallel_microbatches", plan.microbatches or 1),
    ):
        if degree > 1:
            words.append(f"--{name} {degree}")
    words.append(f"--activation_checkpoint.mode {plan.gradient_checkpointing}")
    if plan.compile:
        words.append("--training.compile")
    if plan.cpu_offload == "all":
        words.append("--training.enable_cpu_offload")
    return " ".join(words)


RUNTIMES = (
    Runtime(
        id="torchtitan",
        label="torchtitan",
        tasks=("training",),
        newest=("2025-04",),
        breakdown=titan,
        check=check_sharded,
        command=command,
        uses=USES | PARALLEL,
        defaults={"zero_stage": 3, "gradient_checkpointing": "selective", "sequence_parallel": True},
        source="torchtitan, December 2024",
    ),
)
