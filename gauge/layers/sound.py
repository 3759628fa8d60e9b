"""The entry of speech encoders: mel features through two convolutions, then fixed positions.

Source: transformers 5.23 models/whisper/modeling_whisper.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge import kernels
from gauge.formats import BFLOAT16
from gauge.layers.convolution import Convolution
from gauge.tape import Dims, Tape, Value, dims
from gauge.tensor import Dim, Tensor

KERNEL = 3
STRIDE = 2


@dataclass(frozen=True, slots=True)
class SoundEmbeddings:
    """`bands` mel bands over twice as many frames as `positions` → (positions, hidden).

    The sinusoidal positions are stored as a matrix that is never trained.
    """

    bands: int
    hidden: int
    positions: int
    dropout: float = 0.0

    @property
    def convolutions(self) -> tuple[Convolution, Convolution]:
        """(hidden, bands, 3) and, halving the frames, (hidden, hidden, 3)."""
        first = Convolution(name="conv1", inputs=self.bands, outputs=self.hidden, kernel=KERNEL, padding=1, bias=True, axes=1)
        second = Convolution(
            name="conv2",
            inputs=self.hidden,
            outputs=self.hidden,
            kernel=KERNEL,
            stride=STRIDE,
            padding=1,
            bias=True,
            axes=1,
        )
        return first, second

    @property
    def table(self) -> Tensor:
        """(positions, hidden), frozen."""
        shape = dims((Dim.POSITIONS, self.positions), (Dim.HIDDEN, self.hidden))
        return Tensor("embed_positions.weight", shape, BFLOAT16, trainable=False, role="position_embedding")

    def weights(self) -> Iterator[Tensor]:
        """Both convolutions and the positions."""
        for convolution in self.convolutions:
            yield from convolution.weights()
        yield self.table

    def forward(self, tape: Tape, tokens: Dims) -> Value:
        """(batch, tokens, hidden) of a recording that gives so many tokens."""
        batch, length = tokens
        frames = STRIDE * length.size
        shape = (batch, *dims((Dim.CHANNELS, self.bands), (Dim.WIDTH, frames)))
        x = tape.shared("mel features", shape, tape.how.stored)
        for convolution in self.convolutions:
            x = kernels.activation(tape, "gelu", convolution.forward(tape, x))
        x = tape.alias(x, (batch, length, *dims((Dim.HIDDEN, self.hidden))))
        rows = tape.op("embedding", (), (length, *dims((Dim.HIDDEN, self.hidden))), tape.weight(self.table).format)
        return tape.dropout(tape.add(x, rows, label="embeddings"), self.dropout)
