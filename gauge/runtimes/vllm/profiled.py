"""The start-up profile: the largest batch through the model, its sampler and its vision tower; the larger one counts.

Source: vLLM v1/worker/gpu_model_runner.py, profile_run (release 0.19).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gauge.breakdown import Item, constant, item
from gauge.layers.attention import Attention
from gauge.layers.latent_attention import LatentAttention
from gauge.memory.collect import stacked
from gauge.memory.engine_pass import ForwardPeak, Sampler, forward_peak, held_by_caller, quantized_input
from gauge.memory.engine_pictures import Pictures, pictures
from gauge.memory.overhead import matrix_workspace
from gauge.memory.paged_cache import BLOCK_TOKENS
from gauge.memory.stages import Stage
from gauge.overheads import overhead
from gauge.runtimes.serving import profile_how
from gauge.runtimes.vllm.settings import SOURCE, Settings
from gauge.tensor import Dim, Tensor, tensor, total_bytes
from gauge.units import ceil_div

LIVE = ("profile", "serve")
SAMPLER_WORDS = "Rows of the vocabulary that sampling holds, one a sequence; tensor parallelism does not split them."
FORWARD_WORDS = "Alive at the largest operator of the profiled forward pass."
EXPERT_CHUNKS = {True: 32 * 1024, False: 16 * 1024}  # tokens that experts take at once, before 0.11 and since
LATENT_CONTEXT = 64 * 1024  # tokens of cached latents that one chunk expands at most


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
    device = settings.case.cluster.device
    programs = (device and device.multiprocessors) or overhead("vllm", "sampler_programs").value
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
