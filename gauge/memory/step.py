"""The course of one training step: what lives at each operator of forward, loss, backward and optimizer step.

The segments' traces are laid end to end: going forward each leaves what it saves, going backward each frees it and
leaves gradients. Each segment's largest operator becomes a point, the largest point of each phase a moment. Equal
segments share one reading of their trace, so that depth costs little.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from gauge.breakdown import Event, Item, item
from gauge.memory.collect import counted, stacked
from gauge.memory.roles import component_of, label_of
from gauge.memory.segments import INPUTS, Pass, Segment
from gauge.record import Moment, Trace
from gauge.tape import Storage
from gauge.tensor import Dim, Tensor

WHY_SAVED = "Kept from forward until backward has used it."
WHY_FLYING = "Alive only while this part of the step runs."
WHY_GRADIENT = "One number for each trained weight, made in backward and used by the optimizer step."
WHY_GROWING = "Gradients made so far; backward has not reached the other layers yet."
WHY_BESIDE = "Exists beside what is kept of it while backward is at this place."

MOMENTS = (
    ("load", "after loading"),
    ("first", "first step, before the optimizer has states"),
    ("forward", "forward pass"),
    ("loss", "loss"),
    ("loss_backward", "start of backward"),
    ("backward", "inside backward"),
    ("backward_end", "end of backward"),
    ("step", "optimizer step"),
    ("between", "between steps"),
)
COURSE = ("forward", "loss", "loss_backward", "backward", "backward_end")


def _itself(weight: Tensor) -> Tensor | None:
    return weight


def _nothing(weight: Tensor) -> Iterable[Tensor]:
    return ()


@dataclass(frozen=True, slots=True)
class Gradients:
    """How the gradients of trained weights are kept.

    `kept(weight)` is what stays of a gradient once it was made (a shard, another dtype), None where it is used up at
    once. `resident`: all of that exists before forward already (accumulation, buffers of main gradients) and new ones
    are added to it. `used(weight)` are tensors that using up one gradient needs at once (a step inside backward).
    `direct`: the matrix product of backward writes into what is kept. `unit`: gradients of one segment stay whole until
    its last one was made, then they are reduced over the devices through these tensors.
    """

    kept: Callable[[Tensor], Tensor | None] = _itself
    resident: bool = False
    used: Callable[[Tensor], Iterable[Tensor]] = _nothing
    direct: bool = False
    unit: Callable[[Iterable[Tensor]], Iterable[Tensor]] | None = None

    def beside(self, weight: Tensor) -> Iterator[Tensor]:
        """What exists for a moment when a weight's gradient appears, besides what is kept of it."""
        kept = self.kept(weight)
        if self.direct:
            return
        if self.resident or kept is None or (kept.dims, kept.format) != (weight.dims, weight.format):
            yield _gradient(weight)
        yield from self.used(weight)


@dataclass(frozen=True, slots=True)
class Point:
    """The largest operator of one segment in one direction, with what is alive besides weights and states.

    `made` are the weights whose gradients this segment has made, `beside` what stands beside the traced tensors.
    """

    moment: str
    segment: Segment
    index: int
    event: str
    flying: Moment
    made: tuple[Tensor, ...]
    beside: tuple[Tensor, ...]
    bytes: int
    forward: bool


class _Stop(NamedTuple):
    """One operator of a segment's backward, before the rest of the step is added."""

    event: str
    flying: Moment
    made: tuple[Tensor, ...]
    beside: tuple[Tensor, ...]
    bytes: int


@dataclass
class Step:
    """A pass with its checkpointing, as bytes over time.

    `checkpoint`: "none", "selective" (the attention cores are recomputed) or "full" (blocks keep only their input).
    `keep` overrides what a checkpointed block keeps. `tied`: the head's matrix is the token embedding. `offload`: what
    is kept for backward waits in host memory.
    """

    run: Pass
    checkpoint: str = "none"
    gradients: Gradients = field(default_factory=Gradients)
    tied: bool = False
    offload: bool = False
    keep: Callable[[Trace], tuple[Storage, ...]] | None = None
    _read: dict[tuple[object, ...], tuple[_Stop, tuple[Tensor, ...]]] = field(default_factory=dict, repr=False)

    # ---------------------------------------------------------------- what each segment leaves
    def recomputed(self, segment: Segment) -> bool:
        """Whether the whole segment runs again in backward."""
        return self.checkpoint == "full" and segment.layer is not None and segment.trace.source is not None

    def trace(self, segment: Segment) -> Trace:
        """The segment's trace under this checkpointing."""
        return segment.trace.without_cores if self.checkpoint == "selective" else segment.trace

    def kept(self, segment: Segment, forward: bool = False) -> tuple[Storage, ...]:
        """What the segment leaves for backward: its saved tensors, or only its input where it is recomputed.

        Autocast's copies of weights are kept until forward ends whether backward needs them or not.
        """
        if not self.recomputed(segment):
            return self.trace(segment).saved
        if self.keep is not None:
            return self.keep(segment.trace)
        assert segment.trace.source is not None
        source = (segment.trace.source.storage,)
        return (*source, *segment.trace.cached) if forward else source

    def resident(self, segment: Segment, forward: bool = False) -> tuple[Storage, ...]:
        """`kept`, as far as it stays on the device."""
        return () if self.offload else self.kept(segment, forward)

    @cached_property
    def _kept_bytes(self) -> dict[tuple[int, bool, bool], int]:
        return {}

    def _kept(self, segment: Segment, forward: bool) -> int:
        key = (id(segment.trace), segment.layer is None, forward)
        if key not in self._kept_bytes:
            self._kept_bytes[key] = sum(s.size for s in self.resident(segment, forward))
        return self._kept_bytes[key]

    # ---------------------------------------------------------------- what segments share
    @cached_property
    def _lives(self) -> dict[str, tuple[int, int]]:
        """First and last segment that use each shared value."""
        lives: dict[str, tuple[int, int]] = {}
        for index, segment in enumerate(self.run.segments):
            for name in segment.trace.uses:
                lives[name] = (lives.get(name, (index, index))[0], index)
        return lives

    @cached_property
    def _kept_shared(self) -> frozenset[int]:
        """Shared values that something keeps for backward; a recomputed block keeps all that it is given."""
        return frozenset(
            id(v.storage)
            for s in self.run.segments
            for v in self.run.shared.values()
            if any(v.storage is k for k in s.trace.shared) or self.recomputed(s)
        )

    def shared(self, index: int, forward: bool) -> Iterator[Tensor]:
        """Tensors that all segments share, alive at a segment: from their first use until backward has passed it.

        What nothing keeps for backward is gone after its last use.
        """
        for name, value in self.run.shared.items():
            first, last = self._lives.get(name, (0, 0))
            needed = id(value.storage) in self._kept_shared or (forward and index <= last)
            if (index >= first and needed) or name in INPUTS:
                yield value.storage.tensor
            if not forward and value.grad and self.run.origins.get(name, first) < index < last:
                yield _gradient(value.storage.tensor)

    def _shared_bytes(self, index: int, forward: bool) -> int:
        """The bytes of `shared`."""
        key = (forward, bisect(self._turns, index))
        if key not in self._shared_sizes:
            self._shared_sizes[key] = sum(t.bytes for t in self.shared(index, forward))
        return self._shared_sizes[key]

    @cached_property
    def _turns(self) -> list[int]:
        """The segments at which something changes for `shared`; between two of them it gives the same."""
        turns: set[int] = set()
        for name in self.run.shared:
            first, last = self._lives.get(name, (0, 0))
            turns |= {first, last, last + 1, self.run.origins.get(name, first) + 1}
        return sorted(turns)

    @cached_property
    def _shared_sizes(self) -> dict[tuple[bool, int], int]:
        return {}

    # ---------------------------------------------------------------- the course
    @cached_property
    def points(self) -> tuple[Point, ...]:
        """The largest operator of every segment, forward and then backward."""
        return (*self._forward(), *self._backward())

    def _forward(self) -> Iterator[Point]:
        before = self._all_gradients if self.gradients.resident else 0
        for index, segment in enumerate(self.run.segments):
            moment = segment.trace.peak
            if moment is not None:
                phase = "loss" if segment.name == "head" else "forward"
                size = before + moment.bytes + self._shared_bytes(index, True)
                yield Point(phase, segment, index, moment.event, moment, (), (), size, True)
            before += self._kept(segment, True)

    def _backward(self) -> Iterator[Point]:
        segments = self.run.segments
        kept = sum(self._kept(s, False) for s in segments)
        grads = self._all_gradients if self.gradients.resident else 0
        waiting: dict[str, Tensor] = {}
        seen: dict[str, int] = {}
        for index in range(len(segments) - 1, -1, -1):
            segment = segments[index]
            kept -= self._kept(segment, False)
            held = tuple(waiting.values())
            stop, made = self._reading(segment, waiting, seen)
            if stop is not None:
                rest = kept + grads + self._shared_bytes(index, False)
                phase = self._phase(segment, index)
                beside = (*held, *stop.beside)
                size = rest + stop.bytes + sum(t.bytes for t in held)
                yield Point(phase, segment, index, stop.event, stop.flying, stop.made, beside, size, False)
            if not self.gradients.resident:
                grads += self._grown(made)

    @staticmethod
    def _phase(segment: Segment, index: int) -> str:
        if segment.name == "head":
            return "loss_backward"
        return "backward_end" if index == 0 and segment.name == "embeddings" else "backward"

    def _reading(
        self, segment: Segment, waiting: dict[str, Tensor], seen: dict[str, int]
    ) -> tuple[_Stop | None, tuple[Tensor, ...]]:
        """A segment's worst operator going backward and the weights whose gradients it completes."""
        if (id(segment.trace),) in self._read:
            return self._read[(id(segment.trace),)]
        special = [w for w in segment.trace.weight_gradients if self._uses.get(self._matrix(w), 1) > 1]
        key = (id(segment.trace), segment.layer is None, *sorted(seen.items())) if special else (id(segment.trace),)
        made: list[Tensor] = []
        stops = list(self._stops(segment, made, waiting, seen))
        worst = max(stops, key=lambda s: s.bytes, default=None)
        reading = (worst, tuple(made))
        if not special:
            self._read[key] = reading  # type: ignore[assignment]
        return reading

    def _stops(self, segment: Segment, made: list[Tensor], waiting: dict[str, Tensor], seen: dict[str, int]) -> Iterator[_Stop]:
        trace = self.trace(segment)
        carried: tuple[Tensor, ...] = ()
        if self.recomputed(segment):
            assert trace.source is not None
            arriving = sum(t.bytes for t in trace.arriving)
            for moment in trace.forward:
                yield _Stop(f"recompute {moment.event}", moment, (), trace.arriving, moment.bytes + arriving)
            if not trace.saves_source:
                carried = (trace.source.storage.tensor,)
        new: list[Tensor] = []
        whole: list[Tensor] = []
        kept = counted = 0
        for moment in trace.backward:
            beside = [*carried, *new, *(_gradient(w) for w in whole)]
            for weight in moment.fresh:
                beside += self._appears(weight, made, new, waiting, seen)
                if self.gradients.unit and self._split(weight):
                    whole.append(weight)
            for weight in moment.settled:
                beside += self._added(weight, made, waiting, seen)
            size = moment.bytes + sum([t.bytes for t in beside])
            if not self.gradients.resident:
                kept += self._kept_gradients(made[counted:])
                counted = len(made)
                size += kept
            yield _Stop(moment.event, moment, tuple(made), tuple(beside), size)
        if self.gradients.unit and whole:
            moment = trace.backward[-1]
            beside = [*carried, *new, *(_gradient(w) for w in whole), *self.gradients.unit(whole)]
            size = moment.bytes + sum(t.bytes for t in beside)
            size += 0 if self.gradients.resident else self._kept_gradients(made)
            yield _Stop("reduce gradients", moment, tuple(made), tuple(beside), size)

    def _split(self, weight: Tensor) -> bool:
        """Whether only a part, or another format, of the gradient stays."""
        kept = self.gradients.kept(weight)
        return kept is None or (kept.dims, kept.format) != (weight.dims, weight.format)

    def _appears(
        self, weight: Tensor, made: list[Tensor], new: list[Tensor], waiting: dict[str, Tensor], seen: dict[str, int]
    ) -> Iterator[Tensor]:
        """What stands beside the kept gradients when a weight's gradient appears.

        A matrix used twice (a tied head) gets two gradients, and the first waits for the second.
        """
        name = self._matrix(weight)
        uses = self._uses.get(name, 1)
        seen[name] = seen.get(name, 0) + 1
        if uses == 1:
            made.append(weight)
            yield from self.gradients.beside(weight)
        elif seen[name] == 1:
            waiting[name] = replace(weight, name=f"gradient of {label_of(weight.role, weight.name)}, waiting")
            new.append(waiting[name])
            yield waiting[name]
        else:
            yield _second(weight)

    def _added(self, weight: Tensor, made: list[Tensor], waiting: dict[str, Tensor], seen: dict[str, int]) -> Iterator[Tensor]:
        """The two gradients of a matrix used twice are added: their sum is a third tensor, unless the first is a sum itself,
        which serves again."""
        name = self._matrix(weight)
        uses = self._uses.get(name, 1)
        if uses == 1 or seen[name] == 1:
            return
        if name not in self._sums:
            yield _second(weight)
        if seen[name] == uses:
            del waiting[name]
            made.append(weight)
            yield from self.gradients.beside(weight)
        else:
            yield replace(weight, name=f"sum of gradients of {label_of(weight.role, weight.name)}")

    # ---------------------------------------------------------------- gradients
    def _matrix(self, weight: Tensor) -> str:
        """The matrix that a weight is: a tied head is the embedding."""
        if self.tied and weight.role == "head":
            return self._table
        return weight.name if weight.role in ("token_embedding", "head") else f"{weight.role} {weight.name}"

    @cached_property
    def _table(self) -> str:
        for segment in reversed(self.run.segments):
            for weight in segment.trace.weight_gradients:
                if weight.role == "token_embedding":
                    return weight.name
        return ""

    @cached_property
    def _uses(self) -> dict[str, int]:
        """How many segments give a gradient to each vocabulary matrix."""
        uses: dict[str, int] = {}
        for segment in self.run.segments:
            for weight in segment.trace.weight_gradients:
                if weight.role in ("token_embedding", "head"):
                    name = self._matrix(weight)
                    uses[name] = uses.get(name, 0) + 1
        return uses

    @cached_property
    def _sums(self) -> frozenset[str]:
        """Vocabulary matrices whose gradients are sums from the start: of the chunks of a head."""
        ops = (op for segment in self.run.segments for op in segment.trace.ops if op.sums)
        return frozenset(self._matrix(w) for op in ops for w in op.weights)

    @cached_property
    def trained(self) -> tuple[tuple[Tensor, int], ...]:
        """Every weight that gets a gradient, with the number of layers that own one."""
        counts: dict[int, int] = {}
        traces: dict[int, Trace] = {}
        for segment in self.run.segments:
            counts[id(segment.trace)] = counts.get(id(segment.trace), 0) + 1
            traces[id(segment.trace)] = segment.trace
        out: list[tuple[Tensor, int]] = []
        seen: set[str] = set()
        for key, trace in traces.items():
            for weight in trace.weight_gradients:
                name = self._matrix(weight)
                if self._uses.get(name, 1) > 1:
                    if name in seen:
                        continue
                    seen.add(name)
                out.append((weight, 1 if self._uses.get(name, 1) > 1 else counts[key]))
        return tuple(out)

    @cached_property
    def _all_gradients(self) -> int:
        return sum(k.bytes * n for w, n in self.trained if (k := self.gradients.kept(w)) is not None)

    def _kept_gradients(self, weights: Iterable[Tensor]) -> int:
        return sum(k.bytes for w in weights if (k := self.gradients.kept(w)) is not None)

    def _grown(self, made: tuple[Tensor, ...]) -> int:
        """What is kept of one segment's gradients; equal segments made the same tuple."""
        found = self._growth.get(id(made))
        if found is None or found[0] is not made:
            found = self._growth[id(made)] = (made, self._kept_gradients(made))
        return found[1]

    @cached_property
    def _growth(self) -> dict[int, tuple[tuple[Tensor, ...], int]]:
        return {}

    def all_gradients(self) -> tuple[tuple[Tensor, int], ...]:
        """What is kept of every gradient when backward is over."""
        return tuple((k, n) for w, n in self.trained if (k := self.gradients.kept(w)) is not None)

    def _gradients(self, point: Point) -> list[tuple[Tensor, int]]:
        """Gradients kept at a point of backward: equal segments counted, a matrix used twice once its sum is made."""
        counts: dict[int, int] = {}
        traces: dict[int, Trace] = {}
        for segment in self.run.segments[point.index + 1 :]:
            key = id(segment.trace)
            counts[key] = counts.get(key, 0) + 1
            traces.setdefault(key, segment.trace)
        weights = [(w, 1) for w in point.made]
        seen: dict[str, int] = {}
        for key, trace in traces.items():
            for weight in trace.weight_gradients:
                name = self._matrix(weight)
                uses = self._uses.get(name, 1)
                seen[name] = seen.get(name, 0) + 1
                if uses == 1:
                    weights.append((weight, counts[key]))
                elif seen[name] == uses:
                    weights.append((weight, 1))
        return [(k, n) for w, n in weights if (k := self.gradients.kept(w)) is not None]

    # ---------------------------------------------------------------- points as items
    def worst(self) -> dict[str, Point]:
        """The largest point of each phase."""
        best: dict[str, Point] = {}
        for point in self.points:
            held = best.get(point.moment)
            if held is None or point.bytes > held.bytes:
                best[point.moment] = point
        return best

    def items(self, point: Point, moment: str = "") -> Iterator[Item]:
        """Everything alive at a point besides weights and states, as items of that moment (the point's own)."""
        moment = moment or point.moment
        trace = self.trace(point.segment)
        own = {id(s) for s in trace.saved}
        saved = self._left_by(point.index, point.forward)
        saved += [(t, 1) for t in self.shared(point.index, point.forward)]
        saved += [(s.tensor, 1) for s in point.flying.alive if id(s) in own]
        flying = [(s.tensor, 1) for s in point.flying.alive if id(s) not in own]
        yield from self._activations(saved, moment, WHY_SAVED)
        yield from self._activations(flying, moment, WHY_FLYING, "workspace")
        yield from self._activations([(t, 1) for t in point.beside], moment, WHY_BESIDE, "workspace")
        if self.gradients.resident:
            yield from gradient_items(self.all_gradients(), moment)
        elif not point.forward:
            made = self._gradients(point)
            complete = sum(t.bytes * n for t, n in made) == self._all_gradients
            yield from gradient_items(made, moment, complete)

    def _activations(
        self, tensors: Iterable[tuple[Tensor, int]], moment: str, why: str, other: str = "activations"
    ) -> Iterator[Item]:
        """Items of one moment. The same tensors live at several, and are explained once."""
        for kind, (one, count) in counted(tensors).items():
            key = (kind, count, why)
            known = self._explained.get(key)
            if known is None:
                known = self._explained[key] = _activation(one.times(Dim.COPIES, count), why, other)
            yield known.at(moment)

    @cached_property
    def _explained(self) -> dict[tuple[object, ...], Item]:
        return {}

    def _left_by(self, index: int, forward: bool) -> list[tuple[Tensor, int]]:
        """What the segments before `index` have left, equal segments counted."""
        counts: dict[tuple[int, bool], int] = {}
        first: dict[tuple[int, bool], Segment] = {}
        for segment in self.run.segments[:index]:
            key = (id(segment.trace), segment.layer is None)
            counts[key] = counts.get(key, 0) + 1
            first.setdefault(key, segment)
        return [(s.tensor, counts[k]) for k, segment in first.items() for s in self.resident(segment, forward)]

    def sizes(self) -> dict[int, int]:
        """Block size → the most blocks of it that any operator of forward or backward has at once."""
        counts: dict[int, int] = {}
        most: dict[int, int] = {}
        for tensor, count in self._left_by(len(self.run.segments), False):
            counts[tensor.bytes] = counts.get(tensor.bytes, 0) + count
        for trace in {id(s.trace): self.trace(s) for s in self.run.segments}.values():
            for moment in (*trace.forward, *trace.backward):
                here: dict[int, int] = {}  # NOTE: a Counter takes longer to make than these few to count
                for storage in moment.alive:
                    here[storage.size] = here.get(storage.size, 0) + 1
                for size, count in here.items():
                    if count > most.get(size, 0):
                        most[size] = count
        return {size: counts.get(size, 0) + most.get(size, 0) for size in {*counts, *most}}

    def host(self) -> Iterator[Item]:
        """What waits in host memory when forward is over."""
        if not self.offload:
            return
        kept = [(s.tensor, 1) for segment in self.run.segments for s in self.kept(segment)]
        for one in stacked(kept):
            yield item("activations", one, why="Saved activations wait here until backward comes back to them.")

    def timeline(self, alive: Callable[[str], Iterable[Item]]) -> tuple[Event, ...]:
        """One event a segment going forward and backward: the bytes by component at its largest operator.

        `alive` names the items of a moment: what is no part of its worst point stands beside all of its points.
        """
        beside = {moment: by_kind(alive(moment)) - by_kind(self.items(point)) for moment, point in self.worst().items()}
        events = []
        for point in self.points:
            way = "forward" if point.forward else "backward"
            held = beside[point.moment] + by_kind(self.items(point))
            events.append(Event(f"{way}: {point.segment.name}", point.segment.layer, held))
        return tuple(events)


def by_kind(items: Iterable[Item]) -> Counter[str]:
    """Bytes by component; gradients of which some are still to come are gradients all the same."""
    sums: Counter[str] = Counter()
    for one in items:
        sums["gradients" if one.component == "workspace.gradients" else one.kind] += one.bytes
    return sums


def _gradient(tensor: Tensor) -> Tensor:
    return tensor.named(f"gradient of {label_of(tensor.role, tensor.name)}")


def _second(weight: Tensor) -> Tensor:
    return replace(weight, name=f"gradient of {label_of(weight.role, weight.name)} from its other use")


def _activation(one: Tensor, why: str, other: str) -> Item:
    logits = any(e.dim is Dim.VOCAB for e in one.dims) and one.size_of(Dim.HIDDEN) == 1
    return item("logits" if logits else other, one, why=why)


def gradient_items(weights: Iterable[tuple[Tensor, int]], moment: str, complete: bool = True) -> Iterator[Item]:
    """Gradients by the role of their weight. Before backward has made all of them they count as work in progress."""
    named = ((_gradient(w), n) for w, n in weights)
    for one in stacked(named):
        part = "adapters" if one.role == "adapter" else component_of(one.role)
        component = f"gradients.{part}" if complete else "workspace.gradients"
        yield item(component, one, why=WHY_GRADIENT if complete else WHY_GROWING, moments=(moment,))
