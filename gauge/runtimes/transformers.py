"""transformers under PyTorch: inference by `generate`, on one device or layers spread over several (`device_map`).

The prompt's forward pass is the model's tape; its largest operator is the peak. Which positions get logits, and what
lies in buffers, changed between releases. Source: transformers 4.38 to 5.23, PyTorch 2.13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from gauge.abilities import expands
from gauge.breakdown import Factor, Item, Pool, constant, item, merged, product
from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, FORMATS, Format, format_of
from gauge.hardware import Device
from gauge.how import How
from gauge.layers.attention import Attention
from gauge.layers.experts import Experts
from gauge.memory.arena import REMARK, phone_store, planned
from gauge.memory.collect import layered, stacked
from gauge.memory.engine_weights import positions, rotary_sizes, rounding
from gauge.memory.every_linear import every_linear, in_passing, quantizer
from gauge.memory.fused_awq import SOURCE as AWQ_SOURCE
from gauge.memory.fused_awq import WHY_ROTATIONS, WHY_TWICE, attention_peak, cached_tokens, joined, rotations
from gauge.memory.overhead import matrix_workspace, served
from gauge.memory.segments import Lengths, Tracer, lengths
from gauge.memory.stages import stages
from gauge.memory.state import cache_formats, spread, state_items
from gauge.memory.weights import buffer_items, stored, weight_items
from gauge.model import Model
from gauge.overheads import overhead
from gauge.plan import Plan
from gauge.quantization import Store, store_of
from gauge.record import Moment
from gauge.runtimes.release import Release, release
from gauge.sequence import Sequence
from gauge.tape import Storage, Tape, dims
from gauge.tensor import Dim, Tensor, tensor, total_bytes

PREFILL = (("load", "after loading"), ("prefill", "prefill"), ("decode", "last generated token"))
LOGITS_OF_LAST = ((4, 45), (2024, 9))
TABLES_SHARED = ((4, 45), (2024, 9))
STACKED = frozenset({"gpt_oss", "llama4", "granitemoe", "granitemoehybrid", "dbrx", "jetmoe", "qwen3_vl_moe"})
WIDE_EXPERTS = (
    "bitsandbytes narrows linear layers; the experts are stacked parameters here (everywhere since transformers 5) and stay "
    "in 16 bits. Checkpoints in GPTQ, AWQ or MXFP4 hold narrow experts."
)
ACTIVATION_SOURCE = "the model's forward pass in transformers, operator by operator; PyTorch 2.13"
WHY_TABLES = "Before 4.45 every layer registered its own cosine and sine tables up to the longest position."


def inference(case: Case) -> Breakdown:
    """Weights, cache and the prefill's peak on the fullest device; layers are shared evenly over several."""
    count = case.cluster.count
    one_stack = all(p.optional for p in case.model.parts[:-1])
    shared = count > 1 and one_stack and count <= len(case.model.decoder.blocks)
    pools = [_pool(replace(case, model=s.model)) for s in stages(case.model, count if shared else 1)]
    return Breakdown(pools=(max(pools, key=lambda p: p.device),), warnings=tuple(_remarks(case)))


def _remarks(case: Case) -> Iterator[str]:
    if on_phone(case):
        yield REMARK
    if case.plan.quantization.startswith("bnb") and stacks_experts(case):
        yield WIDE_EXPERTS


def stacks_experts(case: Case) -> bool:
    """Whether routed experts are stacked parameters: everywhere since transformers 5, in some families always."""
    plan, model = case.plan, case.model
    if model.first(Experts) is None or quantizer(plan.runtime_version, plan.quantization) is not None:
        return False
    return model.family in STACKED or not release(plan.runtime_version).before((5,), (2025, 12))


def on_host(case: Case) -> bool:
    """Whether the model runs on a processor: no accelerator, or a computer, board or phone without one of its own."""
    device = case.cluster.device
    return case.cluster.count == 0 or (device is not None and device.kind in ("cpu", "mobile"))


def on_phone(case: Case) -> bool:
    """Whether an interpreter inside an app runs the model."""
    device = case.cluster.device
    return device is not None and device.kind == "mobile"


def _pool(case: Case) -> Pool:
    plan, model = case.plan, case.model
    dtype = FORMATS[plan.dtype]
    which = release(plan.runtime_version)
    scheme = "none" if expands(case) else plan.quantization
    by = quantizer(plan.runtime_version, plan.quantization)
    store = store_of(scheme, plan.sparsity, dtype, model.first(Experts) is not None, stacks_experts(case))
    if on_phone(case):
        store = phone_store(store, plan.quantization)
    store = every_linear(store, plan.quantization, by) if by else store
    items = [*weight_items(model, store), *buffer_items(model, dtype)]
    if fused_awq(case):
        items += _fused(case, store, which)
    else:
        items += _tables(model, dtype, which)
        items += _cache(case)
        items += _prefill(case, which)
    if on_host(case):
        process = constant("framework.process", overhead("pytorch", "app" if on_phone(case) else "process"))
        return Pool("host", 1, merged([*items, process]), PREFILL)
    items += _booked(model, store, case.cluster.device)
    passing = in_passing(model, store, by.copies) if by else None
    if passing and by:
        items.append(item("workspace.quantizing", passing, why=by.why, source=by.source, certainty="policy", scope="reserved"))
    return served(Pool("gpu", max(case.cluster.count, 1), merged(items), PREFILL), case.cluster.device)


# ------------------------------------------------------------------------------------------------ what stays
def _booked(model: Model, store: Store, device: Device | None) -> Iterator[Item]:
    extra = rounding(stored(model, store), fused=False)
    if extra:
        yield product(
            "workspace.rounding",
            "whole allocator segments",
            (Factor("bytes", extra, "of all matrices of 10 MiB and more"),),
            why="PyTorch's allocator books large tensors in whole 2 MiB segments.",
            source="PyTorch c10/cuda/CUDACachingAllocator.cpp",
        )
    library = matrix_workspace(device)
    if library:
        yield constant("workspace.libraries", library, scope="allocated", moments=("prefill", "decode"))


def _tables(model: Model, dtype: Format, which: Release) -> Iterator[Item]:
    """Rotary tables that older releases keep in every layer."""
    if not which.before(*TABLES_SHARED) or which.says("lit") or which.says("gpt-fast"):
        return
    for (size, scope), count in rotary_sizes(model).items():
        shape = ((Dim.LAYERS, count), (Dim.COPIES, 2), (Dim.POSITIONS, positions(model, scope, stretched=False)))
        table = tensor("rotary tables of every layer", dtype, *shape, (Dim.HEAD, size))
        yield item("workspace.rotary", table, why=WHY_TABLES, source="transformers 4.38", certainty="policy")


def _cache(case: Case) -> Iterator[Item]:
    """The cache of the whole sequence; while the prompt passes, a growing cache is still shorter: the low end."""
    plan = case.plan
    formats, model = _formats(plan), spread(case.model)
    whole, prompt = _sequence(case, plan.tokens), _sequence(case, plan.prompt_length or plan.tokens)
    short: dict[tuple[object, ...], int] = {}
    for (long, count), (start, _) in zip(model.state(whole), model.state(prompt), strict=True):
        key = long.name, long.dims, formats(long).id
        short[key] = short.get(key, 0) + start.stored_as(formats(start)).bytes * count
    for full, low in zip(state_items(model, whole, formats), short.values(), strict=True):
        if not full.bytes:
            continue
        yield full._replace(low=min(low, full.bytes)).at("prefill") if low < full.bytes else full.at("prefill")
        yield full.at("decode")


def _sequence(case: Case, tokens: int) -> Sequence:
    where = lengths(case.model, case.plan, tokens)
    return Sequence(where.batch, where.tokens, where.source or _picture(case), policy=_windowed, buffers=True)


def _picture(case: Case) -> int:
    """Tokens of a picture that cross-attention caches: every tile's patches, absent tiles as padding."""
    tower, side = next((p for p in case.model.parts if p.sequence == "image"), None), case.plan.image_size
    crossed = any(layer.cross for b in case.model.decoder.blocks for layer in b.layers if isinstance(layer, Attention))
    if tower is None or side is None or not crossed or tower.embeddings is None:
        return 0
    shape = dims((Dim.BATCH, 1), (Dim.HEIGHT, side), (Dim.WIDTH, side))
    entered = tower.embeddings.forward(Tape(How(grad=False)), shape)
    patches = next((e.size for e in entered.dims if e.dim is Dim.PATCHES), 0)
    vision = case.model.config.get("vision_config")
    tiles = vision.get("max_num_tiles", 1) if isinstance(vision, dict) else 1
    return patches * (tiles if isinstance(tiles, int) else 1)


def _windowed(tokens: int, window: int | None, chunk: int | None) -> int:
    """A sliding layer's cache keeps one token less than its window, since the next one joins it."""
    reach = window or chunk
    return tokens if reach is None else min(tokens, reach - 1)


def _formats(plan: Plan) -> Callable[[Tensor], Format]:
    key = format_of(plan.kv_cache_dtype or plan.dtype)
    value = format_of(plan.v_cache_dtype) if plan.v_cache_dtype else None
    return cache_formats(key, value, lambda t: t.format if t.format is FLOAT32 else FORMATS[plan.dtype])


# ------------------------------------------------------------------------------------------------ AutoAWQ
def fused_awq(case: Case) -> bool:
    """Whether AutoAWQ's own fused layers run the model, as a version that names it means."""
    plan, model = case.plan, case.model
    named = release(plan.runtime_version).says("AutoAWQ") and plan.quantization.startswith("awq")
    return named and len(model.parts) == 1 and model.first(Attention) is not None


def _fused(case: Case, store: Store, which: Release) -> Iterator[Item]:
    """The fixed cache, fused attention's peak, and the second copies that fusing makes."""
    plan, model, dtype = case.plan, case.model, FORMATS[case.plan.dtype]
    cached, prompt = cached_tokens(plan.tokens, plan.prompt_length), plan.prompt_length or plan.tokens
    whole = Sequence(plan.batch_size, cached, policy=lambda tokens, window, chunk: tokens)
    yield from state_items(model, whole, _formats(plan))
    for one in layered(joined(model, store), model.layers):
        yield item("workspace.fusing", one, why=WHY_TWICE, source=AWQ_SOURCE, certainty="policy", moments=("load",))
    for one in layered(rotations(model, cached), model.layers):
        yield item("workspace.rotary", one, why=WHY_ROTATIONS, source=AWQ_SOURCE, certainty="policy")
    how = How(compute=dtype, grad=False, attention="eager")
    ends = [m.alive for m in _output(model, how, lengths(model, plan, prompt), which, plan.logits)]
    output = max(((*(s.tensor for s in alive),) for alive in ends), key=total_bytes, default=())
    inside = attention_peak(model, plan.batch_size, prompt, dtype, mask=prompt > 1)
    yield from activation_items([(t, 1) for t in max(inside, output, key=total_bytes)], "prefill")


# ------------------------------------------------------------------------------------------------ prefill
def _prefill(case: Case, which: Release) -> Iterator[Item]:
    """The largest operator of the prompt's forward pass."""
    plan, model = case.plan, case.model
    how = How(compute=FORMATS[plan.dtype], grad=False, attention=plan.attention)
    where = lengths(model, plan, plan.prompt_length or plan.tokens)
    run = Tracer(model, how, where).run(loss=False)
    embedded = [s.trace.results[0].storage for s in run.segments if s.name == "embeddings"]
    worst: tuple[int, tuple[Storage, ...]] = (0, ())
    generates = next(iter(model.state(Sequence(1, 1, 1))), None) is not None
    ends = [m.alive for m in _output(model, how, where, which, plan.logits)] if generates else []
    seen: set[int] = set()
    for segment in run.segments:
        # NOTE: equal blocks share one trace, whose moments need to be weighed only once.
        if id(segment.trace) in seen or (segment.name == "head" and generates):
            continue
        seen.add(id(segment.trace))
        if on_phone(case):
            ends += planned(segment.trace)
            continue
        kept = embedded if segment.name not in ("embeddings", "head") else []
        ends += [(*m.alive, *kept) for m in segment.trace.forward]
    for alive in ends:
        size = sum(s.size for s in alive)
        if size > worst[0]:
            worst = (size, alive)
    shared = tuple(v.storage for v in run.shared.values())
    yield from activation_items([(s.tensor, 1) for s in (*worst[1], *shared)], "prefill")


def keeps_all(which: Release, asked: str | None) -> bool:
    """Whether every prompt position gets logits: as asked, else in releases before 4.45."""
    return which.before(*LOGITS_OF_LAST) if asked is None else asked == "all"


def _output(model: Model, how: How, where: Lengths, which: Release, asked: str | None) -> Iterable[Moment]:
    """Final norm and head over the stream, for all positions or the last one."""
    head, part = model.head, model.decoder
    if head is None:
        return ()
    tape = Tape(how)
    stream = dims((Dim.BATCH, where.batch), (Dim.TOKENS, where.of(part)), (Dim.HIDDEN, model.hidden))
    entry = tape.input("residual stream", stream, how.compute)
    out = part.norm(tape, entry) if part.norm else entry
    if not keeps_all(which, asked) and not head.per_sequence:
        out = tape.alias(out, dims((Dim.BATCH, where.batch), (Dim.TOKENS, 1), (Dim.HIDDEN, model.hidden)))
    out = head.logits(tape, out)
    if head.upcast and which.before(*LOGITS_OF_LAST):
        out = tape.cast(out, FLOAT32, "logits in float32")
    return tape.trace(entry, out).forward


def activation_items(tensors: Iterable[tuple[Tensor, int]], moment: str) -> Iterator[Item]:
    """Activations of one moment; what has a vocabulary dimension is logits."""
    for one in stacked(tensors):
        kind = "logits" if any(e.dim is Dim.VOCAB for e in one.dims) else "activations"
        why = "Alive while the prompt passes through this layer."
        yield item(kind, one, why=why, source=ACTIVATION_SOURCE, moments=(moment,))


LOADERS = {
    "bnb-int8": "BitsAndBytesConfig(load_in_8bit=True)",
    "bnb-nf4": 'BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")',
    "bnb-nf4-double": 'BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)',
}
KERNELS = {"sdpa": "sdpa", "flash": "flash_attention_2", "eager": "eager"}


def command(case: Case) -> str:
    """A snippet that loads and runs the model with these settings."""
    plan = case.plan
    place = '"cpu"' if on_host(case) else '"auto"'
    words = [f"dtype=torch.{plan.dtype}", f"device_map={place}", f'attn_implementation="{KERNELS[plan.attention]}"']
    if plan.quantization in LOADERS:
        words.append(f"quantization_config={LOADERS[plan.quantization]}")
    new = max(plan.tokens - (plan.prompt_length or plan.tokens), 1)
    return "\n".join(
        (
            f'model = AutoModelForCausalLM.from_pretrained("{case.model.id}", {", ".join(words)})',
            f"model.generate(**inputs, max_new_tokens={new})",
        )
    )


RUNTIMES = (
    Runtime(
        id="transformers",
        label="transformers (PyTorch)",
        tasks=("inference",),
        newest=("5.23",),
        breakdown=inference,
        command=command,
        uses=frozenset(
            {
                "quantization",
                "sparsity",
                "devices",
                "attention",
                "prompt_length",
                "target_length",
                "kv_cache_dtype",
                "v_cache_dtype",
                "logits",
                "image_size",
            }
        ),
    ),
)
