"""Does it fit, what is the most that would, and what to change: inverse questions by search over `estimate`.

Memory grows piecewise evenly with batch and tokens, so a straight line through two estimates nearly always hits; every
answer is verified by an estimate of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import merge
from typing import Any

from gauge.case import Case, Remedy
from gauge.errors import RequestError
from gauge.estimation import Estimate, estimate
from gauge.request import checked
from gauge.runtimes import runtime
from gauge.units import format_bytes, round_up

MOST_BATCH = 65_536
MOST_TOKENS = 2**24
MOST_REMEDIES = 3
BLOCKS = (256, 64, 16)  # tokens of a cache's blocks: llama.cpp; TensorRT-LLM; vLLM
MOST_ESTIMATES = 12
RETREAT = 4
DEGREES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
BY_LAYERS = (*range(1, 17), *DEGREES[5:])  # devices that split a model by its layers: any number
FSDP = {"runtime": "fsdp", "zero_stage": 3}
TIMES = (2, 3, 4, 5)  # by how much a tensor-parallel degree may grow at once
WORDS = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}
MOST_RANKS = 64  # of tensor parallelism that is tried on idle devices
RECOMPUTED = {"none": "about a third more compute", "selective": "more is computed again"}
SHARES = (0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97)  # of a device that an engine is told to take
ONE_HOST = 8  # devices that tensor parallelism usually spans

Room = Callable[[int], int | None]
Spread = tuple[int, dict[str, Any]]


def headroom(found: Estimate) -> int | None:
    """Bytes left on the fullest device, negative where they are short; None where no device is known.

    An engine that reserves a share has room as far as that share leaves it.
    """
    usable = found.case.cluster.usable
    if usable is None:
        return None
    left = usable - found.main.device
    spare = found.breakdown.spare
    return left if spare is None else spare if left >= 0 else min(spare, left)


def verdict(found: Estimate) -> dict[str, Any] | None:
    """Whether the fullest device holds it: `fits`, `tight` (only the upper end of the range does not), `short`."""
    usable, room = found.case.cluster.usable, headroom(found)
    if usable is None or room is None:
        return None
    pool = found.main
    over = pool.high - pool.device
    word = "short" if room < 0 else "tight" if min(room, usable - pool.device) < over else "fits"
    return {
        "device": found.case.plan.device,
        "usable_bytes": usable,
        "headroom_bytes": room,
        "verdict": word,
        "remedies": [],
    }


def changed(case: Case, **changes: Any) -> Case:
    """The case with some fields of its plan changed, checked as a request would be. Raises RequestError."""
    plan = case.plan.edited(**changes)
    count = plan.devices if "devices" in changes and plan.devices is not None else case.cluster.count
    return checked(replace(case, plan=plan, cluster=replace(case.cluster, count=count)))


def _room(case: Case, **changes: Any) -> int | None:
    try:
        return headroom(estimate(changed(case, **changes)))
    except RequestError:
        return None


# ------------------------------------------------------------------------------------------------ the largest that fits
def largest(room: Room, most: int, start: int, there: int | None) -> int:
    """The largest number up to `most` that leaves room, 0 where not even 1 does. `there` is the room at `start`.

    `room` must not come back once it is lost.
    """
    points = {start: there}

    def at(number: int) -> int:
        if number not in points:
            points[number] = room(number)
        found = points[number]
        return -1 if found is None else found

    low, high = (start, most) if at(start) >= 0 else (1, start)
    if at(low) < 0:
        return 0
    if low == high or (low == start and _reaches(at, points, low, high)):
        return high
    return _between(at, points, low, high)


def _reaches(at: Callable[[int], int], points: dict[int, int | None], low: int, high: int) -> bool:
    """Whether even `high` fits; it is tried only where a near guess does not rule it out."""
    near = min(high, low * 2)
    if at(near) < 0:
        return False
    slope = (at(low) - at(near)) / max(near - low, 1)
    if slope > 0 and at(near) / slope < 0.9 * (high - near):
        return False
    return at(high) >= 0


def _between(at: Callable[[int], int], points: dict[int, int | None], low: int, high: int) -> int:
    """Narrows [fits, does not] by straight lines; halves where a line does not help.

    Engines count in blocks, so a line often misses by less than one of them: each further miss steps back by more.
    """
    known = sorted(n for n, r in points.items() if r is not None and r >= 0)
    low = max(low, known[-1] if known else low)
    fails = [n for n in points if at(n) < 0 and n > low]
    high = min(fails) if fails else high + 1
    back = ahead = 1
    for step in range(MOST_ESTIMATES):
        if high - low <= 1:
            break
        half = (low + high) // 2
        guess = _guess(points, low, high) if step % 4 != 3 else half
        if guess >= high - back:
            guess, back = max(high - back, half), back * RETREAT
        elif guess <= low + ahead:
            guess, ahead = min(low + ahead, half), ahead * RETREAT
        if at(guess) >= 0:
            low = guess
        else:
            high = guess
    return low


def _guess(points: dict[int, int | None], low: int, high: int) -> int:
    """Where the line through the two best known points crosses zero, inside (low, high)."""
    known = sorted((n, r) for n, r in points.items() if r is not None)
    below = [p for p in known if p[0] <= low][-2:]
    above = [p for p in known if p[0] >= high][:1]
    pair = [below[-1], above[0]] if above else below
    if len(pair) == 2 and pair[0][1] > pair[1][1]:
        (n0, r0), (n1, r1) = pair
        cross = n0 + r0 * (n1 - n0) // (r0 - r1)
        if cross <= low:
            return low + 1
        return min(cross, high - 1)
    return min(low * 2, (low + high) // 2) if low * 2 > low else low + 1


def capacity(found: Estimate) -> dict[str, int]:
    """What the engine knows of its pool; the largest batch and sequence and the fewest devices, else as asked."""
    case, there = found.case, headroom(found)
    out: dict[str, int] = dict(found.breakdown.capacity)
    if there is None:
        return out
    plan = case.plan
    out["max_batch_size"] = largest(lambda n: _room(case, batch_size=n), MOST_BATCH, plan.batch_size, there)
    out["max_sequence_length"] = _longest(case, there)
    fewest = min_devices(case)
    if fewest is not None:
        out["min_devices"] = fewest
    return out


def _longest(case: Case, there: int) -> int:
    """The most tokens of a sequence; the whole of the last block where an engine's cache has blocks: a line seldom ends
    on its edge, and all of a block needs the same.
    """
    most = min(MOST_TOKENS, case.model.max_length)
    start = min(case.plan.tokens, most)

    def room(tokens: int) -> int | None:
        return there if tokens == case.plan.tokens else _room(case, **_tokens(tokens))

    found = largest(room, most, start, room(start))
    if case.plan.training or not 0 < found < most:
        return found
    edges = (min(round_up(found, block), most) for block in BLOCKS if found % block)
    return next((edge for edge in edges if (left := room(edge)) is not None and left >= 0), found)


def _tokens(count: int) -> dict[str, Any]:
    return {"sequence_length": count, "prompt_length": count}


def min_devices(case: Case) -> int | None:
    """The fewest of these devices on which the case fits, spread as its runtime spreads a model; None: not found.

    Counts rise by powers of two and stop at the one asked for; where others lie between, they are halved.
    """
    options = list(spreads(case))
    asked = case.plan.devices
    steps = [index for index, (count, _) in enumerate(options) if count.bit_count() == 1 or count == asked]
    below = -1
    for index in steps:
        if _holds(case, options[index][1]):
            return options[_first(case, options, below, index)][0]
        below = index
    return None


def _first(case: Case, options: list[Spread], below: int, index: int) -> int:
    """The first option that fits between one that does not and one that does."""
    while index - below > 1:
        half = (below + index) // 2
        below, index = (below, half) if _holds(case, options[half][1]) else (half, index)
    return index


def _holds(case: Case, changes: dict[str, Any]) -> bool:
    room = _room(case, **changes)
    return room is not None and room >= 0


def spread(case: Case, count: int) -> dict[str, Any]:
    """The changes that put a case on the fewest devices, whose number is known."""
    options = [changes for number, changes in spreads(case) if number == count]
    return options[0] if len(options) == 1 else next((changes for changes in options if _holds(case, changes)), {})


def spreads(case: Case) -> Iterator[Spread]:
    """(devices, changes) in rising order: the ways that a runtime spreads a model, and the way that was asked for."""
    return merge(_as_asked(case), _usual(case), key=lambda option: option[0])


def _as_asked(case: Case) -> Iterator[Spread]:
    """The degrees that were asked for: with fewer or more data-parallel ranks, and as they are."""
    plan = case.plan
    others, ranks = plan.world // plan.data_parallel, plan.data_parallel
    if plan.training and others > 1:
        yield from ((others * n, {"data_parallel": n, "devices": others * n}) for n in DEGREES if n < ranks)
    if plan.devices:
        yield plan.devices, {}


def _usual(case: Case) -> Iterator[Spread]:
    """(devices, changes) in rising order: layer by layer where the runtime needs no degrees, else tensor parallel on one
    host, then stages or data-parallel shards beyond.

    transformers' Trainer spreads a model through FSDP; its own replicas need as much each as one device alone.
    """
    uses = runtime(case.plan.runtime, case.plan.task).uses
    single = {"tensor_parallel": 1, "pipeline_parallel": 1, "data_parallel": 1, "expert_parallel": 1}
    alone = {k: v for k, v in single.items() if k in uses} | {"context_parallel": 1}
    shards = "zero_stage" in uses or (case.plan.training and "data_parallel" in uses)
    if case.plan.training and case.plan.runtime == "transformers":
        yield 1, alone | {"devices": 1}
        yield from ((n, alone | FSDP | {"data_parallel": n, "devices": n}) for n in DEGREES[1:])
        return
    if "devices" in uses:
        yield from ((count, alone | {"devices": count}) for count in BY_LAYERS)
        return
    for count in DEGREES:
        if "tensor_parallel" in uses and (count <= ONE_HOST or not shards):
            yield from ((count, alone | split) for split in _splits(case, count, "pipeline_parallel" in uses, alone))
        elif shards:
            yield count, alone | {"data_parallel": count, "devices": count}
        elif "pipeline_parallel" in uses:
            yield count, alone | {"pipeline_parallel": count, "devices": count}
        elif count == 1:
            yield count, {"devices": count}


def _splits(case: Case, count: int, staged: bool, alone: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """How `count` devices share a model: as many tensor-parallel ranks as its heads allow, stages for the rest."""
    for degree in sorted((d for d in DEGREES if d <= min(count, ONE_HOST)), reverse=True):
        split = {"tensor_parallel": degree, "devices": count}
        if staged:
            split["pipeline_parallel"] = count // degree
        if degree * split.get("pipeline_parallel", 1) == count and _allowed(case, alone | split):
            yield split
            return


def _allowed(case: Case, changes: dict[str, Any]) -> bool:
    """Whether the runtime takes the case so; nothing is computed."""
    try:
        changed(case, **changes)
    except RequestError:
        return False
    return True


# ------------------------------------------------------------------------------------------------ remedies
def _training(case: Case) -> Iterator[Remedy]:
    plan = case.plan
    if plan.gradient_checkpointing != "full":
        yield "full checkpointing", {"gradient_checkpointing": "full"}, RECOMPUTED[plan.gradient_checkpointing]
    yield from _shards(case)
    if plan.optimizer in ("adamw", "adamw-fused", "adamw-loop"):
        yield "8-bit AdamW", {"optimizer": "adamw-8bit"}, "states in 8 bits; quality is usually unchanged"
    if plan.method == "full":
        yield "LoRA", {"method": "lora", "precision": "pure-16bit"}, "only adapters learn; less capacity to change"
    if plan.method == "lora":
        yield "QLoRA", {"method": "qlora"}, "4-bit base weights; slower steps"
    if plan.batch_size > 1:
        yield "half the micro-batch", {"batch_size": plan.batch_size // 2}, "twice the accumulation steps"


def _shards(case: Case) -> Iterator[Remedy]:
    """Model states split over data-parallel ranks that hold whole copies of them."""
    plan, uses = case.plan, runtime(case.plan.runtime, case.plan.task).uses
    if plan.data_parallel < 2 or plan.zero_stage >= (1 if plan.runtime == "megatron" else 3):
        return
    on_these = f"over the {plan.data_parallel} data-parallel ranks; more communication"
    if plan.runtime == "transformers":
        yield "sharding with FSDP", dict(FSDP), f"weights, gradients and states split {on_these}"
    elif "zero_stage" in uses and plan.runtime == "megatron":
        yield "distributed optimizer", {"zero_stage": 1}, f"states split {on_these}"
    elif "zero_stage" in uses:
        yield "ZeRO stage 3", {"zero_stage": 3}, f"weights, gradients and states split {on_these}"


def _inference(case: Case) -> Iterator[Remedy]:
    own = runtime(case.plan.runtime, case.plan.task).remedies
    if own is not None:
        yield from own(case)
        return
    plan = case.plan
    uses = runtime(plan.runtime, plan.task).uses
    if plan.quantization == "none" and "quantization" in uses:
        yield "INT4 weights (AWQ)", {"quantization": "awq-int4-g128"}, "some loss of quality"
        yield "FP8 weights", {"quantization": "fp8"}, "small risk to quality"
    if plan.kv_cache_dtype is None and "kv_cache_dtype" in uses:
        yield "FP8 cache", {"kv_cache_dtype": "fp8"}, "small risk to quality on long contexts"
    if "max_num_seqs" in uses:
        yield "fewer sequences at once", {"max_num_seqs": 64}, "lower throughput under load"
    if plan.batch_size > 1:
        yield "half the batch", {"batch_size": plan.batch_size // 2}, "half the sequences at once"


def _candidates(found: Estimate) -> Iterator[Remedy]:
    case = found.case
    yield from _training(case) if case.plan.training else (*_share(found), *_inference(case))
    if "tensor_parallel" in runtime(case.plan.runtime, case.plan.task).uses:
        yield from _more_ranks(case)
    if case.plan.tokens > 1024:
        yield "half the sequence", _tokens(case.plan.tokens // 2), "half the context"


def _share(found: Estimate) -> Iterator[Remedy]:
    """Another share of the device for an engine that reserves one, where the share alone is what is short: the least of
    a few larger ones that suffices, the largest of a few smaller ones where it overflows the device.
    """
    case, room, usable, spare = found.case, headroom(found), found.case.cluster.usable, found.breakdown.spare
    if room is None or usable is None or spare is None or room >= 0 or "gpu_memory_utilization" not in _uses(case):
        return
    over = spare >= 0
    shares = sorted((s for s in SHARES if over or usable - found.main.device > 0), reverse=over)
    for share in shares:
        left = _room(case, gpu_memory_utilization=share)
        if left is not None and left >= 0:
            cost = "the share is what is too high, not the need" if over else "less of the device is left to others"
            yield f"memory share {share:g}", {"gpu_memory_utilization": share}, cost
            return


def _uses(case: Case) -> frozenset[str]:
    return runtime(case.plan.runtime, case.plan.task).uses


def _more_ranks(case: Case) -> Iterator[Remedy]:
    """A higher tensor-parallel degree that heads and vocabulary allow: on the devices given as far as they are idle or
    copies, on more of them otherwise.
    """
    plan, now = case.plan, case.plan.tensor_parallel
    devices = plan.devices or 1
    others = plan.world // now
    idle = devices // others
    here = [d for d in range(now + 1, min(idle, MOST_RANKS) + 1) if idle % d == 0 and _allowed(case, {"tensor_parallel": d})]
    if here and not plan.training:
        first = next((d for d in here if _holds(case, {"tensor_parallel": d})), here[-1])
        cost = "no device stays idle" if first == idle else "on devices that were idle"
        yield f"tensor parallel {first} on these {devices}", {"tensor_parallel": first}, cost
        return
    for times in TIMES:
        if plan.training and plan.data_parallel % times == 0:
            changes = {"tensor_parallel": now * times, "data_parallel": plan.data_parallel // times}
            if _allowed(case, changes):
                cost = f"{changes['data_parallel']} data-parallel ranks instead of {plan.data_parallel}"
                yield f"tensor parallel {now * times} on these {devices}", changes, cost
                return
        changes = {"tensor_parallel": now * times, "devices": devices * times}
        if _allowed(case, changes):
            yield f"tensor parallel {now * times}", changes, f"{WORDS[times]} the devices"
            return


def remedies(found: Estimate) -> list[dict[str, Any]]:
    """At most three changes, ordered by the memory they free, each with its cost in words.

    A share that suffices is among them whatever others free: it costs neither quality nor devices.
    """
    case, before = found.case, headroom(found)
    out: list[dict[str, Any]] = []
    for label, changes, cost in _candidates(found):
        after = _room(case, **changes)
        if after is None or before is None or after <= before:
            continue
        saved = after - before
        fits = "more room" if before >= 0 else "fits then" if after >= 0 else "still short"
        out.append(
            {
                "label": label,
                "changes": changes,
                "saves_bytes": saved,
                "cost": cost,
                "text": f"{label}: −{format_bytes(saved)}; {cost}; {fits}",
            }
        )
    out.sort(key=lambda r: ("gpu_memory_utilization" in r["changes"], r["saves_bytes"]), reverse=True)
    return sorted(out[:MOST_REMEDIES], key=lambda r: r["saves_bytes"], reverse=True)
