"""ggml's graph allocator, replayed: where each result of a forward graph would lie, and how high the buffer reaches.

Nodes are visited in the order in which the engine expands them. Results of element-wise operators take the place of an
operand that nobody else reads; everything else goes into the best-fitting gap, else behind everything; a result is
freed after its last reader. What the peak holds beside live tensors are gaps that nothing fitted into.
Source: ggml-org/llama.cpp ggml/src/ggml-alloc.c (ggml_gallocr_alloc_graph_impl), ggml/src/ggml.c (ggml_build_forward).
"""

from __future__ import annotations

from dataclasses import dataclass

from gauge.formats import FORMATS
from gauge.tensor import Dim, Tensor, tensor
from gauge.units import round_up

ALIGNMENT = 32
ENDLESS = 1 << 62
GAPS = "gaps that no tensor fitted into"
SMALL = 1024  # tensors below the total's thousandth part are shown together


class Node:
    """One result. `shape` as ggml lays it out, fastest first; `base` is what a view looks into; `stored` lies in
    another buffer (weights, caches); `kept` is asked for at the end and neither freed nor overwritten."""

    __slots__ = (
        "alive",
        "base",
        "kept",
        "offset",
        "over",
        "readers",
        "recorded",
        "shape",
        "size",
        "sources",
        "stored",
        "tensor",
        "views",
    )

    def __init__(self, shown: Tensor | None, shape: tuple[int, ...] = (), sources: tuple[Node, ...] = (), size: int = -1) -> None:
        """A plain result; views and stored nodes are made by `view_of` and `stored`. `size`: in the buffer, where known."""
        self.tensor = shown
        self.shape = shape
        self.sources = sources
        self.size = size if size >= 0 else aligned(shown)
        self.recorded = False
        self.over = False
        self.stored = False
        self.kept = False
        self.base: Node | None = None
        self.alive = False
        self.offset = 0
        self.readers = 0
        self.views = 0


def stored(sources: tuple[Node, ...] = ()) -> Node:
    """A weight or a cache."""
    node = Node(None, sources=sources)
    node.stored = True
    return node


def view_of(node: Node, *others: Node) -> Node:
    """Another reading of a node's memory; `others` are written into it first."""
    made = Node(None, sources=(*others, node))
    made.base = node.base or node
    made.stored = made.base.stored
    return made


class Graph:
    """Nodes in the order of their first need, and the leaves they start from."""

    def __init__(self) -> None:
        """Empty."""
        self.nodes: list[Node] = []
        self.leaves: list[Node] = []
        self.marks: list[int] = []

    def mark(self) -> None:
        """Asks for the allocator's state at this point."""
        self.marks.append(len(self.nodes))

    def expand(self, node: Node) -> None:
        """Adds a node behind everything it needs, depth first, operands from left to right."""
        if node.recorded:
            return
        node.recorded = True
        stack = [(node, iter(node.sources))]
        while stack:
            top, operands = stack[-1]
            for child in operands:
                if not child.recorded:
                    child.recorded = True
                    stack.append((child, iter(child.sources)))
                    break
            else:
                stack.pop()
                (self.nodes if top.sources else self.leaves).append(top)


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest point: what was being computed, everything alive then, and the whole size in bytes."""

    at: str
    tensors: tuple[Tensor, ...]
    bytes: int


# Gaps as (offset, bytes); everything alive as (name, offset), oldest first: what all further places depend on.
State = tuple[tuple[tuple[int, ...], ...], tuple[tuple[str, int], ...]]


class _Arena:
    """Offsets in one endless buffer."""

    def __init__(self) -> None:
        self.gaps: list[list[int]] = [[0, ENDLESS]]
        self.top = 0

    def take(self, size: int) -> int:
        """Best fit among the gaps, the last one (behind everything) only if no other holds it."""
        best = len(self.gaps) - 1
        for i in range(len(self.gaps) - 1):
            room = self.gaps[i][1]
            if room >= size and (best == len(self.gaps) - 1 or room <= self.gaps[best][1]):
                best = i
        gap = self.gaps[best]
        offset = gap[0]
        gap[0] += size
        gap[1] -= size
        if not gap[1]:
            del self.gaps[best]
        self.top = max(self.top, offset + size)
        return offset

    def give(self, offset: int, size: int) -> None:
        """Back into the list, joined with its neighbours."""
        at = 0
        while at < len(self.gaps) and self.gaps[at][0] < offset:
            at += 1
        self.gaps.insert(at, [offset, size])
        for left in (at, at - 1):
            if 0 <= left < len(self.gaps) - 1 and sum(self.gaps[left]) == self.gaps[left + 1][0]:
                self.gaps[left][1] += self.gaps[left + 1][1]
                del self.gaps[left + 1]


class _Replay:
    """The allocator's two passes over one graph."""

    def __init__(self, graph: Graph) -> None:
        self.arena = _Arena()
        self.live: dict[int, Node] = {}
        self.peak: tuple[Node, list[Node], int] | None = None
        for leaf in graph.leaves:
            self._place(leaf, leaf)
        for node in graph.nodes:
            if node.base is not None:
                node.base.views += 1
            for source in node.sources:
                source.readers += 1
        self.states: list[State] = []
        start = 0
        for mark in (*graph.marks, len(graph.nodes)):
            self._run(graph.nodes[start:mark])
            self.states.append(self._state())
            start = mark

    def _run(self, nodes: list[Node]) -> None:
        for node in nodes:
            self._place(node, node)
            for source in node.sources:
                self._read(source)

    def _state(self) -> State:
        alive = tuple((n.tensor.name if n.tensor else "", n.offset) for n in self.live.values())
        return tuple(map(tuple, self.arena.gaps)), alive

    def _place(self, node: Node, at: Node) -> None:
        if node.alive or node.stored or node.base is not None or not node.size:
            return
        node.alive = True
        for source in node.sources if node.over else ():
            fits = source.shape == node.shape and source.readers == 1 and source.views == 0
            if source.alive and fits and not source.kept:
                node.offset, source.alive = source.offset, False
                self.live.pop(id(source), None)
                self.live[id(node)] = node
                return
        before = self.arena.top
        node.offset = self.arena.take(node.size)
        self.live[id(node)] = node
        if self.arena.top > before:
            self.peak = (at, list(self.live.values()), self.arena.top)

    def _read(self, source: Node) -> None:
        source.readers -= 1
        if source.readers or source.views:
            return
        base = source.base
        if base is None:
            self._free(source)
            return
        base.views -= 1
        if not base.views and not base.readers:
            self._free(base)

    def _free(self, node: Node) -> None:
        if node.alive and not node.stored and not node.kept:
            node.alive = False
            self.live.pop(id(node), None)
            self.arena.give(node.offset, node.size)


def reserve(graph: Graph) -> tuple[Peak, list[State]]:
    """The buffer that the graph needs, and the states at its marks. Graphs are used up: make a new one to ask again."""
    replay = _Replay(graph)
    return _peak(replay), replay.states


def _peak(replay: _Replay) -> Peak:
    if replay.peak is None:
        return Peak("inputs", (), 0)
    at, live, size = replay.peak
    shown = [n.tensor for n in sorted(live, key=lambda n: n.offset) if n.tensor is not None]
    large = tuple(one for one in shown if one.bytes * SMALL > size)
    gap = size - sum(one.bytes for one in large)
    spare = (tensor(GAPS, FORMATS["uint8"], (Dim.ELEMENTS, gap)),) if gap else ()
    return Peak(at.tensor.name if at.tensor else "", (*large, *spare), size)


def aligned(shown: Tensor | None) -> int:
    """Bytes that a tensor takes in the buffer."""
    return round_up(shown.bytes, ALIGNMENT) if shown else 0
