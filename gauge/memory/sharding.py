"""How training splits what it holds: tensors by named dimensions, model states flat over data-parallel ranks.

ZeRO's stages (arXiv 1910.02054, section 5): 1 splits the optimizer's states and masters, 2 the gradients too, 3 the
weights too. FSDP's full sharding is stage 3, its grad-op sharding stage 2. Ranks of context parallelism hold the same
weights and count as data-parallel ones. Experts spread over e ranks, each of them split over t, have replicas on every
(e t)-th device of a stage. Hybrid sharding splits within groups of `shard_degree` ranks, and the groups are replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gauge.formats import Format
from gauge.plan import Plan
from gauge.tensor import Axis, Dim, Extent, Mesh, Rules, Tensor, flat_shard

SPLIT: Rules = (
    (Dim.VOCAB, Axis.TENSOR),
    (Dim.HEADS, Axis.TENSOR),
    (Dim.KV_HEADS, Axis.TENSOR),
    (Dim.FFN, Axis.TENSOR),
    (Dim.INNER, Axis.TENSOR),
)
EXPERTS: Rules = ((Dim.EXPERTS, Axis.EXPERT), (Dim.FFN, Axis.EXPERT_TENSOR))


def rules_of(plan: Plan) -> Rules:
    """Splits of activations: heads, MLP and vocabulary over tensor ranks, tokens over context ranks.

    Under sequence parallelism what has none of the former is split along its tokens over the tensor ranks.
    """
    along: Rules = tuple((dim, Axis.CONTEXT) for dim in (Dim.TOKENS, Dim.SOURCE_TOKENS, Dim.ALL_TOKENS, Dim.PATCHES))
    if plan.sequence_parallel:
        along = (*along, (Dim.TOKENS, Axis.TENSOR), (Dim.SOURCE_TOKENS, Axis.TENSOR))
    return (*SPLIT, *along)


def weight_rules(weight: Tensor) -> Rules:
    """Splits of a weight: routed experts whole over expert ranks, and each of them over its own tensor ranks."""
    return EXPERTS if routed(weight) else SPLIT


def routed(weight: Tensor) -> bool:
    """Whether a weight belongs to routed experts."""
    return weight.role.startswith("expert") and any(e.dim is Dim.EXPERTS for e in weight.dims)


def mesh_of(plan: Plan) -> Mesh:
    """Degrees by axis inside a pipeline stage."""
    return {
        Axis.TENSOR: plan.tensor_parallel,
        Axis.CONTEXT: plan.context_parallel,
        Axis.EXPERT: plan.expert_parallel,
        Axis.EXPERT_TENSOR: expert_tensor(plan),
    }


def expert_tensor(plan: Plan) -> int:
    """Devices that each expert is split over: as asked, else as all matrices are, as far as the devices suffice."""
    if plan.expert_tensor_parallel is not None:
        return plan.expert_tensor_parallel
    ranks = plan.data_parallel * plan.context_parallel * plan.tensor_parallel
    fitting = (d for d in range(plan.tensor_parallel, 0, -1) if plan.tensor_parallel % d == 0)
    return next((d for d in fitting if ranks % (plan.expert_parallel * d) == 0), 1)


@dataclass(frozen=True, slots=True)
class Shards:
    """What one data-parallel rank keeps under a ZeRO stage."""

    stage: int
    ranks: int
    replicas_of_experts: int | None = None

    @staticmethod
    def of(plan: Plan) -> Shards:
        """The shards of a plan."""
        ranks = plan.data_parallel * plan.context_parallel
        experts = max(1, ranks * plan.tensor_parallel // (plan.expert_parallel * expert_tensor(plan)))
        within = plan.shard_degree or ranks
        return Shards(plan.zero_stage, min(ranks, within), min(experts, within))

    def degree(self, weight: Tensor) -> int:
        """What the states of a weight are split over."""
        return self.replicas_of_experts or self.ranks if routed(weight) else self.ranks

    def _cut(self, weight: Tensor, from_stage: int) -> Tensor:
        return flat_shard(weight, self.degree(weight)) if self.stage >= from_stage else weight

    def state(self, weight: Tensor) -> Tensor:
        """The part whose optimizer states this rank has."""
        return self._cut(weight, 1)

    def gradient(self, weight: Tensor) -> Tensor:
        """What stays here of a gradient."""
        return self._cut(weight, 2)

    def weight(self, weight: Tensor) -> Tensor:
        """What stays here of a weight."""
        return self._cut(weight, 3)


def elements_by_format(name: str, tensors: Iterable[Tensor], copies: int = 1) -> Iterator[Tensor]:
    """One flat tensor for each format among `tensors`."""
    sums: dict[str, tuple[Format, int]] = {}
    for one in tensors:
        sums[one.format.id] = (one.format, sums.get(one.format.id, (one.format, 0))[1] + one.elements)
    for format, total in sums.values():
        flat = Tensor(name, (Extent(Dim.PARAMETERS, total, total),), format)
        yield flat.times(Dim.COPIES, copies)


def bucket(name: str, weights: Iterable[tuple[Tensor, int]], elements: int, format: Format, copies: int = 1) -> Tensor:
    """A communication buffer of at most `elements` numbers, no larger than all weights together."""
    total = min(elements, sum(w.elements * n for w, n in weights))
    return Tensor(name, (Extent(Dim.ELEMENTS, total, total),), format).times(Dim.COPIES, copies)


def reduced(format: Format) -> Callable[[Iterable[Tensor]], Iterator[Tensor]]:
    """What reduces a unit's whole gradients over its ranks: a copy of them in `format`, one after the other."""

    def made(weights: Iterable[Tensor]) -> Iterator[Tensor]:
        total = sum(w.elements for w in weights)
        yield Tensor("gradients of a layer, to be reduced", (Extent(Dim.PARAMETERS, total, total),), format)

    return made
