"""What serving engines have in common: how weights are split and shaped, cache formats, degrees that cannot be.

Their layers descend from the same parallel layers (Megatron's): heads, MLP and vocabulary over tensor-parallel ranks,
KV heads one a rank where there are fewer, whole experts a rank under expert parallelism.
Source: vLLM model_executor/layers (release 0.19), which SGLang shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from gauge.breakdown import Factor, Item, Pool, item, merged, product
from gauge.case import Breakdown, Case
from gauge.errors import RequestError
from gauge.formats import FLOAT32, FORMATS, Format, format_of
from gauge.hardware import Device
from gauge.how import How
from gauge.layers.attention import Attention
from gauge.layers.experts import Experts
from gauge.layers.latent_attention import LatentAttention
from gauge.memory.collect import layered
from gauge.memory.engine_weights import absorbed, padded_vocabulary, rotary_tables, rounding
from gauge.memory.overhead import platform
from gauge.memory.state import as_it_is, cache_formats, state_items
from gauge.memory.weights import stored, weight_items
from gauge.model import Model
from gauge.plan import Plan
from gauge.quantization import store_of
from gauge.sequence import Sequence
from gauge.tensor import Axis, Dim, Mesh, Rules, Tensor, extent
from gauge.units import ceil_div, round_up

SOURCE = "vllm-project/vllm, model_executor/layers (release 0.19)"
TENSOR_RULES: Rules = (
    (Dim.VOCAB, Axis.TENSOR),
    (Dim.HEADS, Axis.TENSOR),
    (Dim.KV_HEADS, Axis.TENSOR),
    (Dim.FFN, Axis.TENSOR),
    (Dim.INNER, Axis.TENSOR),
)
EXPERT_RULES: Rules = ((Dim.EXPERTS, Axis.EXPERT),)
VOCAB_MULTIPLE = 64
_SPARSE = "vLLM v1/attention/backends/mla/indexer.py and flashmla_sparse.py (release 0.19); SGLang's NSA cache is laid out alike"
INDEX_KEYS = Format("fp8-index", 128, 132, "128 FP8 numbers and a float32 scale", _SPARSE)
SPARSE_LATENTS = Format("fp8-latent", 576, 656, "512 FP8 numbers, four float32 scales, 64 numbers in 16 bits", _SPARSE)
READ = ("tokens", "target")  # sequences that serving engines schedule
USES = frozenset(
    {
        "quantization",
        "sparsity",
        "kv_cache_dtype",
        "gpu_memory_utilization",
        "max_num_seqs",
        "max_num_batched_tokens",
        "tensor_parallel",
        "pipeline_parallel",
        "data_parallel",
        "expert_parallel",
        "prompt_length",
    }
)
WHY_TABLE = "Cosines and sines of every position up to the model's longest; each rank keeps the whole table."
WHY_ABSORBED = "Latent attention keeps the way up from the latent a second time, in the shape that decoding needs."
WHY_RESERVE = (
    "The engine takes its whole share of the device at start; the request does not need this part. "
    "Prefixes that were computed stay cached in it until the room is needed."
)
WHY_ROUNDING = "PyTorch's allocator books large tensors in whole 2 MiB segments."


def serving_mesh(plan: Plan) -> Mesh:
    """Splits inside a pipeline stage. vLLM's data-parallel ranks split each expert among them, unless experts are whole.

    Source: vLLM model_executor/layers/fused_moe/config.py, FusedMoEParallelConfig.make.
    """
    among = plan.data_parallel if plan.runtime == "vllm" and plan.expert_parallel == 1 else 1
    return {Axis.TENSOR: plan.tensor_parallel, Axis.EXPERT: plan.expert_parallel, Axis.DATA: among}


def weight_rules(plan: Plan) -> Callable[[Tensor], Rules]:
    """Under expert parallelism a device has whole experts, else a part of each; everything else is split by tensor
    parallelism.
    """

    def rules(weight: Tensor) -> Rules:
        if not weight.role.startswith("expert") or all(e.dim is not Dim.EXPERTS for e in weight.dims):
            return TENSOR_RULES
        return EXPERT_RULES if plan.expert_parallel > 1 else (*TENSOR_RULES, (Dim.FFN, Axis.DATA))

    return rules


def profile_how(plan: Plan) -> How:
    """The circumstances of the engine's own forward pass."""
    return How(
        compute=FORMATS[plan.dtype],
        grad=False,
        kernels="fused",
        attention="flash",
        frozen=True,
        rules=TENSOR_RULES,
        mesh=serving_mesh(plan),
    )


def formats(plan: Plan, model: Model, states: Format = FLOAT32) -> Callable[[Tensor], Format]:
    """The format of each state tensor under this plan; `states` is that of recurrent states proper, which the models'
    own code keeps in float32. Inputs of short convolutions have the model's dtype.

    Where an indexer picks the tokens to attend to, its keys are FP8 with a scale, and latents in FP8 keep theirs with their
    rotated part in 16 bits.
    """
    key = format_of(plan.kv_cache_dtype or plan.dtype)
    usual = cache_formats(key, None, lambda t: states if t.format is FLOAT32 else FORMATS[plan.dtype])
    latent = model.first(LatentAttention)
    if latent is None or latent.indexer is None:
        return usual
    own = {"index_cache": INDEX_KEYS} | ({"latent_cache": SPARSE_LATENTS} if key.id == "fp8" else {})
    return lambda tensor: own.get(tensor.role) or usual(tensor)


def cached(model: Model, plan: Plan, sequence: Sequence, shape: Callable[[Tensor], Tensor] = as_it_is) -> tuple[Item, ...]:
    """What one device keeps of a sequence between steps, as its share of the heads."""
    return state_items(model, sequence, formats(plan, model), TENSOR_RULES, serving_mesh(plan), shape)


def shaped(model: Model, degree: int) -> Callable[[Tensor], Tensor]:
    """A weight as the engine's layers shape it: rows of the vocabulary padded, key heads of fused matrices one a rank."""
    attention = model.first(Attention)

    def shape(weight: Tensor) -> Tensor:
        fused = weight.role in ("qkv", "qkv_bias") and weight.dims[0].dim is Dim.HEADS
        if not fused or attention is None or degree == 1:
            return padded_vocabulary(weight, VOCAB_MULTIPLE)
        each = ceil_div(attention.heads, degree) + 2 * ceil_div(attention.kv_heads, degree)
        return replace(weight, dims=(extent(Dim.HEADS, each * degree), *weight.dims[1:]))

    return shape


def padded_experts(plan: Plan, inner: int, hidden: int) -> Callable[[Tensor], Tensor]:
    """Routed experts with their inner size on one device, and the stream's width, filled up to multiples of these."""
    parts = plan.tensor_parallel * serving_mesh(plan)[Axis.DATA]
    multiples = {Dim.FFN: inner * parts, Dim.HIDDEN: hidden}

    def pad(weight: Tensor) -> Tensor:
        if not weight.role.startswith("expert_"):
            return weight
        sizes = tuple(extent(e.dim, round_up(e.size, multiples.get(e.dim, 1))) for e in weight.dims)
        return replace(weight, dims=sizes)

    return pad


def engine_weights(
    model: Model,
    plan: Plan,
    table: Format | None = None,
    pad: Callable[[Tensor], Tensor] | None = None,
    stretched: bool = True,
) -> Iterator[Item]:
    """Weights of one device and what is kept beside them; `table` is the format of position tables, which are as long as
    scaling stretches positions where `stretched`; `pad` fills up what a kernel wants larger.
    """
    dtype = FORMATS[plan.dtype]
    store = store_of(plan.quantization, plan.sparsity, dtype, model.first(Experts) is not None)
    plain, rules, mesh = shaped(model, plan.tensor_parallel), weight_rules(plan), serving_mesh(plan)

    def shape(weight: Tensor) -> Tensor:
        return pad(plain(weight)) if pad else plain(weight)

    yield from weight_items(model, store, rules, mesh, shape=shape)
    for one in rotary_tables(model, table or dtype, stretched):
        yield item("weights.rotary", one, why=WHY_TABLE, source=SOURCE, certainty="policy")
    for copy in layered(absorbed(model, dtype, TENSOR_RULES, mesh), len(model.decoder.blocks)):
        yield item("weights.absorbed", copy, why=WHY_ABSORBED, source=SOURCE, certainty="policy")
    extra = rounding(stored(model, store, rules, mesh, shape))
    if extra:
        factors = (Factor("bytes", extra, "of all matrices of 10 MiB and more"),)
        source = "PyTorch c10/cuda/CUDACachingAllocator.cpp"
        yield product("weights.rounding", "whole allocator segments", factors, why=WHY_ROUNDING, source=source)


# ------------------------------------------------------------------------------------------------ the pool
@dataclass(frozen=True)
class Rank:
    """One device of one stage: its items, the cache's `pool` in bytes (None where no device is known), and the bytes
    that the request `needs` of it. The pool is cut into pieces of `piece` bytes that hold `tokens` tokens.
    """

    items: tuple[Item, ...]
    pool: int | None
    needs: int
    piece: int
    tokens: int = 1

    @property
    def pieces(self) -> int:
        """Whole pieces in the pool."""
        return max(self.pool or 0, 0) // self.piece if self.piece else 0

    @property
    def leaves(self) -> int:
        """What is left for the cache: the stage with the least is the one that limits the engine."""
        if self.pool is not None and self.piece:
            return self.pool // self.piece
        return -sum(i.bytes for i in self.items)

    def all(self, source: str, note: str) -> tuple[Item, ...]:
        """The items, and the part of the pool that the request does not need."""
        if self.pool is None or self.pool <= self.needs or not self.piece:
            return self.items
        rest = product(
            "kv_cache.reserve",
            "rest of the reserved pool",
            (Factor("bytes", self.pool - self.needs, note),),
            why=WHY_RESERVE,
            source=source,
            moments=("serve",),
            scope="reserved",
        )
        return (*self.items, rest)


def answered(
    case: Case,
    ranks: Iterable[Rank],
    moments: tuple[tuple[str, str], ...],
    source: str,
    note: str,
    warnings: Callable[[Rank], Iterable[str]],
) -> Breakdown:
    """The breakdown of the stage that leaves the least for its cache."""
    worst = min(ranks, key=lambda r: r.leaves)
    pool = Pool("gpu", max(case.cluster.count, 1), merged(worst.all(source, note)), moments)
    if worst.pool is None:
        return Breakdown(pools=(pool,), warnings=tuple(warnings(worst)))
    capacity = {"kv_pool_bytes": max(worst.pool, 0), "kv_pool_tokens": worst.pieces * worst.tokens}
    spare = worst.pool - worst.needs
    return Breakdown(pools=(pool,), capacity=capacity, warnings=tuple(warnings(worst)), spare=spare)


def captures(device: Device | None) -> bool:
    """Whether a device has graphs of kernels that engines capture."""
    return platform(device) in ("cuda", "rocm")


def elsewhere(device: Device | None) -> Iterator[str]:
    """A remark where an engine's policies are known from another platform."""
    if device is not None and platform(device) not in ("cuda", "rocm"):
        yield f"These are the policies of the engine on GPUs of NVIDIA and AMD; on {device.title} another backend runs."


# ------------------------------------------------------------------------------------------------ commands
def options(*pairs: tuple[str, int | float | None]) -> Iterator[str]:
    """Options of a command line for what was asked for."""
    for flag, value in pairs:
        if value is not None:
            yield f"{flag} {value:g}" if isinstance(value, float) else f"{flag} {value}"


def degrees(*pairs: tuple[str, int]) -> Iterator[str]:
    """Options of a command line for degrees above one."""
    return options(*((flag, degree if degree > 1 else None) for flag, degree in pairs))


# ------------------------------------------------------------------------------------------------ what cannot be
def check_degrees(case: Case) -> None:
    """Degrees that the engine's layers cannot be split by. Raises RequestError."""
    plan, model, device = case.plan, case.model, case.cluster.device
    if device is not None and device.kind in ("mobile", "cpu"):
        where = "phones" if device.kind == "mobile" else "processors as it does on GPUs, which is what is known here"
        raise RequestError("runtime", f"{plan.runtime} does not run on {where}", "use llama.cpp or transformers")
    if model.decoder.sequence not in READ:
        message = f"{plan.runtime} serves models that read text, which {model.title or model.id or 'this one'} does not"
        raise RequestError("runtime", message, "use transformers", [{"runtime": "transformers"}])
    degree, layers = plan.tensor_parallel, len(model.decoder.blocks)
    rows = round_up(model.vocab, VOCAB_MULTIPLE)
    if degree > 1 and rows % degree:
        message = f"{degree} does not divide the padded vocabulary of {rows:,}"
        raise RequestError("tensor_parallel", message, "use 2, 4 or 8")
    attention = model.first(Attention)
    if attention is not None and max(attention.kv_heads, degree) % min(attention.kv_heads, degree):
        message = f"{degree} and {attention.kv_heads} KV heads do not divide each other"
        raise RequestError("tensor_parallel", message, "use a divisor or a multiple of the KV heads")
    if plan.pipeline_parallel > layers:
        message = f"{plan.pipeline_parallel} stages for {layers} layers"
        raise RequestError("pipeline_parallel", message, f"use at most {layers}")
    whole = degree * plan.data_parallel
    if plan.expert_parallel > 1 and plan.expert_parallel != whole:
        message = f"experts are spread over all {whole} tensor- and data-parallel ranks"
        raise RequestError("expert_parallel", message, f"use {whole}, or change tensor_parallel or data_parallel")
