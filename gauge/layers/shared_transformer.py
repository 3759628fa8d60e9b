"""A transformer layer whose weights several places of the stack use, with adapters of each place's own (Zamba).

It reads the residual stream beside the embeddings, and its output joins the input of the place's Mamba layer.
Source: arXiv 2405.16712, arXiv 2411.15242; transformers 5.23 models/zamba2/modeling_zamba2.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.layers.attention import Attention
from gauge.layers.block import Layer
from gauge.layers.linear import Linear
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.sequence import Sequence
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTransformer:
    """`owns`: this place counts the shared weights. `rank`: width of its own adapters on gate and up, 0 for none;
    `adapts_attention`: on query, key and value too. `mixer` is the recurrent layer that follows behind its norm.
    """

    hidden: int
    attention: Attention
    mlp: MLP
    mixer: Layer
    owns: bool
    rank: int = 0
    adapts_attention: bool = False

    @property
    def inner_layers(self) -> tuple[Layer, ...]:
        """Attention, MLP and the recurrent layer."""
        return (self.attention, self.mlp, self.mixer)

    @property
    def wide_norm(self) -> Norm:
        """Over the stream and the embeddings together."""
        return Norm("shared_transformer.input_layernorm", self.attention.hidden)

    @property
    def feed_norm(self) -> Norm:
        """Before the MLP."""
        return Norm("shared_transformer.pre_ff_layernorm", self.hidden)

    @property
    def join(self) -> Linear:
        """(hidden, hidden): this place's own map of the shared output."""
        return Linear("linear", "attention_output", ((Dim.HIDDEN, self.hidden),), ((Dim.HIDDEN, self.hidden),))

    def adapters(self) -> Iterator[Linear]:
        """This place's own low-rank maps."""
        if not self.rank:
            return
        wide, narrow = ((Dim.HIDDEN, self.attention.hidden),), ((Dim.RANK, self.rank),)
        for name in ("q", "k", "v") if self.adapts_attention else ():
            yield Linear(f"linear_{name}_adapter.0", "shared_adapter_down", narrow, wide)
            yield Linear(f"linear_{name}_adapter.1", "shared_adapter_up", wide, narrow)
        yield Linear("gate_up_adapter.0", "shared_adapter_down", narrow, ((Dim.HIDDEN, self.hidden),))
        both = ((Dim.MATRICES, 2), (Dim.FFN, self.mlp.inner))
        yield Linear("gate_up_adapter.1", "shared_adapter_up", both, narrow)

    def weights(self) -> Iterator[Tensor]:
        """The shared weights where it owns them, and its own: adapters, the join, the recurrent layer with its norm."""
        if self.owns:
            yield from self.wide_norm.weights()
            yield from self.attention.weights()
            yield from self.feed_norm.weights()
            yield from self.mlp.weights()
        for linear in self.adapters():
            yield from linear.weights()
        yield from self.join.weights()
        yield from Norm("mamba_decoder.input_layernorm", self.hidden).weights()
        yield from self.mixer.weights()

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """Each place caches keys and values of its own, and the recurrent state."""
        yield from self.attention.state(sequence)
        keep = getattr(self.mixer, "state", None)
        if keep is not None:
            yield from keep(sequence)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Stream and embeddings → attention → MLP → join → norm → recurrent layer."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        with tape.hold(x):
            wide = tape.concat((x,), (*rows, *dims((Dim.HIDDEN, self.attention.hidden))), "stream and embeddings")
            attended = self.attention.forward(tape, self.wide_norm(tape, wide))
            joined = self.join(tape, self.mlp.forward(tape, self.feed_norm(tape, attended)))
            both = tape.add(x, joined, label="stream with the shared layer's output")
            return self.mixer.forward(tape, Norm("mamba_decoder.input_layernorm", self.hidden)(tape, both))
