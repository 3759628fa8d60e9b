"""vLLM: a share of the device is reserved at start; weights, a profiled peak and libraries come out of it, the rest is
the cache's pool.

pool = total × gpu_memory_utilization − weights − profiled peak − memory outside the allocator. CUDA graphs are taken
afterwards; from 0.21 an estimate of them is subtracted too.
Source: vLLM v1/worker/gpu_worker.py (release 0.19) and start-up logs.
"""

from __future__ import annotations

from collections.abc import Iterator

from gauge.case import Breakdown, Case, Runtime
from gauge.memory.paged_cache import BLOCK_TOKENS
from gauge.memory.stages import Stage, stages
from gauge.plan import Plan
from gauge.runtimes.serving import USES, Rank, answered, check_degrees, degrees, elsewhere, engine_weights, options
from gauge.runtimes.vllm.cache import blocks_of, groups_of, needed
from gauge.runtimes.vllm.outside import before, graphs, outside
from gauge.runtimes.vllm.profiled import profile
from gauge.runtimes.vllm.settings import SOURCE, Settings

MOMENTS = (("load", "after loading"), ("profile", "start-up profile"), ("serve", "serving"))


def held(plan: Plan) -> Plan:
    """The plan as weights are held: scales that were quantized themselves are expanded to float32 while they load.

    Source: vLLM model_executor/model_loader/bitsandbytes_loader.py, dequantize_dq.
    """
    return plan.edited(quantization="bnb-nf4") if plan.quantization == "bnb-nf4-double" else plan


def rank(stage: Stage, settings: Settings) -> Rank:
    """Everything that one device of a stage holds."""
    vocabulary = settings.case.model.vocab
    fixed = [
        *engine_weights(stage.model, held(settings.plan), pad=settings.pad),
        *profile(stage, settings),
        *outside(settings, vocabulary),
    ]
    captured, share = graphs(stage, settings), settings.share
    taken = sum(i.bytes for i in fixed)
    if settings.subtracts_graphs:
        taken += sum(i.bytes for i in captured)
    pool = None if share is None else share - taken
    groups = groups_of(stage.model, settings.plan)
    if groups is None:
        return Rank((*fixed, *captured, *before(settings)), pool, 0, 0)
    items = (*fixed, *needed(stage, settings, groups), *captured, *before(settings))
    needs = blocks_of(settings, groups) * groups.block
    tokens = groups.tokens if any(k.reach != "recurrent" for k in groups.kinds) else settings.plan.tokens
    return Rank(items, pool, needs, groups.block * len(groups.kinds), tokens)


def serving(case: Case) -> Breakdown:
    """The worst stage: the one whose pool holds the fewest blocks."""
    settings = Settings(case)
    ranks = [rank(stage, settings) for stage in stages(case.model, case.plan.pipeline_parallel)]
    note = "the reserved share less everything else"
    return answered(case, ranks, MOMENTS, SOURCE, note, lambda worst: _remarks(settings, worst))


def _remarks(settings: Settings, worst: Rank) -> Iterator[str]:
    plan, model = settings.plan, settings.case.model
    yield from elsewhere(settings.case.cluster.device)
    if settings.share is None and plan.gpu_memory_utilization is not None:
        yield "gpu_memory_utilization is a share of a device: give device or device_memory to learn the pool."
    if worst.pool is not None and worst.pool < worst.needs:
        yield "The reserved share does not hold the cache that these sequences need: vLLM would queue or refuse them."
    if plan.batch_size > settings.most:
        yield f"vLLM runs {settings.most:,} of these sequences at once (max_num_seqs); the others wait."
    if plan.tokens > model.max_length > 0:
        yield f"vLLM refuses a length beyond the model's {model.max_length:,} tokens unless it is told to go on."
    groups = groups_of(model, plan)
    if groups is not None and groups.padding:
        yield f"vLLM groups layers by kind and pads them: {groups.padding} empty layers share the cache's pool."
    if groups is not None and len({k.reach == "recurrent" for k in groups.kinds}) == 2 and groups.tokens > BLOCK_TOKENS:
        yield f"Attention blocks are enlarged to {groups.tokens} tokens so that their page holds a recurrent state."


# ------------------------------------------------------------------------------------------------ command
CACHE_NAMES = {"fp8": "fp8", "bfloat16": "bfloat16", "float16": "float16"}
METHODS = {"fp8": "fp8", "bnb-nf4": "bitsandbytes", "bnb-nf4-double": "bitsandbytes"}


def command(case: Case) -> str:
    """`vllm serve` with these settings."""
    plan = case.plan
    words = [f"vllm serve {case.model.id}", f"--dtype {plan.dtype}", f"--max-model-len {plan.tokens}"]
    if plan.quantization in METHODS:
        words.append(f"--quantization {METHODS[plan.quantization]}")
    if plan.kv_cache_dtype in CACHE_NAMES and plan.kv_cache_dtype != plan.dtype:
        words.append(f"--kv-cache-dtype {CACHE_NAMES[plan.kv_cache_dtype]}")
    words += degrees(
        ("--tensor-parallel-size", plan.tensor_parallel),
        ("--pipeline-parallel-size", plan.pipeline_parallel),
        ("--data-parallel-size", plan.data_parallel),
    )
    if plan.expert_parallel > 1:
        words.append("--enable-expert-parallel")
    words += options(
        ("--gpu-memory-utilization", plan.gpu_memory_utilization),
        ("--max-num-seqs", plan.max_num_seqs),
        ("--max-num-batched-tokens", plan.max_num_batched_tokens),
    )
    if plan.enforce_eager:
        words.append("--enforce-eager")
    return " ".join(words)


RUNTIMES = (
    Runtime(
        id="vllm",
        label="vLLM",
        tasks=("inference",),
        newest=("0.21", "2026-05"),
        breakdown=serving,
        uses=USES | {"enforce_eager"},
        command=command,
        check=check_degrees,
        source=SOURCE,
    ),
)
