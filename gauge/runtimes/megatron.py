"""Megatron-LM (Megatron Core with Transformer Engine): fused kernels, main gradients in float32, masters, split vocabulary.

16-bit weights (2 bytes a parameter), a float32 buffer of main gradients that backward writes into (4), and float32
masters with Adam's two moments (12), which the distributed optimizer (`zero_stage=1`) splits over data-parallel ranks.
Source: arXiv 1909.08053, 2205.05198; megatron/core/distributed, megatron/core/optimizer (core 0.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gauge.breakdown import Item, constant, item
from gauge.case import Breakdown, Case, Runtime
from gauge.errors import RequestError
from gauge.formats import FLOAT32, Format
from gauge.how import How
from gauge.layers.attention import Attention
from gauge.layers.experts import Experts
from gauge.layers.mlp import MLP
from gauge.memory.optimizer import optimizer_of
from gauge.memory.sharding import expert_tensor
from gauge.memory.stages import shares
from gauge.memory.step import Gradients
from gauge.optimizers import Optimizer
from gauge.overheads import overhead
from gauge.runtimes.sharded import PARALLEL, USES, Sharded, by_stage, check_sharded, words_of
from gauge.tape import dims
from gauge.tensor import Dim, Tensor

HOPPER_AND_LATER = ("h100", "h200", "h800", "h20", "gh200", "b100", "b200", "b300", "gb200", "gb300")
THREADS = 2  # forward's and backward's, each with a cuBLAS workspace of its own
GROUPED_STREAMS = 4  # that Transformer Engine's grouped products run on, each with a workspace of its own
WHY_GATHERED_INPUT = "The head reads all tokens; what puts them together is a buffer that stays."
BUFFER_SOURCE = "megatron/core/tensor_parallel/layers.py and utils.py, GlobalMemoryBuffer"


class Megatron(Sharded):
    """One rank of Megatron-LM."""

    @property
    def wide_tables(self) -> bool:
        """Nothing makes an exception of embeddings."""
        return False

    def habits(self, how: How) -> How:
        """Fused norms, activations, rotary and softmax; no autocast."""
        return replace(how, autocast=False, kernels="fused")

    @property
    def stored(self) -> Format:
        """16-bit weights."""
        return self.how.compute

    def gradient(self, weight: Tensor) -> Tensor:
        """The main gradient: float32, whole under the distributed optimizer."""
        wide = replace(weight, format=FLOAT32) if self.plan.precision in ("master", "mixed") else weight
        return self.shards.gradient(wide)

    def policy(self) -> Gradients:
        """Backward adds to buffers of main gradients that always exist."""
        return Gradients(kept=self.gradient, resident=True, direct=True)

    @property
    def optimizer(self) -> Optimizer:
        """Apex's fused Adam needs no temporaries."""
        found = super().optimizer
        return optimizer_of("adamw-fused") if found.id == "adamw" else found

    @property
    def lingering(self) -> tuple[str, ...]:
        """The buffers always exist."""
        return ("load", "between")

    def buffers(self) -> Iterator[Item]:
        """The workspaces of Transformer Engine's and PyTorch's own matrix products, which stay allocated, and the tokens
        that the head puts together from all sequence-parallel ranks."""
        device = self.case.cluster.device
        old = "_before_hopper" if device is not None and not any(n in device.id for n in HOPPER_AND_LATER) else ""
        gemm = overhead("megatron", f"gemm{old}")
        streams = GROUPED_STREAMS if self.case.model.first(Experts) is not None else 0
        size, _, high = gemm.times(1 + streams)
        yield constant("workspace.gemm", gemm, size=(size, gemm.low, high + self.placeholders()), scope="allocated")
        blas = overhead("megatron", f"cublas{old}")
        yield constant("workspace.cublas", blas, size=blas.times(THREADS), scope="allocated")
        if self.how.gathers and self.case.model.head is not None:
            shape = dims(
                (Dim.BATCH, self.plan.batch_size), (Dim.ALL_TOKENS, self.plan.tokens), (Dim.HIDDEN, self.case.model.hidden)
            )
            whole = self.how.split(Tensor("input of the head, all tokens", shape, self.how.compute))
            yield item("workspace", whole, why=WHY_GATHERED_INPUT, source=BUFFER_SOURCE, certainty="policy")

    def placeholders(self) -> int:
        """Bytes of the 16-bit tensors that autograd gets in place of gradients which fused products have added to the
        main ones already: one for each shape of a matrix, kept for good.

        Megatron fuses so unless it is told `--no-gradient-accumulation-fusion`, as most of its own tests are.
        """
        model = self.case.model
        held = (t for part in model.parts for block, _ in part.runs() for t in block.weights())
        blocks = (t for t in held if len(t.dims) > 1 and not t.name.endswith("bias"))
        tables = (t for part in model.parts for t in part.outer() if t.role == "token_embedding")
        head = [t for t in model.head.weights() if t.role == "head"] if model.head else []
        last = head or (list(tables) if model.head and model.head.tied else [])
        found = {(t.role, t.dims): self.local(t) for t in (*blocks, *last)}
        return sum(_of_one_expert(t) * self.how.compute.bytes for t in found.values())


def _of_one_expert(weight: Tensor) -> int:
    """Numbers in a matrix; routed experts each have their own."""
    first = weight.dims[0]
    return weight.elements // first.size if first.dim is Dim.EXPERTS else weight.elements


def megatron(case: Case) -> Breakdown:
    """The fullest pipeline stage's pools."""
    return by_stage(case, Megatron)


def check(case: Case) -> None:
    """What Megatron cannot do. Raises RequestError."""
    check_sharded(case)
    if case.plan.method != "full":
        remedy = "use method=full, or runtime=transformers"
        raise RequestError("method", "Megatron-LM trains all weights", remedy, ({"runtime": "transformers"},))


def command(case: Case) -> str:
    """`pretrain_gpt.py` with the shape of the model and these settings."""
    return " ".join((f"torchrun --nproc_per_node {min(case.plan.world, 8)} pretrain_gpt.py", *_shape(case), *_settings(case)))


def _shape(case: Case) -> Iterator[str]:
    model, attention, mlp = case.model, case.model.first(Attention), case.model.first(MLP)
    yield f"--num-layers {len(model.decoder.blocks)} --hidden-size {model.hidden}"
    if attention is not None:
        yield f"--num-attention-heads {attention.heads}"
        if attention.kv_heads != attention.heads:
            yield f"--group-query-attention --num-query-groups {attention.kv_heads}"
    if mlp is not None:
        yield f"--ffn-hidden-size {mlp.inner}"
    if model.head is not None and not model.head.tied:
        yield "--untie-embeddings-and-output-weights"


def _settings(case: Case) -> Iterator[str]:
    plan = case.plan
    yield f"--{words_of(plan.dtype)}" if plan.dtype != "float32" else ""
    yield f"--seq-length {plan.tokens} --max-position-embeddings {plan.tokens} --micro-batch-size {plan.batch_size}"
    yield f"--global-batch-size {plan.batch_size * plan.data_parallel * max(plan.gradient_accumulation, plan.microbatches or 1)}"
    for name, degree in (
        ("tensor-model-parallel-size", plan.tensor_parallel),
        ("pipeline-model-parallel-size", plan.pipeline_parallel),
        ("context-parallel-size", plan.context_parallel),
        ("expert-model-parallel-size", plan.expert_parallel),
        ("expert-tensor-parallel-size", expert_tensor(plan) if plan.expert_parallel > 1 else 1),
    ):
        if degree > 1:
            yield f"--{name} {degree}"
    layers = len(case.model.decoder.blocks)
    if layers % plan.pipeline_parallel:
        pieces = [f"t*{size}" for size in shares(layers, plan.pipeline_parallel)]
        yield f'--pipeline-model-parallel-layout "E{"|".join(pieces)}L"'
    if plan.sequence_parallel:
        yield "--sequence-parallel"
    if plan.virtual_pipeline > 1:
        each = len(case.model.decoder.blocks) // (plan.pipeline_parallel * plan.virtual_pipeline)
        yield f"--num-layers-per-virtual-pipeline-stage {each}"
    if plan.zero_stage:
        yield "--use-distributed-optimizer"
        ranks = plan.data_parallel * plan.context_parallel
        if plan.shard_degree is not None and plan.shard_degree < ranks:
            yield f"--num-distributed-optimizer-instances {ranks // plan.shard_degree}"
    if plan.gradient_checkpointing == "selective":
        yield "--recompute-activations"
    if plan.gradient_checkpointing == "full":
        yield "--recompute-granularity full --recompute-method uniform --recompute-num-layers 1"
    if plan.dropout is not None:
        yield f"--attention-dropout {plan.dropout} --hidden-dropout {plan.dropout}"


RUNTIMES = (
    Runtime(
        id="megatron",
        label="Megatron-LM",
        tasks=("training",),
        newest=("2026-08",),
        breakdown=megatron,
        check=check,
        command=command,
        uses=(USES | PARALLEL)
        - {"quantization", "lora_rank", "lora_targets", "lora_dropout", "lora_dtype", "upcast_frozen", "optimizer_in_backward"},
        defaults={"precision": "master", "loss": "vocab-parallel", "attention": "flash"},
        source="Megatron Core 0.8",
    ),
)
