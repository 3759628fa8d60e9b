"""DeepSpeed ZeRO under transformers' Trainer: 16-bit weights and gradients, float32 masters and states, buckets.

Stage 1 splits masters and states, stage 2 reduces gradients bucket by bucket into this rank's part, stage 3 splits the
weights as well and gathers layers where they work, 1e9 numbers at once by default; weights of up to 1e5 numbers stay
whole. Buckets count elements: 5e8 by default; only stage 3 overlaps two of them unless told to.
Source: arXiv 1910.02054; deepspeed/runtime/zero/stage_1_and_2.py, stage3.py (0.14).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from gauge.breakdown import Item, item
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import Format
from gauge.how import How
from gauge.memory.optimizer import optimizer_of
from gauge.memory.sharding import bucket, elements_by_format
from gauge.memory.step import COURSE
from gauge.optimizers import Optimizer
from gauge.runtimes.sharded import USES, Sharded, by_stage, check_sharded
from gauge.tensor import Dim, Extent, Tensor

BUCKET = 500_000_000
LIVE = 1_000_000_000
PERSISTENT = 100_000
WHY_REDUCE = "Gradients are gathered here before they are reduced over the ranks; with overlap a second one fills meanwhile."
WHY_COPY = "The optimizer reads float32: the part of the gradients that it uses is cast once more."
WHY_GATHER = "After the step the updated weights are gathered bucket by bucket."
WHY_LIVE = "Layers stay together as long as they are used again soon; no more numbers than this are whole at once."
WHY_HOST = "The optimizer works in host memory: it reads the gradients there, in float32."
SOURCE = "DeepSpeed documentation, ZeRO: reduce_bucket_size and allgather_bucket_size, in elements"
LIVE_SOURCE = "DeepSpeed documentation, ZeRO: stage3_max_live_parameters, stage3_max_reuse_distance, sub_group_size"


class DeepSpeed(Sharded):
    """One rank of DeepSpeed."""

    def habits(self, how: How) -> How:
        """The engine casts the whole model to 16 bits; there is no autocast."""
        return replace(how, autocast=False) if self.plan.precision in ("mixed", "master") else how

    @property
    def stored(self) -> Format:
        """The engine holds 16-bit weights beside float32 masters."""
        return self.how.compute

    def gradient(self, weight: Tensor) -> Tensor:
        """16-bit gradients, this rank's part from stage 2 on."""
        return self.shards.gradient(weight)

    @property
    def optimizer(self) -> Optimizer:
        """DeepSpeed's own fused Adam needs no temporaries."""
        found = super().optimizer
        return optimizer_of("adamw-fused") if found.id == "adamw" else found

    @property
    def reduces_units(self) -> bool:
        """Gradients go into a bucket as they are made."""
        return False

    @property
    def gradients_wait(self) -> bool:
        """An optimizer in host memory takes the gradients there."""
        return self.plan.cpu_offload != "none"

    def resting(self, weight: Tensor) -> Tensor:
        """Small weights are never split (`stage3_param_persistence_threshold`)."""
        return weight if weight.elements <= PERSISTENT else super().resting(weight)

    def gathered(self) -> Iterator[Item]:
        """Layers that work or soon work again; at least the largest one."""
        if not self.gathers:
            return
        largest = sum(t.elements for t in self.largest_layer())
        whole = sum(t.elements * n for t, n in ((self.local(t), n) for t, n in self.case.model.weights()))
        live = min(whole, max(LIVE, largest))
        one = Tensor("weights put together", (Extent(Dim.PARAMETERS, live, whole),), self.how.compute)
        yield item("communication.gathered", one, why=WHY_LIVE, source=LIVE_SOURCE, certainty="policy", moments=COURSE)

    def updates(self) -> Iterator[Item]:
        """Under an optimizer in host memory the gradients wait there as well."""
        yield from super().updates()
        if self.gradients_wait and self.how.adapters is None:
            for one in elements_by_format("gradients", (t.times(Dim.COPIES, n) for t, n in self.updated)):
                yield item("gradients.waiting", one, why=WHY_HOST, source="arXiv 2101.06840")

    def buffers(self) -> Iterator[Item]:
        """Buckets of the stage; the step's float32 copy of this rank's gradients."""
        shards = self.shards
        if self.plan.precision == "master" and self.how.adapters is None and self.plan.cpu_offload == "none":
            for one in elements_by_format("gradients in float32", (t.times(Dim.COPIES, n) for t, n in self.updated)):
                group = LIVE if shards.stage == 3 else one.elements
                part = bucket(one.name, [(one, 1)], group, one.format)
                yield item("workspace", part, why=WHY_COPY, source=LIVE_SOURCE, certainty="policy", moments=("step",))
        if shards.ranks == 1:
            return
        format = self.how.compute
        copies = 2 if shards.stage == 3 else 1
        backward = ("loss_backward", "backward", "backward_end")
        reduce = bucket("gradient buckets", self.weights, BUCKET, format, copies)
        yield item("communication.buckets", reduce, why=WHY_REDUCE, source=SOURCE, certainty="policy", moments=backward)
        if shards.stage in (1, 2):
            gather = bucket("bucket of updated weights", self.weights, BUCKET, format)
            yield item("communication.buckets", gather, why=WHY_GATHER, source=SOURCE, certainty="policy", moments=("step",))


def zero(case: Case) -> Breakdown:
    """One rank's pools."""
    return by_stage(case, DeepSpeed)


def command(case: Case) -> str:
    """The `deepspeed` section of a configuration."""
    plan = case.plan
    stage: dict[str, object] = {"stage": plan.zero_stage}
    if plan.cpu_offload != "none":
        stage["offload_optimizer"] = {"device": "cpu"}
    if plan.cpu_offload == "all":
        stage["offload_param"] = {"device": "cpu"}
    if plan.zero_stage == 3 and plan.shard_degree is not None:
        stage["mics_shard_size"] = plan.shard_degree
    config: dict[str, object] = {
        "bf16" if plan.dtype == "bfloat16" else "fp16": {"enabled": plan.dtype != "float32"},
        "zero_optimization": stage,
        "train_micro_batch_size_per_gpu": plan.batch_size,
        "gradient_accumulation_steps": plan.gradient_accumulation,
    }
    if plan.tensor_parallel > 1:
        config["tensor_parallel"] = {"autotp_size": plan.tensor_parallel}
    return json.dumps(config)


RUNTIMES = (
    Runtime(
        id="deepspeed",
        label="DeepSpeed ZeRO",
        tasks=("training",),
        newest=("5.23",),
        breakdown=zero,
        check=check_sharded,
        command=command,
        uses=USES | {"tensor_parallel", "expert_parallel"},
        defaults={"zero_stage": 2, "precision": "master"},
        source="arXiv 1910.02054; DeepSpeed 0.14",
    ),
)
