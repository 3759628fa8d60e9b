"""llama.cpp: a GGUF file, one context for all slots, a compute buffer on each backend; devices, host, or both.

Nothing grows while it serves: weights, caches, compute and output buffers are made at start. `sequence_length` ×
`batch_size` is the whole context (`n_ctx`).
Source: ggml-org/llama.cpp builds b5353 to b11549, start-up logs and sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gauge.breakdown import Event, Item, Pool, constant, item, measured
from gauge.case import Breakdown, Case, Remedy, Runtime
from gauge.errors import RequestError
from gauge.formats import FORMATS, format_of
from gauge.gguf.tensors import file_tensors
from gauge.layers.attention import Attention
from gauge.layers.experts import Experts
from gauge.layers.latent_attention import LatentAttention
from gauge.memory.overhead import context as context_of_driver
from gauge.model import Model
from gauge.quantization import GGUF_FILE_TYPES
from gauge.readers.gguf_places import SIGN, unpacked
from gauge.readers.quantization_config import experts_kept
from gauge.runtimes.llamacpp.cache import Formats, cache_items
from gauge.runtimes.llamacpp.compute import RESIDUAL, Graph, device_inputs, output_buffer
from gauge.runtimes.llamacpp.context import UBATCH, Context, context_of
from gauge.runtimes.llamacpp.placement import (
    HOST,
    Placement,
    accelerators,
    file_type_of,
    header_items,
    placement_of,
    repacked_bytes,
    repacked_in_header,
    weight_items,
)
from gauge.units import format_count

MOMENTS = (("load", "model loaded"), ("serve", "context made, ready to serve"))
START = (("file loaded", ("weights",)), ("caches made", ("kv_cache", "recurrent_state")), ("ready", ("workspace",)))
CACHE_TYPES = ("float32", "float16", "bfloat16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
MOST_DEVICES = 16  # llama_max_devices, src/llama.cpp
NEARLY = 0.01  # of a file's numbers may be in tensors that are not always there
MOST_SEQUENCES = 256  # llama_max_parallel_sequences, src/llama.cpp
KEPT = "The checkpoint's experts are MXFP4, and files of every type keep them so."
NOT_TEXT = frozenset({"whisper", "clip", "siglip"})
UNKNOWN_TO_IT = frozenset({"opt", "gpt_neo", "openai-gpt", "deberta-v2", "mpnet", "rwkv"})
WHY_COMPUTE = "One scratch buffer for the worst graph of one micro-batch; it is fullest at: {}."
COMPUTE_SOURCE = "ggml-org/llama.cpp src/llama-graph.cpp; compute buffer sizes printed by builds b5353 to b11549"
WHY_OUTPUT = "Logits that the server hands to samplers, a row a slot; it grows when a batch asks for more."
WHY_INPUTS = "Inputs are written in host memory before a device reads them."
INPUT_SOURCE = "`CUDA_Host compute buffer` of published start-up logs"
WHY_REPACK = "A processor keeps these matrices a second time, in its own order; the mapped file can be evicted."
REPACK_SOURCE = "`CPU_REPACK model buffer` of builds with AVX2; other processors repack other types, or none"


def breakdown(case: Case) -> Breakdown:
    """The fullest device, and the host."""
    checked(case)
    context, placement = context_of(case), placement_of(case)
    pools = [] if not placement.devices else [_device_pool(case, context, placement)]
    pools.append(_host_pool(case, context, placement))
    if case.plan.timeline:
        pools = [replace(pool, timeline=_course(pool)) for pool in pools]
    return Breakdown(pools=tuple(pools), warnings=tuple(_remarks(case)))


def _course(pool: Pool) -> tuple[Event, ...]:
    """What is made after what: the file, the caches, the buffers. Serving adds nothing."""
    held = {"framework": sum(i.bytes for i in pool.items if i.kind == "framework")}
    events = []
    for event, kinds in START:
        for kind in kinds:
            size = sum(i.bytes for i in pool.items if i.kind == kind)
            held |= {kind: size} if size else {}
        events.append(Event(event, None, dict(held)))
    return tuple(events)


# ------------------------------------------------------------------------------------------------ pools
def _device_pool(case: Case, context: Context, placement: Placement) -> Pool:
    candidates = [_device_items(case, context, placement, d) for d in range(placement.devices)]
    fullest = max(candidates, key=lambda items: sum(i.bytes for i in items))
    return Pool("gpu", placement.devices, fullest, MOMENTS)


def _device_items(case: Case, context: Context, placement: Placement, device: int) -> tuple[Item, ...]:
    copied = placement.largest_at_home
    used = bool(placement.blocks_on(device)) or placement.output == device
    graph = Graph(
        model=case.model,
        context=context,
        formats=formats_of(case),
        backend="gpu",
        copied=copied if used or device == 0 else None,
        pipelined=placement.devices > 1 and copied is None,
        logits=placement.output != HOST,
        whole=placement.devices == 1 and placement.output != HOST and not placement.waits,
    )
    return (
        *_weights(case, placement, device),
        *_served(cache_items(case.model, context, formats_of(case), placement.blocks_on(device))),
        *(_compute(graph) if used or copied is not None else ()),
        constant("framework.context", context_of_driver(case.cluster.device, "llamacpp")),
    )


def _host_pool(case: Case, context: Context, placement: Placement) -> Pool:
    at_home = placement.blocks_on(HOST)
    items = [
        *_weights(case, placement, HOST),
        *_served(cache_items(case.model, context, formats_of(case), at_home)),
    ]
    if at_home or not placement.devices:
        graph = Graph(
            model=case.model,
            context=context,
            formats=formats_of(case),
            backend="cpu",
            logits=placement.output == HOST,
            whole=not placement.devices,
        )
        items += _compute(graph)
    if placement.devices:
        items += [
            item("workspace.inputs", one, why=WHY_INPUTS, source=INPUT_SOURCE, moments=("serve",))
            for one in device_inputs(case.model, context)
        ]
    output = output_buffer(case.model, context)
    items.append(item("workspace.output", output, why=WHY_OUTPUT, source=COMPUTE_SOURCE, moments=("serve",)))
    return Pool("host", 1, (*items, *_repacked(placement, case.plan.gguf_types or {})), MOMENTS)


def _weights(case: Case, placement: Placement, device: int) -> tuple[Item, ...]:
    if case.plan.gguf_types:
        return header_items(case.plan.gguf_types, placement, device)
    return weight_items(placement.on(device))


def _served(items: tuple[Item, ...]) -> Iterator[Item]:
    return (one.at("serve") for one in items)


def _compute(graph: Graph) -> list[Item]:
    phase, tensors = graph.buffer()
    why = WHY_COMPUTE.format(phase)
    made = [
        item("workspace.compute", one, why=why, source=COMPUTE_SOURCE, certainty="policy", moments=("serve",)) for one in tensors
    ]
    return [_ranged(one, graph) if one.label == RESIDUAL else one for one in made]


def _ranged(one: Item, graph: Graph) -> Item:
    """How many residual widths a device cannot reuse varies by backend and build: 1 to 7 were seen."""
    if graph.backend == "cpu":
        return one
    single = graph.residual(1).bytes
    return one._replace(low=single, high=max(7 * single, one.bytes), certainty="measured")


def _repacked(placement: Placement, types: dict[str, int]) -> tuple[Item, ...]:
    size = repacked_in_header(types, placement)
    if size is None:
        size = repacked_bytes(w for w in placement.on(HOST) if w.stored.block >= 0)
    if not size:
        return ()
    words = {"why": WHY_REPACK, "source": REPACK_SOURCE}
    return (measured("framework.repacked", "repacked copies of matrices", size, 0, size, **words),)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ request
def formats_of(case: Case) -> Formats:
    """Types of cached keys and values: 16-bit unless said otherwise."""
    key = format_of(case.plan.kv_cache_dtype or "float16")
    return Formats(key, format_of(case.plan.v_cache_dtype) if case.plan.v_cache_dtype else key)


def checked(case: Case) -> None:
    """Whether llama.cpp can run the case. Raises RequestError."""
    _check_model(case.model)
    _check_devices(case)
    _check_sequences(case)
    _check_weights(case)
    _check_cache(case)


def _check_model(model: Model) -> None:
    text = any(p.sequence in ("tokens", "target") for p in model.parts) and model.vocab > 0
    if not text or model.family in NOT_TEXT:
        raise RequestError("model", "llama.cpp runs language models", "choose a language model, or another runtime")


def _check_devices(case: Case) -> None:
    count = case.plan.devices or 0
    if count > MOST_DEVICES:
        message = f"llama.cpp takes at most {MOST_DEVICES}, not {count:,}"
        raise RequestError("devices", message, f"use {MOST_DEVICES}", ({"devices": MOST_DEVICES},))


def _check_sequences(case: Case) -> None:
    for name in ("parallel_slots", "batch_size"):
        count = getattr(case.plan, name) or 0
        if count > MOST_SEQUENCES:
            message = f"llama.cpp serves at most {MOST_SEQUENCES} sequences at once, not {count:,}"
            raise RequestError(name, message, f"use {MOST_SEQUENCES}", ({name: MOST_SEQUENCES},))


def _check_weights(case: Case) -> None:
    known = (*GGUF_FILE_TYPES, "F16", "F32", "BF16")
    if file_type_of(case.plan) not in known:
        raise RequestError(
            "quantization",
            f"llama.cpp has no {case.plan.quantization} files",
            "choose a GGUF file type such as Q4_K_M, Q8_0 or IQ2_XXS",
        )
    types = case.plan.gguf_types or {}
    try:
        kinds = [*(name for name in types if SIGN not in name), *(kind for kind, _, _ in unpacked(types))]
    except ValueError as place:
        raise RequestError("gguf_types", f"{str(place)[:40]!r} is no place in a file", "drop the file again") from None
    unknown = [kind for kind in kinds if kind.upper() not in FORMATS]
    if unknown:
        raise RequestError("gguf_types", f"{unknown[0][:40]!r} is no GGUF type", "use types as a GGUF header names them")


def numbers_held(types: dict[str, int]) -> int:
    """Numbers in all tensors of a header."""
    return sum(count for name, count in types.items() if SIGN not in name)


def numbers_of_file(case: Case) -> int:
    """Numbers in all tensors of the file that the model's checkpoint would be converted to."""
    return sum(one.tensor.elements for one in file_tensors(case.model))


def _check_cache(case: Case) -> None:
    plan = case.plan
    for name in ("kv_cache_dtype", "v_cache_dtype"):
        asked = getattr(plan, name)
        if asked and asked not in CACHE_TYPES:
            raise RequestError(name, f"llama.cpp has no {asked} cache", f"choose one of {', '.join(CACHE_TYPES)}")
    key, value = formats_of(case)
    layers = [layer for block in case.model.decoder.blocks for layer in block.layers]
    if any(isinstance(layer, LatentAttention) for layer in layers):
        if key is not value:
            raise RequestError("v_cache_dtype", "latent attention has one cache", "leave it out")
        return
    cached = [layer for layer in layers if isinstance(layer, Attention) and layer.caches]
    if value.values > 1 and cached and not context_of(case).flash:
        field = "v_cache_dtype" if plan.v_cache_dtype else "kv_cache_dtype"
        fixes = ({"attention": "flash"}, {"v_cache_dtype": "float16"})
        remedy = "use attention=flash, or v_cache_dtype=float16"
        raise RequestError(field, "quantized values need flash attention", remedy, fixes)
    for name, form, sizes in (
        ("kv_cache_dtype", key, {layer.head for layer in cached}),
        ("v_cache_dtype", value, {layer.values_head for layer in cached}),
    ):
        odd = [size for size in sizes if size % form.values]
        if odd:
            raise RequestError(name, f"heads of {odd[0]} are no whole blocks of {form.values}", "use float16")


def _remarks(case: Case) -> Iterator[str]:
    plan = case.plan
    if case.model.family in UNKNOWN_TO_IT:
        yield f"llama.cpp does not read {case.model.family} models; this is what one of their shapes would take."
    if file_type_of(plan).startswith("IQ") and not plan.gguf_types:
        yield "Types are those chosen without an importance matrix; files made with one differ by a few tensors."
    if experts_kept(case.model.config) and not plan.gguf_types and case.model.first(Experts) is not None:
        yield (
            KEPT if "quantization" in case.given else f"{KEPT} No file type was chosen: the released one is {file_type_of(plan)}."
        )
    experts = {layer.experts for b in case.model.decoder.blocks for layer in b.layers if isinstance(layer, Experts)}
    if 8 in experts and file_type_of(plan) not in ("Q8_0", "Q6_K", "F16", "BF16", "F32") and not plan.gguf_types:
        yield (
            "Files of models with eight experts that were made before 2024 keep a tensor for each expert and are "
            "smaller; their own header tells."
        )
    held, whole = numbers_held(plan.gguf_types or {}), numbers_of_file(case) if plan.gguf_types else 0
    if held and abs(held - whole) > NEARLY * whole:
        yield (
            f"The header's tensors hold {format_count(held)} numbers, a whole file of this model {format_count(whole)}: it is of "
            "another model, one part of several, or holds more than the model. Weights are counted as in the header."
        )
    if plan.gguf_types and accelerators(case) and not any(SIGN in name for name in plan.gguf_types):
        yield "The header's types are exact in sum; how they spread over device and host follows the file type's rule."


SMALLER = {"Q8_0": "Q4_K_M", "Q6_K": "Q4_K_M", "Q5_K_M": "Q4_K_M", "Q5_K_S": "Q4_K_M", "Q4_K_M": "IQ3_M"}


def remedies(case: Case) -> list[Remedy]:
    """Smaller file types, an 8-bit cache, experts or layers in host memory."""
    plan, blocks = case.plan, case.model.decoder.blocks
    out: list[Remedy] = []
    if file_type_of(plan) in ("F32", "F16", "BF16"):
        out.append(("Q8_0 file", {"quantization": "Q8_0"}, "quality hardly changes"))
        out.append(("Q4_K_M file", {"quantization": "Q4_K_M"}, "some loss of quality"))
    elif file_type_of(plan) in SMALLER and not plan.gguf_types:
        other = SMALLER[file_type_of(plan)]
        out.append((f"{other} file", {"quantization": other}, "some loss of quality"))
    if plan.kv_cache_dtype is None:
        out.append(("8-bit cache", {"kv_cache_dtype": "q8_0", "attention": "flash"}, "small risk to quality"))
    if accelerators(case) and not plan.cpu_moe_layers and any(isinstance(layer, Experts) for b in blocks for layer in b.layers):
        out.append(("experts in host memory", {"cpu_moe_layers": len(blocks)}, "slower; only attention stays on the GPU"))
    if accelerators(case) and plan.gpu_layers is None:
        out.append(("half the layers in host memory", {"gpu_layers": len(blocks) // 2}, "several times slower"))
    return out


def command(case: Case) -> str:
    """How to start the server so."""
    plan, context = case.plan, context_of(case)
    name = (case.model.id or "model").rpartition("/")[2]
    words = ["llama-server", "-m", f"{name}-{file_type_of(plan)}.gguf", "-c", str(context.tokens)]
    devices = accelerators(case)
    if not devices:
        words += ["-dev", "none"]
    else:
        words += ["-ngl", "all" if plan.gpu_layers is None else str(plan.gpu_layers)]
        words += ["--n-cpu-moe", str(plan.cpu_moe_layers)] if plan.cpu_moe_layers else []
        words += ["--split-mode", "layer"] if devices > 1 else []
    if (plan.ubatch_size or UBATCH) != UBATCH:
        words += ["-ub", str(plan.ubatch_size)]
        words += ["-b", str(plan.ubatch_size)] if (plan.ubatch_size or 0) > 2048 else []
    words += ["-np", str(plan.parallel_slots)] if plan.parallel_slots else []
    if not plan.parallel_slots and context.slots > context.policy.slots:
        words += ["-np", str(context.slots), *(["-kvu"] if context.policy.own_streams else [])]
    key, value = formats_of(case)
    for flag, form in (("-ctk", key), ("-ctv", value)):
        words += [] if form is FORMATS["float16"] else [flag, _cache_word(form.id)]
    words += ["-fa", "on" if context.flash else "off"] if plan.attention != "sdpa" else []
    return " ".join(words)


def _cache_word(id: str) -> str:
    return {"float32": "f32", "bfloat16": "bf16"}.get(id, id.lower())


RUNTIMES = (
    Runtime(
        id="llama.cpp",
        label="llama.cpp",
        tasks=("inference",),
        newest=("b11549", "2026-10"),
        breakdown=breakdown,
        check=checked,
        command=command,
        remedies=remedies,
        source="ggml-org/llama.cpp, builds b5353 to b11549",
        uses=frozenset(
            {
                "gguf_types",
                "timeline",
                "quantization",
                "attention",
                "kv_cache_dtype",
                "v_cache_dtype",
                "logits",
                "gpu_layers",
                "ubatch_size",
                "parallel_slots",
                "cpu_moe_layers",
                "devices",
                "pipeline_parallel",
                "target_length",
            }
        ),
    ),
)
