"""torchtitan: FSDP2 over float32 shards, 16-bit gathered layers and residual stream, tensor and context parallelism.

Gradients of a layer are reduced in float32. Selective checkpointing keeps the input of a block, the attention output
and every second matrix product; the rest of the block runs again. Source: torchtitan parallelisms/parallelize_llama.py
(December 2024): `apply_ac`, `apply_fsdp`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, Format
from gauge.runtimes.sharded import PARALLEL, USES, Sharded, by_stage, check_sharded
from gauge.tape import How, Storage, Trace

PRODUCTS = frozenset({"linear", "grouped_mm"})
ATTENTION = frozenset({"flash_attention", "efficient_attention"})


class Titan(Sharded):
    """One rank of torchtitan."""

    def habits(self, how: How) -> How:
        """FSDP2 casts; there is no autocast. RMSNorm is PyTorch's fused one."""
        kernels = "compiled" if self.plan.compile else "fused"
        loss = {"standard": "held-standard", "compiled": "held-compiled"}.get(how.loss, how.loss)
        return replace(how, autocast=False, gathered=True, kernels=kernels, loss=loss, spread_heads=True)

    @property
    def reduce(self) -> Format:
        """`mixed_precision_reduce` is float32."""
        return FLOAT32

    def keep(self) -> Callable[[Trace], tuple[Storage, ...]] | None:
        """Selective checkpointing by operator."""
        return every_second_product if self.plan.gradient_checkpointing == "selective" else None


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


def titan(case: Case) -> Breakdown:
    """One rank's pools."""
    return by_stage(case, Titan)


def command(case: Case) -> str:
    """`torchtitan` with these settings."""
    plan = case.plan
    words = [
        f"torchrun --nproc_per_node {min(plan.world, 8)} train.py",
        f"--training.batch_size {plan.batch_size} --training.seq_len {plan.tokens}",
        f"--training.data_parallel_shard_degree {plan.data_parallel}",
    ]
    for name, degree in (
        ("training.tensor_parallel_degree", plan.tensor_parallel),
        ("experimental.context_parallel_degree", plan.context_parallel),
        ("experimental.pipeline_parallel_degree", plan.pipeline_parallel),
    ):
        if degree > 1:
            words.append(f"--{name} {degree}")
    words.append(f"--activation_checkpoint.mode {plan.gradient_checkpointing}")
    if plan.compile:
        words.append("--training.compile")
    return " ".join(words)


RUNTIMES = (
    Runtime(
        id="torchtitan",
        label="torchtitan",
        tasks=("training",),
        breakdown=titan,
        check=check_sharded,
        command=command,
        uses=USES | PARALLEL,
        defaults={"zero_stage": 3, "gradient_checkpointing": "selective"},
        source="torchtitan, December 2024",
    ),
)
