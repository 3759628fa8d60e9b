"""SGLang: a static share of the free memory holds weights and cache; activations and graphs live in the rest.

pool = mem_fraction_static × memory free at start − weights, in tokens: a page is one token. Recurrent layers have state
pools of their own, one slot for each running request and one more.
Source: sgl-project/sglang srt/model_executor/model_runner.py (2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gauge.breakdown import Factor, Item, constant, item, product
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, FORMATS
from gauge.memory.collect import stacked
from gauge.memory.engine_pass import forward_peak
from gauge.memory.overhead import before_start
from gauge.memory.stages import Stage, stages
from gauge.memory.state import without_newest
from gauge.overheads import overhead
from gauge.runtimes import serving as engine
from gauge.runtimes.release import release
from gauge.sequence import Sequence
from gauge.tensor import Dim, Tensor, tensor
from gauge.units import GIB, MIB

SOURCE = "sgl-project/sglang, srt/model_executor/model_runner.py"
MOMENTS = (("load", "after loading"), ("serve", "serving"))
STATIC_SHARE = 0.90
WINDOW_POOLS = frozenset({"llama4", "gpt_oss", "mimo_v2_flash"})  # architectures whose windowed layers get their own pool
WINDOW_SHARE = (4, 5)  # tokens of that pool for those of the full layers: --swa-full-tokens-ratio 0.8
WINDOW_PROBE = 64  # tokens over which bytes a token are taken, so that blocks of a quantized cache come out whole
STATE_RATIO = (9, 10)  # states to cache: --mamba-full-memory-ratio 0.9
TIERS = (  # device memory from, tokens of a prefill chunk, largest captured batch, the same with tensor parallel 4 and more
    (160 * GIB, 16_384, 512, 512),
    (60 * GIB, 8192, 256, 512),
    (35 * GIB, 4096, 32, 160),
    (20 * GIB, 2048, 24, 80),
    (0, 2048, 8, 8),
)
LARGE, LARGE_REST = 60 * GIB, 10 * GIB


def _tier(total: int) -> tuple[int, int, int]:
    return next(tier[1:] for tier in TIERS if total >= tier[0])


def chunk(case: Case) -> int:
    """Tokens that one prefill step computes: asked for, or by the device's memory."""
    if case.plan.max_num_batched_tokens is not None:
        return case.plan.max_num_batched_tokens
    return _tier(case.cluster.capacity or 80 * GIB)[0]


def own_share(case: Case) -> float | None:
    """The static share that SGLang takes where none is asked for: what activations (1.5 MiB a token of a chunk), graphs
    (2 MiB a sequence) and communicators leave of the memory that the driver reports. None where no device is known.

    Source: sgl-project/sglang srt/server_args.py, _handle_gpu_memory_settings (pull request 10975, September 2025).
    """
    plan, device, total = case.plan, case.cluster.device, case.cluster.capacity
    if total is None:
        return None
    if device is not None and case.cluster.memory is None:
        total = device.reported
    most = _tier(total)[2 if plan.tensor_parallel >= 4 else 1]
    ranks = plan.tensor_parallel * plan.pipeline_parallel
    rest = 512 * MIB + max(chunk(case), 2048) * 3 * MIB // 2 + most * 2 * MIB + ranks * GIB // 8
    if total > LARGE:
        rest = max(rest, LARGE_REST)
    return round((total - rest) / total, 3)


def _policy(case: Case, windowed: int | None) -> Callable[[int, int | None, int | None], int]:
    """Tokens that a layer keeps; `windowed` limits those of windowed layers where they have a pool of their own."""

    def kept(tokens: int, window: int | None, chunk: int | None) -> int:
        reach = window or chunk
        return tokens if reach is None or windowed is None else min(tokens, reach + windowed)

    return kept


def _cache(stage: Stage, case: Case, batch: int, tokens: int, windowed: int | None = None) -> tuple[Item, ...]:
    whole = Sequence(batch, tokens, policy=_policy(case, windowed))
    return engine.cached(stage.model, case.plan, whole, without_newest)


def _bytes(items: Iterable[Item], component: str) -> int:
    return sum(i.bytes for i in items if i.component == component)


def has_window_pool(case: Case) -> bool:
    """Whether windowed layers have a pool of their own."""
    new = not release(case.plan.runtime_version).before((0, 5), (2025, 9))
    return new and case.model.family in WINDOW_POOLS


def token_bytes(stage: Stage, case: Case) -> int:
    """Bytes of one token of the pool: a pool of windowed layers holds 0.8 of the tokens of the full ones."""
    every = _bytes(_cache(stage, case, 1, WINDOW_PROBE), "kv_cache")
    if not has_window_pool(case):
        return every // WINDOW_PROBE
    full = _bytes(_without_windows(stage, case), "kv_cache")
    return (full + (every - full) * WINDOW_SHARE[0] // WINDOW_SHARE[1]) // WINDOW_PROBE


def _without_windows(stage: Stage, case: Case) -> tuple[Item, ...]:
    whole = Sequence(1, WINDOW_PROBE, policy=lambda tokens, window, chunk: 0 if window or chunk else tokens)
    return engine.cached(stage.model, case.plan, whole)


def spare_slots(case: Case, free: int | None, slot: int, used: int) -> int:
    """Slots of the recurrent pool beyond the used ones: since late 2025 the pool takes its share of what is free."""
    if not slot or free is None or release(case.plan.runtime_version).before((0, 5, 5), (2025, 11)):
        return 0
    budget = free * STATE_RATIO[0] // (STATE_RATIO[0] + STATE_RATIO[1])
    return max(budget // slot - used, 0)


def _spare(count: int, slot: int) -> Iterator[Item]:
    if count:
        factors = (
            Factor("slots", count, "the pool's share of the free memory"),
            Factor("bytes a slot", slot, "states of all layers"),
        )
        why = "Recurrent states have a pool of their own that takes its share at start, for cached prefixes as well."
        label = "rest of the states' pool"
        yield product("kv_cache.reserve", label, factors, why=why, source=SOURCE, moments=("serve",), scope="reserved")


def rank(stage: Stage, case: Case) -> engine.Rank:
    """Everything that one device of a stage holds."""
    plan = case.plan
    weights = tuple(engine.engine_weights(stage.model, plan, FLOAT32))
    together = plan.tensor_parallel * plan.pipeline_parallel > 1
    start = before_start(case.cluster.device, "sglang", "framework.context")
    if together:
        start = constant("framework.context", overhead("sglang", "before_parallel"))
    free = None
    if case.cluster.capacity is not None:
        share = STATIC_SHARE if plan.gpu_memory_utilization is None else plan.gpu_memory_utilization
        free = int((case.cluster.capacity - start.bytes) * share) - sum(i.bytes for i in weights)
    slot = _bytes(_cache(stage, case, 1, 1), "recurrent_state")
    slots = (plan.max_num_seqs or plan.batch_size) + 1
    state = [i for i in _cache(stage, case, slots, 1) if i.component == "recurrent_state"]
    state += _spare(spare_slots(case, free, slot, slots), slot)
    windowed = chunk(case) if has_window_pool(case) else None
    cache = tuple(i for i in _cache(stage, case, plan.batch_size, plan.tokens, windowed) if i.component == "kv_cache")
    items = (*weights, *state, *(i.at("serve") for i in cache), start, *_passing(stage, case))
    pool = None if free is None else free - sum(i.bytes for i in state)
    return engine.Rank(items, pool, sum(i.bytes for i in cache), token_bytes(stage, case))


def _passing(stage: Stage, case: Case) -> Iterator[Item]:
    """What lives in the rest of the device: one chunk's activations, logits, workspaces, graphs."""
    plan, dtype = case.plan, FORMATS[case.plan.dtype]
    peak = forward_peak(stage.model, engine.profile_how(plan), chunk(case))
    for one in stacked((t, 1) for t in (*peak.flying, *peak.workspaces)):
        yield _wide(item("activations", one, why="One chunk of a prompt passing through.", source=SOURCE), 50, 160)
    head = stage.model.head
    if head is not None:
        for name, format in (("logits", dtype), ("logits in float32", FLOAT32), ("probabilities", FLOAT32)):
            row: Tensor = tensor(name, format, (Dim.BATCH, plan.batch_size), (Dim.VOCAB, head.outputs))
            yield item("logits", row, why="One row a running sequence.", source=SOURCE, moments=("serve",))
    yield constant("workspace", overhead("sglang", "workspace"), scope="allocated", moments=("serve",))
    if not plan.enforce_eager and engine.captures(case.cluster.device):
        yield constant("cuda_graphs", overhead("sglang", "graphs"), moments=("serve",))


def _wide(found: Item, low: int, high: int) -> Item:
    """The item as a range in percent, since only the mechanism is known and not this engine's own figure."""
    return found._replace(low=found.bytes * low // 100, high=found.bytes * high // 100, certainty="policy", moments=("serve",))


def serving(case: Case) -> Breakdown:
    """The stage whose pool holds the fewest tokens."""
    ranks = [rank(stage, case) for stage in stages(case.model, case.plan.pipeline_parallel)]
    note = "the static share less weights, states and the cache needed"
    return engine.answered(case, ranks, MOMENTS, SOURCE, note, lambda worst: _remarks(case, worst))


def _remarks(case: Case, worst: engine.Rank) -> Iterator[str]:
    yield from engine.elsewhere(case.cluster.device)
    yield "SGLang's own logs cover weights and pool; its activations, workspaces and graphs are given as ranges."
    if worst.pool is not None and worst.pool < worst.needs:
        yield "The static share does not hold the cache that these sequences need: SGLang would queue them."
    share = own_share(case)
    if case.plan.gpu_memory_utilization is None and share is not None:
        yield f"SGLang left alone would take {share:g} of this device; here it is told {STATIC_SHARE:g} (--mem-fraction-static)."
    if has_window_pool(case):
        yield "Windowed layers have a pool of their own, of 0.8 of the tokens (--swa-full-tokens-ratio)."


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
    words += engine.degrees(
        ("--tp", plan.tensor_parallel),
        ("--pp", plan.pipeline_parallel),
        ("--dp", plan.data_parallel),
        ("--ep", plan.expert_parallel),
    )
    words += engine.options(
        ("--max-running-requests", plan.max_num_seqs), ("--chunked-prefill-size", plan.max_num_batched_tokens)
    )
    if plan.enforce_eager:
        words.append("--disable-cuda-graph")
    return " ".join(words)


RUNTIMES = (
    Runtime(
        id="sglang",
        label="SGLang",
        tasks=("inference",),
        newest=("0.5.5", "2025-11"),
        breakdown=serving,
        uses=engine.USES | {"enforce_eager"},
        command=command,
        check=engine.check_degrees,
        source=SOURCE,
    ),
)
