"""TensorRT-LLM: an engine built for the largest batch and token count; the cache takes a share of what is left free.

Weights are the engine's: a tied head is a second matrix, quantization leaves embedding and head alone. The execution
context holds activations of `max_num_batched_tokens` tokens and logits of `max_num_seqs` sequences; the decoder has
buffers of its own. Figures beyond the engine logs that were seen are ranges.
Source: TensorRT-LLM 0.14 to 0.19 and its engine logs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gauge.breakdown import Item, constant, item
from gauge.case import Breakdown, Case, Runtime
from gauge.errors import RequestError
from gauge.formats import FLOAT32, FORMATS
from gauge.layers.experts import Experts
from gauge.layers.mlp import MLP
from gauge.memory.stages import Stage, stages
from gauge.model import Model
from gauge.overheads import overhead
from gauge.plan import Plan
from gauge.runtimes.serving import USES, Rank, answered, cached, check_degrees, degrees, engine_weights, options
from gauge.sequence import Sequence
from gauge.tensor import Dim, tensor
from gauge.units import ceil_div, round_up

SOURCE = "NVIDIA/TensorRT-LLM 0.14 to 0.19, engine logs"
MOMENTS = (("load", "after loading"), ("serve", "serving"))
FREE_SHARE = 0.90
BLOCK_TOKENS = 64
MOST_TOKENS = 8192
MOST_SEQUENCES = 2048
LONG_TOKENS = 32_768
WHY_ALL = "An engine that gathers context logits has a row for every token that it is built for."


def untied(model: Model) -> Model:
    """The model with its head as a matrix of its own."""
    return model.edited(head=replace(model.head, tied=False), total=0) if model.head and model.head.tied else model


def _width(stage: Stage, plan: Plan) -> int:
    """The widest pair of MLP tensors that one token has on one device: gate and up."""
    widest = 0
    for block in stage.model.decoder.blocks:
        for layer in block.layers:
            if isinstance(layer, MLP):
                widest = max(widest, layer.inner * (2 if layer.gated else 1))
            elif isinstance(layer, Experts):
                widest = max(widest, layer.inner * layer.router.active * (2 if layer.gated else 1))
    return ceil_div(widest, plan.tensor_parallel)


def _engine(stage: Stage, plan: Plan) -> Iterator[Item]:
    """The execution context, which its log reports as one figure: activations, logits, workspace."""
    tokens = plan.max_num_batched_tokens or MOST_TOKENS
    rows = min(plan.max_num_seqs or MOST_SEQUENCES, tokens)
    dtype, hidden = FORMATS[plan.dtype], stage.model.hidden
    inner = tensor("MLP gate and up of the largest batch", dtype, (Dim.TOKENS, tokens), (Dim.FFN, _width(stage, plan)))
    stream = tensor("stream of the largest batch", dtype, (Dim.TOKENS, tokens), (Dim.HIDDEN, hidden))
    for one in (inner, stream):
        yield item("activations", one, why="The engine is built for so many tokens.", source=SOURCE, certainty="policy")
    if stage.model.head:
        positions = (Dim.TOKENS, tokens) if plan.logits == "all" else (Dim.BATCH, rows)
        logits = tensor("logits", dtype, positions, (Dim.VOCAB, stage.model.head.outputs))
        why = WHY_ALL if plan.logits == "all" else "One row for each sequence of the largest batch."
        yield item("activations.logits", logits, why=why, source=SOURCE, certainty="policy")
    yield constant("activations.workspace", overhead("tensorrt-llm", "workspace"), scope="allocated")


def _decoder(stage: Stage, plan: Plan) -> Iterator[Item]:
    if stage.model.head:
        rows = min(plan.max_num_seqs or MOST_SEQUENCES, plan.max_num_batched_tokens or MOST_TOKENS)
        found = overhead("tensorrt-llm", "decoder")
        size = found.times(rows * stage.model.head.outputs)
        label = "decoder buffers of the largest batch"
        yield constant("workspace.decoder", found, label=label, size=size, scope="device")


def rank(stage: Stage, case: Case) -> Rank:
    """Everything that one device of a stage holds."""
    plan = case.plan
    fixed = [
        *engine_weights(untied(stage.model) if stage.last else stage.model, plan, FLOAT32, stretched=False),
        *_engine(stage, plan),
        *_decoder(stage, plan),
        constant("framework.context", overhead("tensorrt-llm", "context")),
    ]
    whole = Sequence(plan.batch_size, round_up(plan.tokens, BLOCK_TOKENS))
    cache = cached(stage.model, plan, whole)
    block = Sequence(1, BLOCK_TOKENS, policy=lambda n, window, chunk: n)
    piece = sum(i.bytes for i in cached(stage.model, plan, block) if i.component == "kv_cache")
    pool = None
    if case.cluster.capacity is not None:
        share = FREE_SHARE if plan.gpu_memory_utilization is None else plan.gpu_memory_utilization
        pool = int(max(case.cluster.capacity - sum(i.bytes for i in fixed), 0) * share)
    needs = sum(i.bytes for i in cache)
    return Rank((*fixed, *(i.at("serve") for i in cache)), pool, needs, piece, BLOCK_TOKENS)


def serving(case: Case) -> Breakdown:
    """The stage that leaves the least for its cache."""
    ranks = [rank(stage, case) for stage in stages(case.model, case.plan.pipeline_parallel)]
    note = "a share of what weights, context and buffers leave free"
    return answered(case, ranks, MOMENTS, SOURCE, note, lambda worst: _remarks(case, worst))


def _remarks(case: Case, worst: Rank) -> Iterator[str]:
    yield "TensorRT-LLM's buffers are known from few engine logs: they are given as ranges."
    if case.plan.logits is None and (case.plan.max_num_batched_tokens or MOST_TOKENS) > LONG_TOKENS:
        yield "Engines built with --gather_context_logits hold a row of the vocabulary for each of these tokens: logits=all."
    if worst.pool is not None and worst.pool < worst.needs:
        yield "The free memory's share does not hold the cache that these sequences need: they would wait."


def check(case: Case) -> None:
    """Whether TensorRT-LLM can run the case. Raises RequestError."""
    check_degrees(case)
    device = case.cluster.device
    if device is not None and device.vendor != "NVIDIA":
        raise RequestError("runtime", f"TensorRT-LLM does not run on {device.title}", "use vllm, llama.cpp or transformers")


def command(case: Case) -> str:
    """`trtllm-serve` with these settings."""
    plan = case.plan
    words = [f"trtllm-serve {case.model.id}", f"--max_seq_len {plan.tokens}"]
    words += options(("--max_batch_size", plan.max_num_seqs), ("--max_num_tokens", plan.max_num_batched_tokens))
    words += degrees(
        ("--tp_size", plan.tensor_parallel), ("--pp_size", plan.pipeline_parallel), ("--ep_size", plan.expert_parallel)
    )
    words += options(("--kv_cache_free_gpu_memory_fraction", plan.gpu_memory_utilization))
    return " ".join(words)


RUNTIMES = (
    Runtime(
        id="tensorrt-llm",
        label="TensorRT-LLM",
        tasks=("inference",),
        newest=("0.19", "2025-04"),
        breakdown=serving,
        uses=USES | {"logits"},
        command=command,
        check=check,
        source=SOURCE,
    ),
)
