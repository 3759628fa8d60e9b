"""One row an optimizer: the states it keeps for a weight, and what its step needs on top.

A state is (name, format or None for the weight's own, shape): `full` has the weight's shape, `rows` one number a row
and a column (factored), `blocks` one float32 scale for `BLOCK` numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from gauge.formats import FLOAT32, FORMATS, Format
from gauge.tape import dims
from gauge.tensor import Dim, Extent, Tensor
from gauge.units import ceil_div

EIGHT_BIT_BLOCK = 256
FOUR_BIT_BLOCK = 128
SMALLEST_QUANTIZED = 4096
_TORCH = "torch.optim, PyTorch 2.13"
_BNB = "bitsandbytes 0.4x optim/optimizer.py"

States = Callable[[Tensor], Iterable[Tensor]]
Temporary = Callable[[Iterable[tuple[Tensor, int]]], "Tensor | None"]


def _like(weight: Tensor, name: str, format: Format | None = None) -> Tensor:
    return replace(weight, name=f"{name} of {weight.name}", format=format or weight.format)


def _full(*names: str) -> States:
    return lambda weight: [_like(weight, name) for name in names]


def _quantized(names: tuple[str, ...], format: Format, block: int) -> States:
    def states(weight: Tensor) -> Iterator[Tensor]:
        for name in names:
            if weight.elements < SMALLEST_QUANTIZED:
                yield _like(weight, name, FLOAT32)
                continue
            yield _like(weight, name, format)
            scales = ceil_div(weight.elements, block)
            yield Tensor(f"scales of {name} of {weight.name}", (Extent(Dim.BLOCKS, scales, scales),), FLOAT32)

    return states


VECTORS = ("norm", "bias", "scale", "sinks")


def _is_matrix(weight: Tensor) -> bool:
    """Whether optimizers see a matrix: a bias or a norm's weight is one row, whatever its parts are called."""
    return len(weight.dims) >= 2 and not any(word in weight.role for word in VECTORS)


def _matrix(weight: Tensor) -> tuple[int, int, int]:
    """(matrices, rows, columns): the residual stream, or a rank, is one side of it; experts lie behind one another."""
    sizes = [e for e in weight.dims if e.dim not in STACKED]
    copies = weight.elements // prod(e.size for e in sizes)
    for dim in (Dim.HIDDEN, Dim.RANK):
        for e in (sizes[0], sizes[-1]):
            if e.dim is dim:
                return copies, e.size, weight.elements // copies // e.size
    return copies, sizes[0].size, weight.elements // copies // sizes[0].size


STACKED = (Dim.EXPERTS, Dim.LAYERS, Dim.COPIES)


def _factored(weight: Tensor) -> Iterator[Tensor]:
    """Adafactor: a row and a column vector for a matrix, the full second moment for a vector. arXiv 1804.04235."""
    if not _is_matrix(weight):
        yield _like(weight, "second moment")
        return
    copies, rows, columns = _matrix(weight)
    yield Tensor(f"row factor of {weight.name}", dims((Dim.ELEMENTS, copies * rows)), weight.format)
    yield Tensor(f"column factor of {weight.name}", dims((Dim.ELEMENTS, copies * columns)), weight.format)


def _muon(weight: Tensor) -> Iterator[Tensor]:
    """Muon: momentum for matrices; embeddings, head and vectors stay with AdamW."""
    if _is_matrix(weight) and weight.role not in ("token_embedding", "head", "position_embedding"):
        yield _like(weight, "momentum")
    else:
        yield from _full("first moment", "second moment")(weight)


GALORE_RANK = 128


def _galore(weight: Tensor) -> Iterator[Tensor]:
    """GaLore: a projection and two moments of the projected gradient for matrices. arXiv 2403.03507, section 4."""
    if not _is_matrix(weight):
        yield from _full("first moment", "second moment")(weight)
        return
    copies, rows, columns = _matrix(weight)
    short, long = min(rows, columns), max(rows, columns)
    rank = min(GALORE_RANK, short) * copies
    yield Tensor(f"projection of {weight.name}", dims((Dim.RANK, rank), (Dim.ELEMENTS, short)), weight.format)
    for name in ("first moment", "second moment"):
        yield Tensor(f"{name} of projected {weight.name}", dims((Dim.RANK, rank), (Dim.ELEMENTS, long)), weight.format)


def _nothing(weights: Iterable[tuple[Tensor, int]]) -> Tensor | None:
    return None


def _one_copy(weights: Iterable[tuple[Tensor, int]]) -> Tensor | None:
    """foreach: `_foreach_sqrt` makes one more tensor for every weight at once."""
    total, format = 0, None
    for weight, count in weights:
        total += weight.elements * count
        format = weight.format
    if not format:
        return None
    return Tensor("square roots of the second moments", (Extent(Dim.PARAMETERS, total, total),), format)


def _largest(copies: int) -> Temporary:
    def temporary(weights: Iterable[tuple[Tensor, int]]) -> Tensor | None:
        largest = max((w for w, _ in weights), key=lambda w: w.bytes, default=None)
        if largest is None:
            return None
        return replace(largest, name=f"step temporaries of {largest.name}").times(Dim.COPIES, copies)

    return temporary


@dataclass(frozen=True, slots=True)
class Optimizer:
    """`states(weight)` are kept between steps; `temporary(weights)` is what the step needs at its worst, or None."""

    id: str
    label: str
    states: States
    temporary: Temporary = _nothing
    source: str = _TORCH
    paged: bool = False

    def temporaries(self, weights: Iterable[tuple[Tensor, int]]) -> tuple[Tensor, ...]:
        """What a step over these weights needs at its worst."""
        made = self.temporary(weights)
        return () if made is None else (made,)


_MOMENTS = ("first moment", "second moment")


def with_wide_tables(optimizer: Optimizer) -> Optimizer:
    """8-bit states but for embeddings, whose states transformers' Trainer asks bitsandbytes to keep in float32.

    Source: transformers trainer.py, create_optimizer (GlobalOptimManager.register_module_override), since 4.42.
    """

    def states(weight: Tensor) -> Iterable[Tensor]:
        return [_like(weight, n, FLOAT32) for n in _MOMENTS] if weight.role in TABLES else optimizer.states(weight)

    return replace(optimizer, states=states)


TABLES = ("token_embedding", "position_embedding", "type_embedding")

OPTIMIZERS: dict[str, Optimizer] = {
    o.id: o
    for o in (
        Optimizer("adamw", "AdamW (foreach)", _full(*_MOMENTS), _one_copy),
        Optimizer("adamw-fused", "AdamW (fused)", _full(*_MOMENTS)),
        Optimizer("adamw-loop", "AdamW (one tensor at a time)", _full(*_MOMENTS), _largest(2)),
        Optimizer("adamw-8bit", "AdamW, 8-bit states", _quantized(_MOMENTS, FORMATS["uint8"], EIGHT_BIT_BLOCK), source=_BNB),
        Optimizer(
            "adamw-paged-8bit",
            "AdamW, 8-bit paged states",
            _quantized(_MOMENTS, FORMATS["uint8"], EIGHT_BIT_BLOCK),
            source=_BNB,
            paged=True,
        ),
        Optimizer(
            "adamw-4bit",
            "AdamW, 4-bit states",
            _quantized(_MOMENTS, FORMATS["int4"], FOUR_BIT_BLOCK),
            source="torchao optim/subclass_4bit.py",
        ),
        Optimizer("sgd", "SGD", _full()),
        Optimizer("sgd-momentum", "SGD with momentum", _full("momentum")),
        Optimizer("adafactor", "Adafactor", _factored, _largest(1), source="arXiv 1804.04235"),
        Optimizer("lion", "Lion", _full("momentum"), _largest(1), source="arXiv 2302.06675"),
        Optimizer("muon", "Muon", _muon, _largest(2), source="torch.optim.Muon, PyTorch 2.13"),
        Optimizer("adagrad", "Adagrad", _full("sum of squares"), _one_copy),
        Optimizer("galore-adamw", "GaLore AdamW", _galore, _largest(1), source="arXiv 2403.03507"),
        Optimizer("none", "None: gradients only", _full()),
    )
}
