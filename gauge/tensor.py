"""The one primitive: a tensor is named dimensions times a number format, split by rules.

A formula anywhere in the engine is a list of these; `34 s b h` is the sum of twelve of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod
from typing import NamedTuple

from gauge.formats import Format
from gauge.units import ceil_div


class Dim(StrEnum):
    """The glossary: every dimension that a tensor may have. The value is the word that users read."""

    __hash__ = str.__hash__  # an enumeration's own goes through Python for every look-up

    LAYERS = "layers"
    BATCH = "batch"
    TOKENS = "tokens"
    SOURCE_TOKENS = "source tokens"
    ALL_TOKENS = "tokens of all ranks"
    KEY_TOKENS = "key tokens"
    WINDOW = "window tokens"
    HIDDEN = "hidden"
    HEADS = "heads"
    KV_HEADS = "KV heads"
    HEAD = "head size"
    VALUE_HEAD = "value head size"
    FFN = "MLP size"
    VOCAB = "vocabulary"
    POSITIONS = "positions"
    EXPERTS = "experts"
    ACTIVE_EXPERTS = "experts per token"
    LATENT = "latent size"
    INNER = "inner size"
    STATE = "state size"
    CONV = "convolution width"
    GROUPS = "groups"
    CHANNELS = "channels"
    IN_CHANNELS = "input channels"
    HEIGHT = "height"
    WIDTH = "width"
    PATCHES = "patches"
    KERNEL = "kernel area"
    LABELS = "labels"
    RANK = "rank"
    COPIES = "copies"
    MATRICES = "matrices"
    PARAMETERS = "parameters"
    ELEMENTS = "elements"
    BLOCKS = "blocks"
    CELLS = "cache cells"
    SLOTS = "slots"
    STAGES = "pipeline stages"
    MICROBATCHES = "micro-batches"


GLOSSARY: Mapping[Dim, str] = {
    Dim.LAYERS: "how many layers keep such a tensor",
    Dim.BATCH: "sequences in flight, or the micro-batch",
    Dim.TOKENS: "tokens of one sequence",
    Dim.SOURCE_TOKENS: "tokens of the encoder's sequence",
    Dim.ALL_TOKENS: "tokens that sequence-parallel ranks have put together again",
    Dim.KEY_TOKENS: "tokens that each token may attend to",
    Dim.WINDOW: "tokens inside the attention window",
    Dim.HIDDEN: "width of the residual stream",
    Dim.HEADS: "query heads",
    Dim.KV_HEADS: "key/value heads; fewer than the query heads under grouped-query attention",
    Dim.HEAD: "numbers in one query or key head",
    Dim.VALUE_HEAD: "numbers in one value head",
    Dim.FFN: "width inside the MLP",
    Dim.VOCAB: "entries of the token vocabulary",
    Dim.POSITIONS: "learned positions",
    Dim.EXPERTS: "experts of a mixture-of-experts layer",
    Dim.ACTIVE_EXPERTS: "experts that each token is sent to",
    Dim.LATENT: "compressed width of latent attention",
    Dim.INNER: "width inside a recurrent block",
    Dim.STATE: "recurrent state numbers a channel",
    Dim.CONV: "taps of the short convolution",
    Dim.GROUPS: "groups",
    Dim.CHANNELS: "output channels",
    Dim.IN_CHANNELS: "input channels a group",
    Dim.HEIGHT: "pixels high",
    Dim.WIDTH: "pixels wide",
    Dim.PATCHES: "image patches and special tokens",
    Dim.KERNEL: "kernel height times width",
    Dim.LABELS: "output classes",
    Dim.RANK: "rank of a low-rank adapter",
    Dim.COPIES: "equal copies",
    Dim.MATRICES: "equal matrices side by side",
    Dim.PARAMETERS: "parameters",
    Dim.ELEMENTS: "elements",
    Dim.BLOCKS: "cache blocks",
    Dim.CELLS: "tokens that a cache has room for",
    Dim.SLOTS: "sequences that a server holds at once",
    Dim.STAGES: "pipeline stages",
    Dim.MICROBATCHES: "micro-batches in flight",
}


class Axis(StrEnum):
    """The ways a tensor can be split over devices. The value is the word that users read."""

    TENSOR = "tensor-parallel"
    CONTEXT = "context-parallel"
    EXPERT = "expert-parallel"
    EXPERT_TENSOR = "expert-tensor"
    DATA = "data-parallel"
    PIPELINE = "pipeline-parallel"


class Extent(NamedTuple):
    """One dimension of a tensor: its size here, its size before splitting, and what split it."""

    dim: Dim
    size: int
    whole: int
    note: str = ""


def extent(dim: Dim, size: int) -> Extent:
    """A dimension that nothing has split yet."""
    return Extent(dim, size, size)


Rules = tuple[tuple[Dim, Axis], ...]
Mesh = Mapping[Axis, int]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Named dimensions in a number format.

    `trainable` tells weights that gradients are kept for; `role` says what a weight is for (`query`, `mlp_down`), by
    which quantization and splitting policies choose.
    """

    name: str
    dims: tuple[Extent, ...]
    format: Format
    trainable: bool = True
    role: str = ""

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod([e.size for e in self.dims])

    @property
    def bytes(self) -> int:
        """Bytes it takes."""
        return self.format.size(self.elements)

    def stored_as(self, format: Format) -> Tensor:
        """The same numbers in another format."""
        return replace(self, format=format)

    def times(self, dim: Dim, count: int) -> Tensor:
        """`count` of them side by side, as a further leading dimension."""
        if count == 1:
            return self
        return Tensor(self.name, (Extent(dim, count, count), *self.dims), self.format, self.trainable, self.role)

    def named(self, name: str) -> Tensor:
        """The same numbers under another name."""
        return Tensor(name, self.dims, self.format, self.trainable, self.role)

    def size_of(self, dim: Dim) -> int:
        """The size along `dim`, 1 where it has no such dimension."""
        return prod(e.size for e in self.dims if e.dim is dim)


def tensor(name: str, format: Format, *dims: tuple[Dim, int], trainable: bool = True) -> Tensor:
    """A whole tensor from `(dimension, size)` pairs."""
    return Tensor(name, tuple(Extent(d, n, n) for d, n in dims), format, trainable)


def shard(whole: Tensor, rules: Rules, mesh: Mesh) -> Tensor:
    """What one device keeps of `whole`.

    Rules apply in order; each axis splits a tensor at most once (a part is not split again), sizes round up, and a
    dimension smaller than the degree is replicated at one per device. A dimension without a rule is replicated whole.
    """
    if not rules:
        return whole
    used = {axis for _, axis in rules if any(axis.value in e.note for e in whole.dims)}
    done = set(used)
    dims = list(whole.dims)
    for dim, axis in rules:
        degree = mesh.get(axis, 1)
        if degree == 1 or axis in used:
            continue
        for index, e in enumerate(dims):
            if e.dim is dim:
                dims[index] = _split(e, degree, axis)
                used.add(axis)
                break
    return replace(whole, dims=tuple(dims)) if used != done else whole


def _split(e: Extent, degree: int, axis: Axis) -> Extent:
    note = f"{e.whole:,} ÷ {degree} {axis}" if not e.note else f"{e.note} ÷ {degree} {axis}"
    return e._replace(size=ceil_div(e.size, degree), note=note)


def flat_shard(whole: Tensor, degree: int, axis: Axis = Axis.DATA) -> Tensor:
    """One device's share of the flat element count, as ZeRO and FSDP cut it; rounds up."""
    if degree == 1:
        return whole
    elements = whole.elements
    note = f"{elements:,} ÷ {degree} {axis}"
    return replace(whole, dims=(Extent(Dim.ELEMENTS, ceil_div(elements, degree), elements, note),))


def total_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of all of them."""
    return sum(t.bytes for t in tensors)
