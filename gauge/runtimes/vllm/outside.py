"""What vLLM holds outside the allocator: libraries, communicators, captured graphs.

Source: start-up logs of release 0.19, lines non-torch memory and graph capturing.
"""

from __future__ import annotations

from collections.abc import Iterator

from gauge.breakdown import Item, constant
from gauge.memory.engine_graphs import graph_items
from gauge.memory.overhead import before_start, fuses_all_reduce, hopper
from gauge.memory.stages import Stage
from gauge.overheads import overhead
from gauge.runtimes.vllm.settings import LARGEST_GRAPH, Settings

ALIGNED_ROWS = 16  # a row of so many entries begins where wide loads may


def outside(settings: Settings, vocabulary: int) -> Iterator[Item]:
    """What the engine's log calls non-torch memory."""
    yield constant("framework", overhead("vllm", _outside(settings)))
    if not settings.sorts and vocabulary % ALIGNED_ROWS:
        yield constant("framework", overhead("vllm", "outside_unaligned"))


def _outside(settings: Settings) -> str:
    """Which figure holds. All-reduce is not fused beside pipeline or data parallelism.

    Source: vLLM config/vllm.py, enable_allreduce_rms_fusion (release 0.19).
    """
    plan = settings.plan
    if plan.tensor_parallel * plan.pipeline_parallel > 1 and settings.joins_late:
        return "outside_joined"
    if settings.old:
        return "outside_v0"
    if plan.tensor_parallel == 1:
        return "outside_stages" if plan.pipeline_parallel > 1 else "outside"
    if not fuses_all_reduce(settings.case.cluster.device) or plan.pipeline_parallel * plan.data_parallel > 1:
        return "outside_plain"
    return "outside_tp4" if plan.tensor_parallel >= 4 else "outside_tp2"


def before(settings: Settings) -> Iterator[Item]:
    """What is in use before the engine takes its share: it comes on top of it."""
    yield before_start(settings.case.cluster.device, "vllm", "communication.context")
    if settings.plan.tensor_parallel * settings.plan.pipeline_parallel > 1 and not settings.joins_late:
        switched = fuses_all_reduce(settings.case.cluster.device)
        yield constant("communication.group", overhead("vllm", "communicators") if switched else overhead("nccl", "context"))


def graphs(stage: Stage, settings: Settings) -> tuple[Item, ...]:
    """Captured CUDA graphs; the first engine's are known by their layers alone."""
    count, plan, layers = settings.captured, settings.plan, len(stage.model.decoder.blocks)
    if not count:
        return ()
    if settings.old:
        found = overhead("vllm", "graph_layer_v0")
        label = f"{count} CUDA graphs over {layers} layers"
        return (constant("cuda_graphs", found, label=label, size=found.times(layers * count), moments=("serve",)),)
    splits = hopper(settings.case.cluster.device) and settings.captures_whole
    rows, dtype = min(2 * settings.rows, LARGEST_GRAPH), settings.dtype
    return tuple(graph_items(stage.model, count, rows, dtype, plan.quantization, plan.tensor_parallel, splits))
