"""Hyper-connections: the residual stream runs in several copies, which each branch reads and writes as learned mixes.

Source: arXiv 2409.19606, arXiv 2512.24880; transformers 5.23 models/deepseek_v4 (DeepseekV4HyperConnection).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16, FLOAT32
from gauge.layers.block import Layer
from gauge.layers.together import active
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class HyperConnection:
    """The mix in front of a branch and behind it, for `streams` copies of width `hidden`."""

    name: str
    hidden: int
    streams: int

    def weights(self) -> Iterator[Tensor]:
        """((2 + streams) × streams, streams × hidden), a bias of as many rows, three scales."""
        rows = (2 + self.streams) * self.streams
        matrix = dims((Dim.GROUPS, rows), (Dim.COPIES, self.streams), (Dim.HIDDEN, self.hidden))
        yield Tensor(f"{self.name}.fn", matrix, BFLOAT16, role="hyper_connection")
        yield Tensor(f"{self.name}.base", dims((Dim.GROUPS, rows)), BFLOAT16, role="hyper_connection_bias")
        yield Tensor(f"{self.name}.scale", dims((Dim.GROUPS, 3)), BFLOAT16, role="hyper_connection_scale")


@dataclass(frozen=True, slots=True)
class HyperBranch:
    """A layer behind its hyper-connection."""

    connection: HyperConnection
    body: Layer

    def weights(self) -> Iterator[Tensor]:
        """The mix's and the layer's."""
        yield from self.connection.weights()
        yield from self.body.weights()

    @property
    def active_elements(self) -> int:
        """Parameters that one token uses."""
        return active(self.body) + sum(t.elements for t in self.connection.weights())

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
        """Mix the copies down, run the layer, spread its output over the copies: the copies are kept in float32."""
        copies = (*x.dims[:-1], *dims((Dim.COPIES, self.connection.streams)), x.dims[-1])
        streams = tape.allocate("residual copies", copies, FLOAT32)
        own = tuple(tape.weight(t) for t in self.connection.weights())
        mixed = tape.op("hyper_connection", (x,), x.dims, x.format, label="mix", saves=(streams,), weights=own)
        return self.body.forward(tape, mixed)


@dataclass(frozen=True, slots=True)
class HyperHead:
    """The last mix, of all copies into one (DeepSeek V4)."""

    hidden: int
    streams: int

    def weights(self) -> Iterator[Tensor]:
        """(streams, streams × hidden), a bias, one scale."""
        matrix = dims((Dim.GROUPS, self.streams), (Dim.COPIES, self.streams), (Dim.HIDDEN, self.hidden))
        yield Tensor("hc_head.hc_fn", matrix, BFLOAT16, role="hyper_connection")
        yield Tensor("hc_head.hc_base", dims((Dim.GROUPS, self.streams)), BFLOAT16, role="hyper_connection_bias")
        yield Tensor("hc_head.hc_scale", dims((Dim.GROUPS, 1)), BFLOAT16, role="hyper_connection_scale")

    def forward(self, tape: Tape, x: Value) -> Value:
        """The mix."""
        own = tuple(tape.weight(t) for t in self.weights())
        return tape.op("hyper_head", (x,), x.dims, x.format, label="mix", saves=(x.storage,), weights=own)
