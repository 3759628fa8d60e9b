"""The output side: final norm, vocabulary projection and the loss over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge import kernels
from gauge.layers import losses
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.tape import Tape, Value
from gauge.tensor import Dim, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """hidden → vocabulary (or classes). `tied`: the matrix is the token embedding and counts once.

    `transform` is the dense layer and norm that BERT's head puts first. `upcast`: the family's loss runs on a float32
    copy of the logits (every causal model in transformers). `soft_cap`: logits pass through a tanh (Gemma 2). `inp` is
    the dimension that it reads, `dropout` the rate before it, `project` a map to a narrower width in front (OPT 350M).
    `scaled`: its input is multiplied by a constant (T5). `spare_bias`: an untied head has a second bias that it does not
    use (BERT's, which ties them with the matrix).
    """

    hidden: int
    outputs: int
    tied: bool = False
    bias: bool = False
    transform: tuple[Linear, str, Norm] | None = None
    upcast: bool = True
    soft_cap: bool = False
    per_sequence: bool = False
    over: Dim = Dim.VOCAB
    name: str = "lm_head"
    inp: Dim = Dim.HIDDEN
    project: Linear | None = None
    dropout: float = 0.0
    scaled: bool = False
    spare_bias: bool = False

    @property
    def projection(self) -> Linear:
        """(vocabulary, hidden)."""
        return Linear(self.name, "head", ((self.over, self.outputs),), ((self.inp, self.hidden),), self.bias, False)

    def weights(self) -> Iterator[Tensor]:
        """The matrix where it is not tied, its bias, the transform."""
        if self.transform:
            yield from self.transform[0].weights()
            yield from self.transform[2].weights()
        if self.project:
            yield from self.project.weights()
        if not self.tied:
            yield self.projection.weight
        if self.bias:
            yield self.projection.bias_weight
        if self.spare_bias and not self.tied:
            yield replace(self.projection.bias_weight, name="bias")

    def read(self, tape: Tape, x: Value) -> Value:
        """What the vocabulary matrix reads: transformed, projected, scaled, as far as a family does that."""
        if self.transform:
            dense, activation, norm = self.transform
            x = norm(tape, kernels.activation(tape, activation, dense(tape, x)))
        if self.project:
            x = self.project(tape, x, "projected output")
        if self.scaled:
            x = tape.op("mul", (x,), x.dims, x.format, label="scaled output")
        if self.per_sequence:
            x = tape.alias(x, tuple(e for e in x.dims if e.dim not in (Dim.TOKENS, Dim.PATCHES)))
        return tape.dropout(x, self.dropout)

    def logits(self, tape: Tape, x: Value) -> Value:
        """(batch, tokens, vocabulary) in the compute dtype."""
        out = self.projection(tape, self.read(tape, x), "logits")
        if self.soft_cap:
            scaled = tape.op("div", (out,), out.dims, out.format, label="logits over cap")
            capped = tape.pointwise32("tanh", scaled, keeps="output", label="capped logits")
            out = tape.op("mul", (capped,), out.dims, capped.format, label="logits, soft-capped")
        return out

    def loss(self, tape: Tape, x: Value) -> Value:
        """From the last hidden states to the loss, as `How.loss` says; kinds for a vocabulary leave other heads alone."""
        kind = tape.how.loss if self.over is Dim.VOCAB and not self.per_sequence else "standard"
        if kind in ("chunked", "chunked-output", "fused"):
            x = self.read(tape, x)
            with tape.hold(x):
                return self._by_chunks(tape, x, kind)
        logits = self.logits(tape, x)
        if kind == "compiled" or (kind == "standard" and tape.how.kernels == "compiled"):
            return losses.compiled(tape, logits)
        special = {"listed": losses.listed, "held-compiled": losses.held_compiled}
        special |= {"composed": losses.composed, "composed-parallel": losses.composed_parallel}
        if kind in special:
            return special[kind](tape, logits)
        if kind == "vocab-parallel":
            return losses.vocab_parallel(tape, logits)
        return losses.standard(tape, logits, self.upcast)

    def _by_chunks(self, tape: Tape, x: Value, kind: str) -> Value:
        chunk = losses.chunk_of(tape, x)
        if kind == "chunked-output":
            return losses.chunked_output(tape, x, self.projection, chunk)
        if kind == "fused":
            chunk = losses.fused_chunk(losses.tokens_of(x), self.outputs, self.hidden)
            return losses.by_chunks(tape, x, self.projection, chunk, 0)
        copies = 1 if kernels.is_fused(tape) else 3 + self.soft_cap
        return losses.by_chunks(tape, x, self.projection, chunk, copies)
