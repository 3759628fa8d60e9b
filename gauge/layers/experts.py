"""Mixture of experts: a router sends each token to a few of many MLPs; shared experts see every token.

The pass is transformers' grouped matrix product: tokens are copied once for each expert they visit, sorted by expert,
and weighted on the way back. Source: transformers 5.23 integrations/moe.py (grouped_mm_experts_forward).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge import kernels
from gauge.formats import BFLOAT16, FLOAT32, INT64
from gauge.layers.linear import Linear
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.tape import Dims, Storage, Tape, Value, dims
from gauge.tensor import Dim, Tensor


def adapted_whole(tape: Tape, weights: tuple[Tensor, ...]) -> Value | None:
    """Matrices that are parameters, not linear maps, with low-rank adapters on them: PEFT adds the product of the factors
    to the matrices and multiplies by the sum, so that copies of all experts stay until backward.

    Gate and up are one matrix to it, with factors of twice the rank. Source: PEFT 0.21 tuners/lora (ParamWrapper).
    """
    plan = tape.how.adapters
    if plan is None or weights[0].role not in plan.stacked or tape.how.quantized:
        return None
    first, several = weights[0], dims((Dim.MATRICES, len(weights))) if len(weights) > 1 else ()
    *experts, rows, columns = first.dims
    rank = dims((Dim.RANK, plan.rank * len(weights)))
    down = Tensor(f"{first.name}.lora_A", (*experts, *rank, columns), plan.format, role="adapter")
    up = Tensor(f"{first.name}.lora_B", (*experts, *several, rows, *rank), plan.format, role="adapter")
    shape = (*experts, *several, rows, columns)
    product = tape.op("bmm", (), shape, plan.format, label="product of adapters", weights=(down, up))
    scaled = tape.op("mul", (product,), shape, plan.format, label="scaled product of adapters")
    return tape.op("add", (scaled,), shape, first.format, label="matrices with adapters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """hidden → one score an expert. `scores`: `softmax` over all experts, `sigmoid` of each, or softmax over the
    `chosen` ones only.

    `normalised` divides the chosen weights by their sum; `low` casts them back to the activations' dtype; `wide` runs
    the projection in float32; `correction` is a trained bias that only steers the choice; `extra` are further weights
    in front of the projection (a dense layer or a scale vector).
    """

    hidden: int
    experts: int
    active: int
    scores: str = "softmax"
    normalised: bool = False
    low: bool = False
    wide: bool = False
    bias: bool = False
    correction: bool = False
    name: str = "gate"
    extra: tuple[Linear, ...] = ()
    vectors: tuple[tuple[str, Dim, int], ...] = ()

    @property
    def projection(self) -> Linear:
        """(experts, hidden)."""
        out = ((Dim.EXPERTS, self.experts),)
        return Linear(self.name, "router", out, ((Dim.HIDDEN, self.hidden),), self.bias, adaptable=False)

    def weights(self) -> Iterator[Tensor]:
        """The projection, what is in front of it, the choice's bias."""
        for linear in self.extra:
            yield from linear.weights()
        yield from self.projection.weights()
        for name, dim, size in self.vectors:
            yield Tensor(name, dims((dim, size)), BFLOAT16, role="router_scale")
        if self.correction:
            shape = dims((Dim.EXPERTS, self.experts))
            yield Tensor("e_score_correction_bias", shape, BFLOAT16, role="router_correction")

    def __call__(self, tape: Tape, x: Value) -> tuple[Value, Storage]:
        """The weights (tokens, chosen experts) and the int64 indices of the choice."""
        rows = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
        picked = (*rows, *dims((Dim.ACTIVE_EXPERTS, self.active)))
        index = tape.allocate("indices of the chosen experts", picked, INT64)
        logits = self._logits(tape, x)
        if self.scores == "chosen":
            chosen = tape.op("topk", (logits,), picked, logits.format, label="chosen logits", saves=(index,))
            return tape.cast(tape.softmax(chosen, label="expert weights"), x.format), index
        wide = tape.cast(logits, FLOAT32, "router logits in float32")
        if self.scores == "sigmoid":
            every = tape.unary("sigmoid", wide, keeps="output", label="router scores")
        else:
            every = tape.softmax(wide, label="router probabilities")
        weights = tape.op("topk", (every,), picked, every.format, label="expert weights", saves=(index,))
        if self.normalised:
            weights = self._normalise(tape, weights, rows)
        return (tape.cast(weights, x.format) if self.low else weights), index

    def _logits(self, tape: Tape, x: Value) -> Value:
        adapted = adapted_whole(tape, (tape.weight(self.projection.weight),))
        if adapted is not None:
            shape = (*(e for e in x.dims if e.dim is not Dim.HIDDEN), *dims((Dim.EXPERTS, self.experts)))
            x = tape.cast(x, adapted.format)
            return tape.op("linear", (x, adapted), shape, x.format, label="router logits", saves=(x.storage, adapted.storage))
        if not self.wide or tape.how.autocast:
            return self.projection(tape, x, "router logits")
        weight = tape.weight(self.projection.weight)
        x = tape.cast(x, FLOAT32, "router input in float32")
        copy = tape.allocate("router weights in float32", weight.dims, FLOAT32)
        shape = (*(e for e in x.dims if e.dim is not Dim.HIDDEN), *dims((Dim.EXPERTS, self.experts)))
        saves = [copy] + ([x.storage] if weight.trainable else [])
        return tape.op("linear", (x,), shape, FLOAT32, label="router logits", saves=saves, weights=(weight,))

    def _normalise(self, tape: Tape, weights: Value, rows: Dims) -> Value:
        """Divided in place by their sum: autograd keeps a copy of what it overwrites."""
        total = tape.reduce("sum", weights, rows, "sum of expert weights")
        kept = tape.allocate("expert weights before division", weights.dims, weights.format)
        return tape.op("div", (weights, total), weights.dims, weights.format, label="expert weights", saves=(kept, total.storage))


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """`experts` MLPs of width `inner`, of which each token visits `router.active`.

    `shared` is the MLP that every token passes through, `shared_gate` scales it by a sigmoid of one number a token.
    `latent` is the narrower width that routed experts work in, between a projection down and one up, with
    `latent_norm` before the way up. `spare` is a further group with its own router that these tokens do not visit
    (experts for pictures). `scale`: a trained factor an expert. `every`: written out, all experts read all tokens.
    """

    hidden: int
    inner: int
    router: Router
    activation: str = "silu"
    gated: bool = True
    bias: bool = False
    shared: MLP | None = None
    shared_gate: bool = False
    every: bool = False
    latent: int = 0
    latent_norm: bool = False
    latent_names: tuple[str, str] = ("fc1_latent_proj", "fc2_latent_proj")
    scale: bool = False
    spare: Experts | None = None
    names: tuple[str, str, str] = ("experts.gate_proj", "experts.up_proj", "experts.down_proj")

    # ---------------------------------------------------------------- weights
    @property
    def experts(self) -> int:
        """How many routed experts there are."""
        return self.router.experts

    @property
    def width(self) -> int:
        """The width that routed experts read and write."""
        return self.latent or self.hidden

    def _matrix(self, which: int, role: str) -> Tensor:
        """(experts, MLP size, hidden) for gate and up, (experts, hidden, MLP size) for down."""
        inner, outer = (Dim.FFN, self.inner), (self._outer_dim, self.width)
        pair = (outer, inner) if role == "expert_down" else (inner, outer)
        return Tensor(f"{self.names[which]}.weight", dims((Dim.EXPERTS, self.experts), *pair), BFLOAT16, role=role)

    @property
    def _outer_dim(self) -> Dim:
        return Dim.LATENT if self.latent else Dim.HIDDEN

    def _bias(self, which: int, role: str) -> Tensor:
        size = (self._outer_dim, self.width) if role == "expert_down" else (Dim.FFN, self.inner)
        shape = dims((Dim.EXPERTS, self.experts), size)
        return Tensor(f"{self.names[which]}.bias", shape, BFLOAT16, role=f"{role}_bias")

    def _ups(self) -> Iterator[Tensor]:
        for which, role in ((0, "expert_gate"), (1, "expert_up")):
            if which or self.gated:
                yield self._matrix(which, role)
                if self.bias:
                    yield self._bias(which, role)

    def _downs(self) -> Iterator[Tensor]:
        yield self._matrix(2, "expert_down")
        if self.bias:
            yield self._bias(2, "expert_down")

    def routed(self) -> Iterator[Tensor]:
        """The routed experts' own weights."""
        yield from self._ups()
        yield from self._downs()

    @property
    def shared_router(self) -> Linear:
        """(1, hidden): how open the shared expert is."""
        return Linear("shared_expert_gate", "shared_expert_router", ((Dim.LABELS, 1),), ((Dim.HIDDEN, self.hidden),))

    @property
    def into_latent(self) -> Linear:
        """(latent, hidden)."""
        inp = ((Dim.HIDDEN, self.hidden),)
        return Linear(self.latent_names[0], "expert_latent_down", ((Dim.LATENT, self.latent),), inp)

    @property
    def out_of_latent(self) -> Linear:
        """(hidden, latent)."""
        out = ((Dim.HIDDEN, self.hidden),)
        return Linear(self.latent_names[1], "expert_latent_up", out, ((Dim.LATENT, self.latent),))

    def _always(self) -> Iterator[Tensor]:
        """What every token passes through."""
        yield from self.router.weights()
        if self.latent:
            yield from self.into_latent.weights()
            yield from self.out_of_latent.weights()
            if self.latent_norm:
                yield from Norm("latent_norm", self.latent, over=Dim.LATENT).weights()
        if self.shared:
            yield from self.shared.weights()
        if self.shared_gate:
            yield from self.shared_router.weights()
        if self.scale:
            yield Tensor("per_expert_scale", dims((Dim.EXPERTS, self.experts)), BFLOAT16, role="expert_scale")

    def weights(self) -> Iterator[Tensor]:
        """Router, routed experts, shared expert."""
        yield from self._always()
        yield from self.routed()
        if self.spare:
            yield from self.spare.weights()

    @property
    def active_elements(self) -> int:
        """Parameters that one token uses."""
        whole = sum(t.elements for t in self.routed())
        return sum(t.elements for t in self._always()) + whole * self.router.active // self.experts

    # ---------------------------------------------------------------- forward
    def forward(self, tape: Tape, x: Value) -> Value:
        """Route, run the routed experts, add the shared one."""
        with tape.hold(x):
            weights, index = self.router(tape, x)
            narrow = self.into_latent(tape, x, "latent expert input") if self.latent else x
            out = self._grouped(tape, narrow, weights, index)
            if self.latent:
                if self.latent_norm:
                    out = Norm("latent_norm", self.latent, over=Dim.LATENT)(tape, out)
                out = self.out_of_latent(tape, out, "expert output")
            if self.shared:
                out = tape.add(out, self._shared(tape, x, self.shared), label="routed and shared experts")
        return out

    def _shared(self, tape: Tape, x: Value, mlp: MLP) -> Value:
        out = mlp.forward(tape, x)
        if not self.shared_gate:
            return out
        open_ = tape.unary("sigmoid", self.shared_router(tape, x), keeps="output", label="shared expert's gate")
        return tape.mul(open_, out, label="gated shared expert")

    def _everywhere(self, tape: Tape, x: Value, weights: Value) -> Value:
        """All experts on all tokens, which are scaled by the scores first: nought for experts that were not chosen."""
        rows = (*dims((Dim.EXPERTS, self.experts)), *x.dims)
        copies = tape.op("repeat", (x,), rows, x.format, label="tokens, a copy for each expert")
        with tape.hold(weights):
            scaled = tape.op(
                "mul", (copies, weights), rows, x.format, label="tokens, scaled for each expert", saves=(copies.storage,)
            )
        ahead = rows[:-1]
        wide = (*ahead, *dims((Dim.MATRICES, 2), (Dim.FFN, self.inner)))
        experts = tape.allocate("expert of each row", ahead, INT64)
        inner = self._activated(tape, self._product(tape, scaled, tuple(self._ups()), wide, "expert gate and up", experts))
        out = self._product(tape, inner, tuple(self._downs()), rows, "expert rows", experts)
        return tape.reduce("sum", out, x.dims, "expert output")

    def _grouped(self, tape: Tape, x: Value, weights: Value, index: Storage) -> Value:
        if self.every and not kernels.is_fused(tape):
            return self._everywhere(tape, x, weights)
        picked = weights.dims
        order = tape.allocate("order by expert", picked, INT64)
        token = tape.allocate("token of each row", picked, INT64)
        back = tape.allocate("order by token", picked, INT64)
        rows = (*picked, *(e for e in x.dims if e.dim is self._outer_dim))
        with tape.hold(weights):
            gathered = tape.op("index", (x,), rows, x.format, label="tokens, a copy for each expert", saves=(token,))
            sorted_ = tape.op("index", (weights,), picked, weights.format, label="sorted weights", saves=(order,))
            wide = (*picked, *dims((Dim.MATRICES, 2 if self.gated else 1), (Dim.FFN, self.inner)))
            experts = tape.allocate("expert of each row", picked, INT64)
            inner = self._product(tape, gathered, tuple(self._ups()), wide, "expert gate and up", experts)
            inner = self._activated(tape, inner)
            out = self._product(tape, inner, tuple(self._downs()), rows, "expert rows", experts)
            out = tape.mul(out, sorted_, label="weighted expert rows")
            out = tape.op("index", (out,), rows, out.format, label="expert rows by token", saves=(back,))
            total = tape.reduce("sum", out, x.dims, "expert output")
        return tape.cast(total, x.format)

    def _product(self, tape: Tape, x: Value, tensors: tuple[Tensor, ...], shape: Dims, label: str, experts: Storage) -> Value:
        """One grouped matrix product, with each row's bias gathered first. Autocast does not touch it: the input
        follows the weights' dtype."""
        weights = tuple(tape.weight(t) for t in tensors if not t.role.endswith("_bias"))
        adapted = adapted_whole(tape, weights)
        if adapted is not None:
            x = tape.cast(x, adapted.format)
            saves = [x.storage, adapted.storage]
            return tape.op("grouped_mm", (x, adapted), shape, adapted.format, label=label, saves=saves)
        biases = tuple(tape.weight(t) for t in tensors if t.role.endswith("_bias"))
        x = tape.cast(x, weights[0].format)
        saves = [x.storage] if weights[0].trainable else []
        if not biases:
            return tape.op("grouped_mm", (x,), shape, weights[0].format, label=label, saves=saves, weights=weights)
        chosen = tape.op("index", (), shape, weights[0].format, label=f"{label} biases", saves=(experts,), weights=biases)
        with tape.hold(chosen):
            return tape.op("grouped_mm", (x,), shape, weights[0].format, label=label, saves=saves, weights=weights)

    def _activated(self, tape: Tape, both: Value) -> Value:
        half = (*both.dims[:-2], both.dims[-1])
        if not self.gated:
            return kernels.activation(tape, self.activation, tape.alias(both, half))
        with tape.hold(both):
            return kernels.gated(tape, self.activation, tape.alias(both, half), tape.alias(both, half))
