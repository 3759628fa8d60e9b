"""vLLM: a share of the device is reserved at start; weights, a profiled peak and libraries come out of it, the rest is
the cache's pool.

pool = total × gpu_memory_utilization − weights − profiled peak − memory outside the allocator. CUDA graphs are taken
afterwards; from 0.21 an estimate of them is subtracted too.
Source: vLLM v1/worker/gpu_worker.py (release 0.19) and start-up logs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from gauge.breakdown import Factor, Item, constant, item, product
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT16, FLOAT32, FORMATS, Format
from gauge.layers.attention import Attention
from gauge.layers.latent_attention import LatentAttention
from gauge.layers.linear_attention import KimiDelta
from gauge.memory.collect import stacked
from gauge.memory.engine_graphs import graph_items
from gauge.memory.engine_pass import ForwardPeak, Sampler, forward_peak, held_by_caller, quantized_input
from gauge.memory.engine_pictures import Pictures, pictures
from gauge.memory.engine_weights import text_config
from gauge.memory.overhead import context, fuses_all_reduce, hopper, matrix_workspace, multiprocessors, platform
from gauge.memory.paged_cache import ALIGNMENT, BLOCK_TOKENS, Paging, kinds, paging
from gauge.memory.stages import Stage, stages
from gauge.memory.state import WHY_CACHE
from gauge.model import Model
from gauge.overheads import overhead
from gauge.plan import Plan
from gauge.runtimes.release import Release, release
from gauge.runtimes.serving import (
    TENSOR_RULES,
    USES,
    Rank,
    answered,
    cached,
    captures,
    check_degrees,
    degrees,
    elsewhere,
    engine_weights,
    formats,
    options,
    padded_experts,
    profile_how,
    serving_mesh,
)
from gauge.sequence import Sequence
from gauge.tensor import Dim, Tensor, tensor, total_bytes
from gauge.units import GIB, ceil_div, round_up

SOURCE = "https://github.com/vllm-project/vllm, release 0.19"
MOMENTS = (("load", "after loading"), ("profile", "start-up profile"), ("serve", "serving"))
LIVE = ("profile", "serve")
UTILIZATION = 0.90
SAMPLER_WORDS = "Rows of the vocabulary that sampling holds, one a sequence; tensor parallelism does not split them."
FORWARD_WORDS = "Alive at the largest operator of the profiled forward pass."
LARGE_DEVICE = 70 * GIB
GRAPH_SIZES = (1, 2, 4)
LARGEST_GRAPH = 512
TILES_TRITON, TILES_MARLIN, TILES_WIDE = (64, 1), (128, 256), (256, 256)  # (inner, hidden) multiples of MXFP4 kernels
EXPERT_CHUNKS = {True: 32 * 1024, False: 16 * 1024}  # tokens that experts take at once, before 0.11 and since
LATENT_ALIGNMENT = 64  # tokens that blocks of cached latents are a multiple of
LATENT_CONTEXT = 64 * 1024  # tokens of cached latents that one chunk expands at most
HYBRID_SINCE = ((0, 9, 1), (2025, 6))  # layers in groups, one pool for all of them (pull request 17996)
ALIGNED_ROWS = 16  # a row of so many entries begins where wide loads may


# ------------------------------------------------------------------------------------------------ settings
@dataclass(frozen=True)
class Settings:
    """What the engine decides from plan, device and release."""

    case: Case

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.case.plan

    @cached_property
    def pictured(self) -> dict[int, Pictures | None]:
        """The profile's pictures of a stage, once traced."""
        return {}

    @cached_property
    def peaks(self) -> dict[int, ForwardPeak]:
        """The forward pass of a stage, once traced."""
        return {}

    @cached_property
    def release(self) -> Release:
        """The release that is meant."""
        return release(self.plan.runtime_version)

    @cached_property
    def old(self) -> bool:
        """Whether it is the first engine (V0)."""
        return self.release.says("V0") or (not self.release.says("V1") and self.release.before((0, 8), (2025, 3)))

    @property
    def roomy(self) -> bool:
        """Whether the device is of the class (70 GiB and more, no A100) that gets the larger defaults."""
        device, total = self.case.cluster.device, self.case.cluster.capacity
        return total is not None and total >= LARGE_DEVICE and not (device and "A100" in device.title)

    @property
    def subtracts_graphs(self) -> bool:
        """Whether the pool is what an estimate of the graphs leaves, too."""
        return not self.old and not self.release.before((0, 21), (2026, 5))

    @property
    def pad(self) -> Callable[[Tensor], Tensor] | None:
        """How MXFP4 experts are filled up, as the tiles of the device's kernels want it: Triton's on Hopper, FlashInfer's on
        Blackwell, AITER's under ROCm, Marlin's elsewhere.

        Source: vLLM model_executor/layers/quantization/mxfp4.py, create_weights.
        """
        device = self.case.cluster.device
        if self.plan.quantization != "mxfp4":
            return None
        wide = fuses_all_reduce(device) or platform(device) == "rocm"
        return padded_experts(self.plan, *(TILES_TRITON if hopper(device) else TILES_WIDE if wide else TILES_MARLIN))

    @property
    def sorts(self) -> bool:
        """Whether sampling sorts whole rows of the vocabulary."""
        return self.old or self.release.before((0, 17), (2026, 2))

    @property
    def joins_late(self) -> bool:
        """Whether communicators come up after the first look at the memory (pull request 25359)."""
        return self.old or self.release.before((0, 11), (2025, 10))

    @property
    def captures_whole(self) -> bool:
        """Whether whole decoding steps are captured beside the pieces between attention layers."""
        return not self.old and not self.release.before((0, 11), (2025, 10))

    @property
    def tokens(self) -> int:
        """Tokens that one step computes at most. The first engine profiles one prompt of the full length."""
        asked = self.plan.max_num_batched_tokens
        if asked is not None:
            return asked
        if self.old:
            return max(self.plan.tokens, 2048)
        return 8192 if self.roomy else 2048

    @property
    def most(self) -> int:
        """Sequences that run at once."""
        asked = self.plan.max_num_seqs
        return asked if asked is not None else 256 if self.old or not self.roomy else 1024

    @property
    def rows(self) -> int:
        """Sequences that the sampler's profile has."""
        return min(self.most, self.tokens)

    @property
    def dtype(self) -> Format:
        """The dtype of unquantized weights and activations."""
        return FORMATS[self.plan.dtype]

    @property
    def share(self) -> int | None:
        """Bytes of one device that the engine may take."""
        total = self.case.cluster.capacity
        if total is None:
            return None
        asked = self.plan.gpu_memory_utilization
        return int(total * (UTILIZATION if asked is None else asked))

    @property
    def captured(self) -> int:
        """CUDA graphs that are captured: piecewise ones for each batch size, whole ones for those that sequences can reach.

        Source: vLLM v1/cudagraph_dispatcher.py, initialize_cudagraph_keys.
        """
        if self.plan.enforce_eager or not captures(self.case.cluster.device):
            return 0
        largest = min(self.rows, 256) if self.old else min(2 * self.rows, LARGEST_GRAPH)
        step = 8 if self.old or self.release.before((0, 12), (2025, 12)) else 16
        sizes = {n for n in (*GRAPH_SIZES, *range(8, 256, 8), *range(256, LARGEST_GRAPH + 1, step)) if n <= largest}
        return len(sizes) + (sum(n <= self.most for n in sizes) if self.captures_whole else 0)


# ------------------------------------------------------------------------------------------------ profiled peak
def profile(stage: Stage, settings: Settings) -> tuple[Item, ...]:
    """What the start-up profile peaks at: the sampler, the forward pass or the vision tower, whichever is largest."""
    courses = [tuple(_forward(stage, settings)), _looking(stage, settings)]
    head = stage.model.head
    if stage.last and head is not None and not head.per_sequence:
        courses.append(tuple(_sampler(stage, settings)))
    return max(reversed(courses), key=lambda items: sum(i.bytes for i in items))


def _forward(stage: Stage, settings: Settings) -> Iterator[Item]:
    model, tokens = stage.model, settings.tokens
    peak = _peak(stage, settings)
    eager = settings.old or settings.plan.enforce_eager
    flying = [*peak.flying, *([held_by_caller(tokens, model.hidden, settings.dtype)] if eager else [])]
    if not eager and settings.plan.quantization in ("int8", "fp8"):
        extra = quantized_input(model, profile_how(settings.plan), tokens)
        flying += [extra] if extra else []
    if settings.plan.pipeline_parallel > 1:
        shape = ((Dim.COPIES, 2 if stage.first else 3), (Dim.TOKENS, tokens), (Dim.HIDDEN, model.hidden))
        flying.append(tensor("streams handed between stages", settings.dtype, *shape))
    latents = _expanded(stage, settings)
    yield from _profiled(max(flying, latents, key=total_bytes), "activations", FORWARD_WORDS)
    yield from _workspaces(peak.workspaces, settings)
    yield constant(
        "workspace",
        overhead("vllm", "profile_eager" if eager else "profile_forward"),
        moments=LIVE,
        scope="allocated",
    )
    yield from _matrix_workspace(settings)
    yield from _encoder(stage, settings)


def _expanded(stage: Stage, settings: Settings) -> list[Tensor]:
    """What latent attention of a chunk behind a long context would expand, which the profile makes for show."""
    layer, plan = stage.model.first(LatentAttention), settings.plan
    if layer is None or settings.old:
        return []
    context = min(max(8 * plan.tokens, 4 * settings.most * BLOCK_TOKENS), LATENT_CONTEXT)
    heads = ceil_div(layer.heads, plan.tensor_parallel)
    each = (Dim.HEADS, heads), (Dim.HEAD, layer.nope + layer.value_head)
    stream = (Dim.COPIES, 2), (Dim.TOKENS, settings.tokens), (Dim.HIDDEN, stage.model.hidden)
    return [
        tensor("keys and values of a long context, expanded from latents", settings.dtype, (Dim.CELLS, context), *each),
        tensor("residual stream and attention input", settings.dtype, *stream),
    ]


def _matrix_workspace(settings: Settings) -> Iterator[Item]:
    found = matrix_workspace(settings.case.cluster.device)
    if found:
        yield constant("workspace.libraries", found, moments=LIVE, scope="allocated")


def _sampler(stage: Stage, settings: Settings) -> Iterator[Item]:
    model, plan = stage.model, settings.plan
    assert model.head is not None
    programs = multiprocessors(settings.case.cluster.device) or overhead("vllm", "sampler_programs").value
    sampler = Sampler(settings.rows, model.head.outputs, settings.dtype, settings.sorts, programs)
    yield from _profiled(sampler.tensors(), "logits", SAMPLER_WORDS)
    hidden = (
        tensor("hidden states of the whole batch", settings.dtype, (Dim.TOKENS, settings.tokens), (Dim.HIDDEN, model.hidden)),
        tensor("hidden states to sample from", settings.dtype, (Dim.BATCH, settings.rows), (Dim.HIDDEN, model.hidden)),
    )
    yield from _profiled(hidden, "activations", FORWARD_WORDS)
    yield from _workspaces(_peak(stage, settings).workspaces, settings)
    eager = settings.old or plan.enforce_eager
    found = overhead("vllm", "profile_eager" if eager and settings.old else "profile")
    yield constant("workspace", found, moments=LIVE, scope="allocated")
    yield from _matrix_workspace(settings)
    yield from _encoder(stage, settings)


def _profiled(tensors: Iterable[Tensor], component: str, why: str) -> Iterator[Item]:
    for one in stacked((t, 1) for t in tensors):
        yield item(component, one, why=why, source=SOURCE, certainty="policy", moments=LIVE)


def _workspaces(tensors: Iterable[Tensor], settings: Settings) -> Iterator[Item]:
    if settings.plan.quantization == "mxfp4":
        return
    why = "The fused expert kernel's two workspaces, sized for the largest batch; the engine keeps them."
    yield from _profiled(tensors, "workspace.experts", why)


def _seen(stage: Stage, settings: Settings) -> Pictures | None:
    """The pictures of the profile. The first engine gives one to each sequence that it profiles."""
    if not stage.first:
        return None
    if stage.index not in settings.pictured:
        model, how = stage.model, profile_how(settings.plan)
        reads = any(layer.cross for block in model.decoder.blocks for layer in block.layers if isinstance(layer, Attention))
        least = settings.rows if settings.old and reads else 1
        settings.pictured[stage.index] = pictures(model, how, settings.tokens, least)
    return settings.pictured[stage.index]


def _peak(stage: Stage, settings: Settings) -> ForwardPeak:
    """The forward pass of the largest batch; sampler and forward course both ask for it."""
    if stage.index not in settings.peaks:
        chunk = EXPERT_CHUNKS[settings.release.before((0, 11), (2025, 10))]
        settings.peaks[stage.index] = forward_peak(stage.model, profile_how(settings.plan), settings.tokens, chunk)
    return settings.peaks[stage.index]


def _encoder(stage: Stage, settings: Settings) -> Iterator[Item]:
    """What the profile keeps of pictures while the language model runs."""
    seen = _seen(stage, settings)
    if seen is None:
        return
    held = seen.held(stage.model.hidden, settings.dtype)
    kept = (one for one in held if not settings.old or one.name.startswith("pictures"))
    yield from _profiled(kept, "activations", "The profile keeps as many pictures and their tokens as one step may take.")


def _looking(stage: Stage, settings: Settings) -> tuple[Item, ...]:
    """The tower's pass over the profile's pictures."""
    seen = _seen(stage, settings)
    if seen is None:
        return ()
    tower = (seen.pixels(settings.dtype), *seen.alive)
    words = "Alive at the largest operator of the vision tower, over all pictures that one step may take."
    return (*_profiled(tower, "activations", words), *_matrix_workspace(settings))


# ------------------------------------------------------------------------------------------------ outside and graphs
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
    yield constant("communication.context", context(settings.case.cluster.device, "vllm", "before"))
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


# ------------------------------------------------------------------------------------------------ cache
def needed(stage: Stage, settings: Settings, groups: Paging) -> Iterator[Item]:
    """The blocks that the request's sequences need: where all layers look alike as tensors, else as blocks of groups."""
    plan = settings.plan
    if len(groups.kinds) == 1 and groups.kinds[0].reach == "full" and groups.layers > 1:
        sequence = Sequence(plan.batch_size, round_up(plan.tokens, groups.tokens), policy=_whole)
        yield from (i.at("serve") for i in cached(stage.model, plan, sequence))
        return
    factors = (
        Factor("blocks", blocks_of(settings, groups), f"{groups.tokens} tokens each, in {len(groups.kinds)} groups of layers"),
        Factor("layers a group", groups.layers, f"{groups.padding} of them padding" if groups.padding else ""),
        Factor("bytes a page", groups.page, f"one layer's {groups.tokens} tokens"),
    )
    yield product("kv_cache", "cache blocks", factors, why=WHY_CACHE, source=SOURCE, moments=("serve",))


def blocks_of(settings: Settings, groups: Paging) -> int:
    """Blocks that the request's sequences need."""
    plan = settings.plan
    return groups.blocks(plan.tokens, settings.tokens) * plan.batch_size


def _whole(tokens: int, window: int | None, chunk: int | None) -> int:
    """A model whose layers all look alike keeps every token."""
    return tokens


def groups_of(model: Model, plan: Plan) -> Paging | None:
    """The groups of layers that share the cache's blocks; releases before the hybrid cache manager keep every token in
    windowed layers too.
    """
    alignment = LATENT_ALIGNMENT if model.first(LatentAttention) else ALIGNMENT
    found = kinds(model, formats(plan, state_format(model, plan)), TENSOR_RULES, serving_mesh(plan))
    which = release(plan.runtime_version)
    if which.says("V0") or which.before(*HYBRID_SINCE):
        found = [replace(k, reach="full", limit=0) if k.reach != "recurrent" else k for k in found]
    return paging(found, alignment)


def state_format(model: Model, plan: Plan) -> Format:
    """The format of recurrent states: the model's dtype, unless its configuration or its architecture asks for another.

    Source: vLLM model_executor/models/config.py and layers/mamba/mamba_utils.py.
    """
    config = text_config(model)
    if model.first(KimiDelta) is not None:
        return FLOAT32
    if model.family == "nemotron_h":
        early = release(plan.runtime_version).before((0, 11), (2025, 10))
        return FORMATS.get(str(config.get("mamba_ssm_cache_dtype")), FLOAT16 if early else FLOAT32)
    otherwise = FLOAT32 if model.family.startswith("qwen3_5") else FORMATS[plan.dtype]
    return FORMATS.get(str(config.get("mamba_ssm_dtype")), otherwise)


# ------------------------------------------------------------------------------------------------ breakdown
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
