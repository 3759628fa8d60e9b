"""Alternating updates: several copies of the stream, of which each layer computes one and predicts the others.

Source: arXiv 2301.13310; transformers 5.23 models/gemma3n/modeling_gemma3n.py (AltUp, Laurel).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16, FLOAT32
from gauge.layers.block import Layer
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.layers.together import active
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class Predicted:
    """A layer whose input is predicted from `copies` of the stream, and whose output corrects them."""

    hidden: int
    copies: int
    body: Layer

    def _own(self) -> Iterator[Tensor]:
        yield Tensor("altup.correct_output_scale", dims((Dim.HIDDEN, self.hidden)), BFLOAT16, role="altup_scale")
        for name, rows in (("correction_coefs", self.copies), ("prediction_coefs", self.copies**2)):
            shape = dims((Dim.GROUPS, rows), (Dim.COPIES, self.copies))
            yield Tensor(f"altup.{name}.weight", shape, BFLOAT16, role="altup")
        router = dims((Dim.COPIES, self.copies), (Dim.HIDDEN, self.hidden))
        yield Tensor("altup.modality_router.weight", router, BFLOAT16, role="altup")
        yield from Norm("altup.router_norm", self.hidden).weights()

    def weights(self) -> Iterator[Tensor]:
        """The predictor's and the layer's."""
        yield from self._own()
        yield from self.body.weights()

    @property
    def active_elements(self) -> int:
        """Parameters that one token uses."""
        return active(self.body) + sum(t.elements for t in self._own())

    @property
    def inner_layers(self) -> tuple[Layer, ...]:
        """The layer inside."""
        return (self.body,)

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """What the layer keeps between steps."""
        keep = getattr(self.body, "state", None)
        if keep is not None:
            yield from keep(sequence)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Predict (keeps the copies in float32), then the layer."""
        copies = (*x.dims[:-1], *dims((Dim.COPIES, self.copies)), x.dims[-1])
        kept = tape.allocate("stream copies", copies, FLOAT32)
        own = tuple(tape.weight(t) for t in self._own())
        predicted = tape.op("altup", (x,), x.dims, x.format, label="predicted stream", saves=(kept,), weights=own)
        return self.body.forward(tape, predicted)


@dataclass(frozen=True, slots=True)
class Laurel:
    """A low-rank path beside attention, normed."""

    hidden: int
    rank: int

    @property
    def left(self) -> Linear:
        """(rank, hidden)."""
        out = ((Dim.RANK, self.rank),)
        return Linear("laurel.linear_left", "laurel_down", out, ((Dim.HIDDEN, self.hidden),))

    @property
    def right(self) -> Linear:
        """(hidden, rank)."""
        out = ((Dim.HIDDEN, self.hidden),)
        return Linear("laurel.linear_right", "laurel_up", out, ((Dim.RANK, self.rank),))

    @property
    def norm(self) -> Norm:
        """Behind both maps."""
        return Norm("laurel.post_laurel_norm", self.hidden, "rms_unit_offset")

    def weights(self) -> Iterator[Tensor]:
        """Both maps and the norm."""
        yield from self.left.weights()
        yield from self.right.weights()
        yield from self.norm.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """Down, up, norm."""
        return self.norm(tape, self.right(tape, self.left(tape, x)))


@dataclass(frozen=True, slots=True)
class CopyMaps:
    """The maps that make the copies behind the embeddings and join them before the head."""

    hidden: int
    copies: int

    def weights(self) -> Iterator[Tensor]:
        """Two (hidden, hidden) matrices for each further copy."""
        for name in ("altup_projections", "altup_unembed_projections"):
            for index in range(self.copies - 1):
                shape = dims((Dim.HIDDEN, self.hidden), (Dim.HIDDEN, self.hidden))
                yield Tensor(f"{name}.{index}.weight", shape, BFLOAT16, role="altup_projection")

    def forward(self, tape: Tape, x: Value) -> Value:
        """The stream stands for its copies."""
        return x
