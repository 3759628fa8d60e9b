"""SGLang: a static share of the free memory holds weights and cache; activations and graphs live in the rest.

pool = mem_fraction_static × memory free at start − weights, in tokens: a page is one token. Recurrent layers have state
pools of their own, one slot for each running request and one more.
Source: sgl-project/sglang srt/model_executor/model_runner.py (2025).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge.breakdown import Factor, Item, Pool, constant, item, merged, product
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, FORMATS
from gauge.memory.collect import stacked
from gauge.memory.engine_pass import forward_peak
from gauge.memory.overhead import context
from gauge.memory.stages import Stage, stages
from gauge.memory.state import state_items
from gauge.overheads import overhead
from gauge.runtimes.serving import TENSOR_RULES, check_degrees, engine_weights, formats, profile_how, serving_mesh
from gauge.sequence import Sequence
from gauge.tensor import Dim, Tensor, tensor
from gauge.units import GIB

SOURCE = "sgl-project/sglang, srt/model_executor/model_runner.py"
MOMENTS = (("load", "after loading"), ("serve", "serving"))
STATIC_SHARE = 0.90
CHUNKS = ((60 * GIB, 8192), (35 * GIB, 4096), (0, 2048))  # chunked prefill by device memory


@dataclass(frozen=True)
class Rank:
    """One stage: its items without the pool, bytes of the static share that remain, bytes of one token's cache."""

    items: tuple[Item, ...]
    pool: int | None
    token: int
    need: int


def chunk(case: Case) -> int:
    """Tokens that one prefill step computes: asked for, or by the device's memory."""
    if case.plan.max_num_batched_tokens is not None:
        return case.plan.max_num_batched_tokens
    total = case.cluster.capacity or 80 * GIB
    return next(tokens for least, tokens in CHUNKS if total >= least)


def _cache(stage: Stage, case: Case, batch: int, tokens: int) -> tuple[Item, ...]:
    whole = Sequence(batch, tokens, policy=lambda n, window, chunk: n)
    return state_items(stage.model, whole, formats(case.plan), TENSOR_RULES, serving_mesh(case.plan))


def rank(stage: Stage, case: Case) -> Rank:
    """Everything that one device of a stage holds."""
    plan = case.plan
    weights = tuple(engine_weights(stage.model, plan, FLOAT32))
    slots = (plan.max_num_seqs or plan.batch_size) + 1
    state = tuple(i for i in _cache(stage, case, slots, 1) if i.component == "recurrent_state")
    cache = tuple(i for i in _cache(stage, case, plan.batch_size, plan.tokens) if i.component == "kv_cache")
    token = sum(i.bytes for i in _cache(stage, case, 1, 1) if i.component == "kv_cache")
    together = plan.tensor_parallel * plan.pipeline_parallel > 1
    alone = context(case.cluster.device, "sglang", "before")
    start = constant("framework.context", overhead("sglang", "before_parallel") if together else alone)
    need = sum(i.bytes for i in cache)
    items = [*weights, *state, *(i.at("serve") for i in cache), start, *_passing(stage, case)]
    pool = None
    if case.cluster.capacity is not None:
        share = STATIC_SHARE if plan.gpu_memory_utilization is None else plan.gpu_memory_utilization
        pool = int((case.cluster.capacity - start.bytes) * share) - sum(i.bytes for i in (*weights, *state))
        if pool > need:
            items.append(_reserve(pool - need))
    return Rank(tuple(items), pool, token, need)


def _reserve(size: int) -> Item:
    return product(
        "kv_cache.reserve",
        "rest of the static share",
        (Factor("bytes", size, "the static share less weights and the cache needed"),),
        why="The engine takes its whole static share at start; the request does not need this part.",
        source=SOURCE,
        moments=("serve",),
        scope="reserved",
    )


def _passing(stage: Stage, case: Case) -> Iterator[Item]:
    """What lives in the rest of the device: one chunk's activations, logits, workspaces, graphs."""
    plan, dtype = case.plan, FORMATS[case.plan.dtype]
    peak = forward_peak(stage.model, profile_how(plan), chunk(case))
    for one in stacked((t, 1) for t in (*peak.flying, *peak.workspaces)):
        yield _wide(item("activations", one, why="One chunk of a prompt passing through.", source=SOURCE), 50, 160)
    head = stage.model.head
    if head is not None:
        for name, format in (("logits", dtype), ("logits in float32", FLOAT32), ("probabilities", FLOAT32)):
            row: Tensor = tensor(name, format, (Dim.BATCH, plan.batch_size), (Dim.VOCAB, head.outputs))
            yield item("logits", row, why="One row a running sequence.", source=SOURCE, moments=("serve",))
    yield constant("workspace", overhead("sglang", "workspace"), scope="allocated", moments=("serve",))
    if not plan.enforce_eager:
        yield constant("cuda_graphs", overhead("sglang", "graphs"), moments=("serve",))


def _wide(found: Item, low: int, high: int) -> Item:
    """The item as a range in percent, since only the mechanism is known and not this engine's own figure."""
    return replace(found, low=found.bytes * low // 100, high=found.bytes * high // 100, certainty="policy", moments=("serve",))


def serving(case: Case) -> Breakdown:
    """The stage whose pool holds the fewest tokens."""
    ranks = [rank(stage, case) for stage in stages(case.model, case.plan.pipeline_parallel)]
    worst = min(ranks, key=lambda r: r.pool // max(r.token, 1) if r.pool is not None else -sum(i.bytes for i in r.items))
    pool = Pool("gpu", max(case.cluster.count, 1), merged(worst.items), MOMENTS)
    if worst.pool is None:
        return Breakdown(pools=(pool,), warnings=(WARNING,))
    left = max(worst.pool, 0)
    capacity = {"kv_pool_bytes": left, "kv_pool_tokens": left // worst.token if worst.token else 0}
    return Breakdown(pools=(pool,), capacity=capacity, warnings=(WARNING,), spare=worst.pool - worst.need)


WARNING = "SGLang's own logs cover weights and pool; its activations, workspaces and graphs are given as ranges."


def command(case: Case) -> str:
    """`python -m sglang.launch_server` with these settings."""
    plan = case.plan
    share = STATIC_SHARE if plan.gpu_memory_utilization is None else plan.gpu_memory_utilization
    words = [
        f"python -m sglang.launch_server --model-path {case.model.id}",
        f"--dtype {plan.dtype}",
        f"--context-length {plan.tokens}",
        f"--mem-fraction-static {share:g}",
    ]
    if plan.quantization == "fp8":
        words.append("--quantization fp8")
    if plan.kv_cache_dtype == "fp8":
        words.append("--kv-cache-dtype fp8_e4m3")
    for flag, degree in (("tp", plan.tensor_parallel), ("pp", plan.pipeline_parallel), ("dp", plan.data_parallel)):
        if degree > 1:
            words.append(f"--{flag} {degree}")
    if plan.expert_parallel > 1:
        words.append(f"--ep {plan.expert_parallel}")
    if plan.max_num_seqs is not None:
        words.append(f"--max-running-requests {plan.max_num_seqs}")
    if plan.max_num_batched_tokens is not None:
        words.append(f"--chunked-prefill-size {plan.max_num_batched_tokens}")
    if plan.enforce_eager:
        words.append("--disable-cuda-graph")
    return " ".join(words)


RUNTIMES = (
    Runtime(
        id="sglang",
        label="SGLang",
        tasks=("inference",),
        breakdown=serving,
        uses=frozenset(
            {
                "quantization",
                "sparsity",
                "kv_cache_dtype",
                "gpu_memory_utilization",
                "max_num_seqs",
                "max_num_batched_tokens",
                "enforce_eager",
                "tensor_parallel",
                "pipeline_parallel",
                "data_parallel",
                "expert_parallel",
                "prompt_length",
            }
        ),
        command=command,
        check=check_degrees,
        source=SOURCE,
    ),
)
