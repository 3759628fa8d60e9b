"""PyTorch FSDP as transformers' Trainer runs it through accelerate: full sharding, one unit a layer.

Under mixed precision accelerate holds trained weights in float32 and FSDP gathers them in 16 bits; autocast is on, and
with float32 adapters the residual stream is float32 too. The layer that works is whole; what belongs to no layer is the
root unit, which FSDP does not free after forward. Source: torch/distributed/fsdp (PyTorch 2.4),
accelerate/accelerator.py (0.34), `prepare_model`.
"""

from __future__ import annotations

from dataclasses import replace

from gauge.breakdown import Pool
from gauge.case import Breakdown, Case, Runtime
from gauge.how import How
from gauge.overheads import overhead
from gauge.runtimes.sharded import USES, Sharded, by_stage, check_sharded, words_of

STRATEGIES = {0: "NO_SHARD", 1: "SHARD_GRAD_OP", 2: "SHARD_GRAD_OP", 3: "FULL_SHARD"}
HYBRIDS = {1: "HYBRID_SHARD_ZERO2", 2: "HYBRID_SHARD_ZERO2", 3: "HYBRID_SHARD"}


class FSDP(Sharded):
    """One rank of FSDP."""

    def habits(self, how: How) -> How:
        """Autocast over gathered 16-bit weights."""
        if how.compute.bytes == 4:
            return how
        adapters = how.adapters is not None
        if self.plan.precision == "pure-16bit" and not adapters:
            return how
        return replace(how, autocast=True, gathered=True, wide_stream=adapters)

    @property
    def layers_at_once(self) -> int:
        """accelerate's default is not to prefetch (`fsdp_backward_prefetch`: NO_PREFETCH)."""
        return 1

    @property
    def keeps_gradients(self) -> bool:
        """Under 16-bit training the flat gradients stay allocated."""
        return self.plan.precision == "pure-16bit" and self.plan.method == "full"

    def slack(self, pool: Pool) -> tuple[int, int, int]:
        """A measured share of live tensors, no more than the device has."""
        if not self.gathers:
            return super().slack(pool)
        typical, low, high = overhead("fsdp", "slack").per(pool.allocated, 100)
        usable = self.case.cluster.usable
        room = high if usable is None else max(usable - pool.allocated, 0)
        return min(typical, room), min(low, room), min(high, room)


def fsdp(case: Case) -> Breakdown:
    """One rank's pools."""
    return by_stage(case, FSDP)


def command(case: Case) -> str:
    """`accelerate launch` with these settings."""
    plan = case.plan
    words = [f"accelerate launch --use_fsdp --num_processes {plan.data_parallel} --mixed_precision {words_of(plan.dtype)}"]
    hybrid = plan.zero_stage >= 1 and plan.shard_degree is not None and plan.shard_degree < plan.data_parallel
    words.append(f"--fsdp_sharding_strategy {(HYBRIDS if hybrid else STRATEGIES)[plan.zero_stage]}")
    words.append("--fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP")
    if plan.gradient_checkpointing == "full":
        words.append("--fsdp_activation_checkpointing true")
    if plan.cpu_offload != "none":
        words.append("--fsdp_offload_params true")
    return " ".join((*words, "train.py"))


RUNTIMES = (
    Runtime(
        id="fsdp",
        label="PyTorch FSDP (accelerate)",
        tasks=("training",),
        newest=("5.23",),
        breakdown=fsdp,
        check=check_sharded,
        command=command,
        uses=USES,
        defaults={"zero_stage": 3},
        source="torch/distributed/fsdp, PyTorch 2.4; accelerate 0.34",
    ),
)
