"""The course of one training step: what lives at each operator of forward, loss, backward and optimizer step.

The segments' traces are laid end to end: going forward each leaves what it saves, going backward each frees it and
leaves gradients. The largest point of each phase becomes a moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from gauge.breakdown import Event, Item, item
from gauge.memory.collect import stacked
from gauge.memory.roles import component_of, label_of
from gauge.memory.segments import Pass, Segment
from gauge.tape import Moment, Storage
from gauge.tensor import Dim, Tensor

WHY_SAVED = "Kept from forward until backward has used it."
WHY_FLYING = "Alive only while this part of the step runs."
WHY_GRADIENT = "One number for each trained weight, made in backward and used by the optimizer step."

MOMENTS = (
    ("load", "after loading"),
    ("forward", "end of forward"),
    ("loss", "loss"),
    ("loss_backward", "start of backward"),
    ("backward", "inside backward"),
    ("backward_end", "end of backward"),
    ("step", "optimizer step"),
    ("between", "between steps"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One operator of the step: what is alive besides weights and optimizer states."""

    moment: str
    segment: Segment
    event: str
    kept: int
    flying: Moment
    index: int
    bytes: int


@dataclass
class Step:
    """A pass with its checkpointing, as bytes over time."""

    run: Pass
    checkpoint: bool
    tied: Tensor | None
    resident_gradients: tuple[tuple[Tensor, int], ...] = ()
    keeps_gradients: bool = True

    # ---------------------------------------------------------------- what each segment leaves
    def kept(self, segment: Segment) -> tuple[Storage, ...]:
        """What the segment leaves for backward: its saved tensors, or only its input where it is recomputed."""
        if self.checkpoint and segment.layer is not None and segment.trace.source is not None:
            return (segment.trace.source.storage,)
        return segment.trace.saved

    def shared(self) -> tuple[Storage, ...]:
        """Tensors that all segments share."""
        return tuple(v.storage for v in self.run.shared.values())

    def points(self) -> Iterator[Point]:
        """Every operator of forward and backward, in order."""
        shared = sum(s.size for s in self.shared())
        resident = sum(t.bytes * n for t, n in self.resident_gradients)
        kept = 0
        segments = self.run.segments
        for index, segment in enumerate(segments):
            phase = "loss" if segment.name == "head" else "forward"
            for moment in segment.trace.forward:
                yield Point(phase, segment, moment.event, kept, moment, index, kept + shared + resident + moment.bytes)
            kept += sum(s.size for s in self.kept(segment))
        made = resident
        for index in range(len(segments) - 1, -1, -1):
            segment = segments[index]
            kept -= sum(s.size for s in self.kept(segment))
            yield from self._backward(segment, index, kept, shared, made)
            if not resident and self.keeps_gradients:
                made += sum(w.bytes for w in segment.trace.weight_gradients)

    def _backward(self, segment: Segment, index: int, kept: int, shared: int, made: int) -> Iterator[Point]:
        phase = {"head": "loss_backward", "embeddings": "backward_end"}.get(segment.name, "backward")
        recompute = self.checkpoint and segment.layer is not None
        if recompute:
            for moment in segment.trace.forward:
                yield Point(
                    phase,
                    segment,
                    f"recompute {moment.event}",
                    kept,
                    moment,
                    index,
                    kept + shared + made + moment.bytes,
                )
        source = segment.trace.source.storage.size if recompute and segment.trace.source else 0
        if recompute and segment.trace.saves_source:
            source = 0
        for moment in segment.trace.backward:
            new = 0 if self.resident_gradients else sum(w.bytes for w in moment.weight_gradients)
            yield Point(
                phase,
                segment,
                moment.event,
                kept + source,
                moment,
                index,
                kept + source + shared + made + new + moment.bytes,
            )

    def worst(self) -> dict[str, Point]:
        """The largest point of each phase."""
        best: dict[str, Point] = {}
        for point in self.points():
            held = best.get(point.moment)
            if held is None or point.bytes > held.bytes:
                best[point.moment] = point
        return best

    # ---------------------------------------------------------------- items of one moment
    def items(self, point: Point) -> Iterator[Item]:
        """Everything alive at a point besides weights and states, as items of that moment."""
        before = self.run.segments[: point.index]
        forward = point.moment in ("forward", "loss")
        saved = [(s.tensor, 1) for segment in before for s in self.kept(segment)]
        source = point.segment.trace.source
        if not forward and self.checkpoint and point.segment.layer is not None and source is not None:
            alive = {id(s) for s in point.flying.alive}
            if id(source.storage) not in alive and not point.event.startswith("recompute"):
                saved.append((source.storage.tensor, 1))
        saved += [(s.tensor, 1) for s in self.shared()]
        own = {id(s) for s in point.segment.trace.saved}
        saved += [(s.tensor, 1) for s in point.flying.alive if id(s) in own]
        flying = [(s.tensor, 1) for s in point.flying.alive if id(s) not in own]
        yield from _activations(saved, point.moment, WHY_SAVED)
        yield from _activations(flying, point.moment, WHY_FLYING, "workspace")
        yield from gradient_items(self._gradients(point, forward), point.moment)

    def _gradients(self, point: Point, forward: bool) -> Iterator[tuple[Tensor, int]]:
        if self.resident_gradients:
            yield from self.resident_gradients
            return
        if forward:
            return
        if self.keeps_gradients:
            for segment in self.run.segments[point.index + 1 :]:
                for weight in segment.trace.weight_gradients:
                    yield weight, 1
        for weight in point.flying.weight_gradients:
            yield weight, 1

    def timeline(self, base: dict[str, int]) -> tuple[Event, ...]:
        """One event a segment going forward and backward: the bytes at its largest operator."""
        events: list[Event] = []
        largest: dict[tuple[str, int], Point] = {}
        for point in self.points():
            key = ("forward" if point.moment in ("forward", "loss") else "backward", point.index)
            if key not in largest or point.bytes > largest[key].bytes:
                largest[key] = point
        for (phase, _), point in largest.items():
            split = dict(base)
            for one in self.items(point):
                split[one.kind] = split.get(one.kind, 0) + one.bytes
            events.append(Event(f"{phase}: {point.segment.name}", point.segment.layer, split))
        return tuple(events)


def _activations(
    tensors: Iterable[tuple[Tensor, int]], moment: str, why: str, other: str = "activations"
) -> Iterator[Item]:
    for one in stacked(tensors):
        kind = "logits" if any(e.dim is Dim.VOCAB for e in one.dims) and one.size_of(Dim.HIDDEN) == 1 else other
        yield item(kind, one, why=why, moments=(moment,))


def gradient_items(weights: Iterable[tuple[Tensor, int]], moment: str) -> Iterator[Item]:
    """Gradients by the role of their weight."""
    named = ((replace(w, name=f"gradient of {label_of(w.role, w.name)}"), n) for w, n in weights)
    for one in stacked(named):
        component = "gradients" if one.role != "adapter" else "gradients.adapters"
        yield item(
            f"{component}.{component_of(one.role)}" if one.role != "adapter" else component,
            one,
            why=WHY_GRADIENT,
            moments=(moment,),
        )
