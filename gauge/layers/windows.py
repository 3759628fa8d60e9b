"""Attention inside square windows of a picture, whose grid is shifted by half a window in every other layer.

The stream is (batch, patches, hidden); windows are laid side by side in the batch.
Source: transformers 5.23 models/swin/modeling_swin.py, models/swinv2/modeling_swinv2.py; arXiv 2103.14030, 2111.09883.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

from gauge.formats import BFLOAT16, FLOAT32, INT64
from gauge.layers.attention_kernels import Scores, attend, pick
from gauge.layers.drop_path import drop_path
from gauge.layers.linear import Linear
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.tape import Dims, Tape, Value, dims
from gauge.tensor import Dim, Tensor
from gauge.units import ceil_div, round_up

BIAS_WIDTH = 512
BIAS_ALIGNMENT = 8
"""PyTorch's fused kernels read a bias whose rows start at multiples of so many numbers (attention.cpp, preprocess_mask)."""


def side_of(x: Value) -> int:
    """Patches on one side of a square picture."""
    return isqrt(next(e.size for e in x.dims if e.dim is Dim.PATCHES))


def times(shape: Dims, count: int) -> Dims:
    """The dimensions with so many windows in each picture of the batch."""
    return tuple(e._replace(size=e.size * count, whole=e.whole * count) if e.dim is Dim.BATCH else e for e in shape)


def position_index(window: int) -> Tensor:
    """Which entry of a table each pair of a window's patches reads: held beside the weights."""
    shape = dims((Dim.PATCHES, window**2), (Dim.KEY_TOKENS, window**2))
    return Tensor("relative_position_index", shape, INT64, trainable=False, role="buffer")


def looked_up(tape: Tape, table: Value | None, weight: Tensor | None, heads: int, window: int) -> Value:
    """(heads, patches, patches) biases out of a table of distances, which is a value or itself a weight."""
    pairs = dims((Dim.PATCHES, window**2), (Dim.KEY_TOKENS, window**2))
    read = (table,) if table else ()
    weights = (tape.weight(weight),) if weight else ()
    format = table.format if table else tape.how.stored
    found = tape.op("index", read, (*pairs, *dims((Dim.HEADS, heads))), format, label="position bias", weights=weights)
    return tape.contiguous(found, "position bias, heads first", (*dims((Dim.HEADS, heads)), *pairs))


def window_mask(tape: Tape, x: Value, count: int, window: int) -> Value:
    """(windows, patches, patches): which patches of a shifted window were neighbours before."""
    shape = dims((Dim.MATRICES, count), (Dim.PATCHES, window**2), (Dim.KEY_TOKENS, window**2))
    return tape.op("mask", (), shape, x.format, label="mask of shifted windows")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowAttention:
    """Swin's: a learned bias for each distance and head is added to the scores; a shifted window's mask joins it."""

    hidden: int
    heads: int
    window: int
    qkv_bias: bool = True
    dropout: float = 0.0
    out_dropout: float = 0.0
    names: tuple[str, str, str, str] = ("q_proj", "k_proj", "v_proj", "o_proj")

    @property
    def head(self) -> int:
        """Numbers in one head."""
        return self.hidden // self.heads

    def _map(self, name: str, role: str, bias: bool) -> Linear:
        inner, outer = ((Dim.HEADS, self.heads), (Dim.HEAD, self.head)), ((Dim.HIDDEN, self.hidden),)
        return Linear(name, role, outer, inner, bias) if role == "attention_output" else Linear(name, role, inner, outer, bias)

    @property
    def projections(self) -> tuple[Linear, Linear, Linear, Linear]:
        """Queries, keys, values, output: each (hidden, hidden)."""
        q, k, v, o = self.names
        return (
            self._map(q, "query", self.qkv_bias),
            self._map(k, "key", self.qkv_bias),
            self._map(v, "value", self.qkv_bias),
            self._map(o, "attention_output", True),
        )

    @property
    def table(self) -> Tensor:
        """(distances, heads)."""
        shape = dims((Dim.POSITIONS, (2 * self.window - 1) ** 2), (Dim.HEADS, self.heads))
        return Tensor("relative_position_bias_table", shape, BFLOAT16, role="relative_bias")

    def weights(self) -> Iterator[Tensor]:
        """The four maps and the table."""
        for linear in self.projections:
            yield from linear.weights()
        yield self.table

    def buffers(self) -> Iterator[Tensor]:
        """The table's index."""
        yield position_index(self.window)

    def attend(self, tape: Tape, x: Value, window: int, shifted: int) -> Value:
        """Over windows of so many patches a side; `shifted` counts a picture's windows where they need a mask."""
        q, k, v = (linear(tape, x) for linear in self.projections[:3])
        with tape.hold(q, k, v):
            bias = self._bias(tape, x, window, shifted)
            kernel = pick(
                tape.how.attention,
                half=tape.how.compute.bytes == 2,
                masked=True,
                grouped=False,
                head=self.head,
                value_head=self.head,
                has_sdpa=True,
            )
            if kernel == "efficient":
                bias = _aligned(tape, tape.low(bias))
            out = attend(tape, kernel, q, k, v, Scores(bias=bias, bias_copied=False, dropout=self.dropout))
        return tape.dropout(self.projections[3](tape, out), self.out_dropout)

    def _bias(self, tape: Tape, x: Value, window: int, shifted: int) -> Value:
        bias = looked_up(tape, None, self.table, self.heads, window)
        if not shifted:
            return bias
        mask = window_mask(tape, x, shifted, window)
        batch = tuple(e for e in x.dims if e.dim is Dim.BATCH)
        spread = tape.contiguous(mask, "mask of all windows", (*batch, *mask.dims[1:]))
        return tape.op(
            "add", (bias, spread), (*batch, *bias.dims), bias.format, label="position bias and mask", gradients=(bias,)
        )


def _aligned(tape: Tape, bias: Value) -> Value:
    *rest, last = bias.dims
    wide = round_up(last.size, BIAS_ALIGNMENT)
    if wide == last.size:
        return bias
    return tape.op("pad", (bias,), (*rest, last._replace(size=wide, whole=wide)), bias.format, label="bias, rows aligned")


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineAttention(WindowAttention):
    """Swin V2's: cosines between queries and keys, a trained temperature a head, and biases that a small MLP makes."""

    names: tuple[str, str, str, str] = ("query", "key", "value", "dense")

    @property
    def projections(self) -> tuple[Linear, Linear, Linear, Linear]:
        """Queries, keys (without bias), values, output: each (hidden, hidden)."""
        q, k, v, o = self.names
        return (
            self._map(q, "query", self.qkv_bias),
            self._map(k, "key", False),
            self._map(v, "value", self.qkv_bias),
            self._map(o, "attention_output", True),
        )

    @property
    def temperature(self) -> Tensor:
        """(heads)."""
        return Tensor("logit_scale", dims((Dim.HEADS, self.heads)), BFLOAT16, role="norm")

    @property
    def bias_maps(self) -> tuple[Linear, Linear]:
        """(512, 2) and (heads, 512)."""
        name, inner = "continuous_position_bias_mlp", ((Dim.FFN, BIAS_WIDTH),)
        up = Linear(f"{name}.0", "relative_bias", inner, ((Dim.COPIES, 2),), True, False)
        return up, Linear(f"{name}.2", "relative_bias", ((Dim.HEADS, self.heads),), inner, False, False)

    @property
    def distances(self) -> Tensor:
        """(distances, 2) coordinates: held beside the weights."""
        shape = dims((Dim.POSITIONS, (2 * self.window - 1) ** 2), (Dim.COPIES, 2))
        return Tensor("relative_coords_table", shape, FLOAT32, trainable=False, role="buffer")

    def weights(self) -> Iterator[Tensor]:
        """The four maps, the temperatures, the small MLP."""
        for linear in (*self.projections, *self.bias_maps):
            yield from linear.weights()
        yield self.temperature

    def buffers(self) -> Iterator[Tensor]:
        """The coordinates and the index."""
        yield self.distances
        yield position_index(self.window)

    def attend(self, tape: Tape, x: Value, window: int, shifted: int) -> Value:
        """Composed only, as the model file writes it."""
        q, k, v = (linear(tape, x) for linear in self.projections[:3])
        with tape.hold(q, k, v):
            row = tuple(e for e in q.dims if e.dim is not Dim.HEAD)
            square = (*row, *dims((Dim.KEY_TOKENS, window**2)))
            first, second = (tape.contiguous(_normalised(tape, part), "unit vectors, heads first") for part in (q, k))
            raw = tape.matmul(first, second, square, "cosines")
            raw = tape.scale(raw, tape.weight(self.temperature), "scaled cosines")
            raw = tape.add(raw, self._position_bias(tape, window), "biased scores")
            if shifted:
                mask = window_mask(tape, x, shifted, window)
                for _ in range(2):
                    raw = tape.op("add", (raw,), square, raw.format, label="masked scores")
                    tape.ops[-1].passes, tape.ops[-1].gradients = tape.ops[-1].gradients, ()
                tape.ops[-1].drops = (mask.storage,)
            share = tape.dropout(tape.softmax(raw), self.dropout, "probabilities, dropped out")
            out = tape.matmul(share, tape.contiguous(v, "values, heads first"), v.dims, "weighted values")
            out = tape.contiguous(out, "attention output")
        return tape.dropout(self.projections[3](tape, out), self.out_dropout)

    def _position_bias(self, tape: Tape, window: int) -> Value:
        known = tape.input(self.distances.name, self.distances.dims, tape.how.stored)
        known.storage.shared = True  # counted with the model's buffers
        up, down = self.bias_maps
        table = down(tape, tape.unary("relu", up(tape, known, "bias MLP"), keeps="output"), "biases of distances")
        open_ = tape.unary("sigmoid", looked_up(tape, table, None, self.heads, window), keeps="output", label="open biases")
        return tape.op("mul", (open_,), open_.dims, open_.format, label="position bias, scaled")


def _normalised(tape: Tape, x: Value) -> Value:
    """x over its length: keeps `x` and the length of each vector, twice."""
    with tape.hold(x):
        wide, row = tape.full(x), tuple(e for e in x.dims if e.dim is not Dim.HEAD)
        length = tape.op("norm", (wide,), row, wide.format, label="lengths", saves=(wide.storage,), saves_output=True)
        least = tape.unary("clamp", length, label="lengths above zero")
        saves = (x.storage, least.storage)
        return tape.op("div", (x, least), x.dims, wide.format, label="unit vectors", saves=saves)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLayer:
    """Attention in windows and an MLP, each around the stream, the norms in front of them or, where `late`, behind them."""

    hidden: int
    attention: WindowAttention
    mlp: MLP
    shifted: bool = False
    late: bool = False
    drop: float = 0.0

    @property
    def norms(self) -> tuple[Norm, Norm]:
        """Of the two branches."""
        names = ("layernorm_before", "layernorm_after")
        return Norm(names[0], self.hidden, "layer", bias=True), Norm(names[1], self.hidden, "layer", bias=True)

    def weights(self) -> Iterator[Tensor]:
        """Attention, MLP, norms."""
        for owner in (self.attention, self.mlp, *self.norms):
            yield from owner.weights()

    def buffers(self) -> Iterator[Tensor]:
        """The attention's tables."""
        return self.attention.buffers()

    def forward(self, tape: Tape, x: Value) -> Value:
        """The stream after both branches; the MLP's is never left out where norms come first."""
        before, after = self.norms
        with tape.hold(x):
            branch, names = self._windowed(tape, x if self.late else before(tape, x))
            branch = before(tape, branch) if self.late else branch
            x = tape.add(x, drop_path(tape, branch, self.drop), "residual stream")
        with tape.hold(x):
            if self.late:
                branch = drop_path(tape, after(tape, self.mlp.forward(tape, x)), self.drop)
            else:
                branch = self.mlp.forward(tape, after(tape, x))
            with tape.hold(*names):
                return tape.add(x, branch, "residual stream")

    def _windowed(self, tape: Tape, x: Value) -> tuple[Value, tuple[Value, ...]]:
        """Cut into windows, attend, put together again: the cut starts with a copy even where nothing is added.

        The second result are values that the model's code has names for until the layer ends.
        """
        side = side_of(x)
        window = min(side, self.attention.window)
        across = ceil_div(side, window)
        count, shift = across**2, self.shifted and side > window
        batch = tuple(e for e in x.dims if e.dim is Dim.BATCH)
        whole = (*batch, *dims((Dim.HEIGHT, across * window), (Dim.WIDTH, across * window), (Dim.HIDDEN, self.hidden)))
        cut = (*times(batch, count), *dims((Dim.PATCHES, window**2), (Dim.HIDDEN, self.hidden)))
        padded = tape.op("pad", (x,), whole, x.format, label="padded picture")
        with tape.hold(padded):
            moved = _rolled(tape, padded, shift)
            windows = _laid(tape, moved, cut, count, "windows")
            attended = self.attention.attend(tape, windows, window, count if shift else 0)
            joined = _laid(tape, attended, whole, count, "picture of windows")
            out = _rolled(tape, joined, shift)
            out = tape.contiguous(out, "picture without padding", x.dims) if across * window > side else out
        names = (windows, attended, out, *((moved, joined) if self.late else ()))
        return tape.alias(out, x.dims), names


def _rolled(tape: Tape, x: Value, shift: bool) -> Value:
    return tape.op("roll", (x,), x.dims, x.format, label="shifted picture") if shift else x


def _laid(tape: Tape, x: Value, shape: Dims, count: int, label: str) -> Value:
    """A copy in the other order, or a view of a single window."""
    return tape.contiguous(x, label, shape) if count > 1 else tape.alias(x, shape)


@dataclass(frozen=True, slots=True)
class PatchMerging:
    """Four neighbouring patches become one of twice the width: a norm, then the map, or, where `late`, the other way."""

    hidden: int
    late: bool = False

    @property
    def reduction(self) -> Linear:
        """(2 hidden, 4 hidden)."""
        out = ((Dim.HIDDEN, 2 * self.hidden),)
        return Linear("downsample.reduction", "patch_merging", out, ((Dim.HIDDEN, 4 * self.hidden),))

    @property
    def norm(self) -> Norm:
        """Over what the map reads or writes."""
        return Norm("downsample.norm", (2 if self.late else 4) * self.hidden, "layer", bias=True)

    def weights(self) -> Iterator[Tensor]:
        """The map and the norm."""
        yield from self.reduction.weights()
        yield from self.norm.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """(batch, a quarter of the patches, 2 hidden); an odd picture gets one more row and column."""
        side = side_of(x)
        half = ceil_div(side, 2)
        batch = tuple(e for e in x.dims if e.dim is Dim.BATCH)
        if side % 2:
            x = tape.op(
                "pad", (x,), (*batch, *dims((Dim.PATCHES, 4 * half**2), *_width(self.hidden))), x.format, label="padded picture"
            )
        x = tape.concat((x,), (*batch, *dims((Dim.PATCHES, half**2), *_width(4 * self.hidden))), "neighbours side by side")
        if self.late:
            return self.norm(tape, self.reduction(tape, x))
        return self.reduction(tape, self.norm(tape, x))


def _width(size: int) -> tuple[tuple[Dim, int], ...]:
    return ((Dim.HIDDEN, size),)


@dataclass(frozen=True, slots=True)
class NormedMean:
    """A layer norm and the mean over all patches: (batch, hidden)."""

    hidden: int

    @property
    def norm(self) -> Norm:
        """A weight and a bias a channel."""
        return Norm("layernorm", self.hidden, "layer", bias=True)

    def weights(self) -> Iterator[Tensor]:
        """The norm's."""
        return self.norm.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """One vector a picture."""
        x = self.norm(tape, x)
        return tape.reduce("mean", x, tuple(e for e in x.dims if e.dim is not Dim.PATCHES), "pooled")
