"""A second, narrow embedding that every layer mixes into its stream (Gemma 3n, Gemma 4).

Source: transformers 5.23 models/gemma3n, models/gemma4 (per_layer_input_gate, per_layer_projection).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge import kernels
from gauge.formats import BFLOAT16
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True)
class PerLayerInput:
    """hidden → narrow, activated, times the layer's own embedding of the token, → hidden."""

    hidden: int
    narrow: int
    activation: str

    @property
    def gate(self) -> Linear:
        """(narrow, hidden)."""
        out = ((Dim.RANK, self.narrow),)
        return Linear("per_layer_input_gate", "per_layer_gate", out, ((Dim.HIDDEN, self.hidden),))

    @property
    def up(self) -> Linear:
        """(hidden, narrow)."""
        out = ((Dim.HIDDEN, self.hidden),)
        return Linear("per_layer_projection", "per_layer_up", out, ((Dim.RANK, self.narrow),))

    def weights(self) -> Iterator[Tensor]:
        """Gate and projection."""
        yield from self.gate.weights()
        yield from self.up.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """Gate, activate, multiply, project."""
        inner = kernels.activation(tape, self.activation, self.gate(tape, x))
        own = tape.input("per-layer embedding", inner.dims, inner.format, inner.grad)
        return self.up(tape, tape.mul(inner, own, label="gated per-layer embedding"))


@dataclass(frozen=True, slots=True)
class PerLayerEmbeddings:
    """The table of all layers' narrow embeddings, side by side, and the projection of the stream that joins them."""

    rows: int
    layers: int
    narrow: int
    hidden: int

    def weights(self) -> Iterator[Tensor]:
        """(rows, layers × narrow), (layers × narrow, hidden) and a norm."""
        width = ((Dim.LAYERS, self.layers), (Dim.RANK, self.narrow))
        table = dims((Dim.VOCAB, self.rows), *width)
        yield Tensor("embed_tokens_per_layer.weight", table, BFLOAT16, role="per_layer_embedding")
        yield from Linear("per_layer_model_projection", "per_layer_projection", width, ((Dim.HIDDEN, self.hidden),)).weights()
        yield from Norm("per_layer_projection_norm", self.narrow, over=Dim.RANK).weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """Nothing happens to the stream here: layers take their slice."""
        return x
