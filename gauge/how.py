"""The circumstances of a pass: number formats, kernels, adapters, splitting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gauge.formats import BFLOAT16, FLOAT32, Format
from gauge.tensor import Mesh, Rules, Tensor, shard


@dataclass(frozen=True, slots=True)
class How:
    """The circumstances of a forward pass.

    `compute` is the dtype of unquantized weights and activations; under `autocast` weights are float32 and matrix
    products run in `compute`. `kernels` picks between composed and fused operators (`gauge.kernels`), `attention` the
    attention kernel as asked for. `dropout` overrides the model's own rates where it is not None. `gathered`: weights
    come to the layers in `compute`, put together from shards; `wide_stream`: the embeddings' output is float32 even so.
    `keeps_inputs`: roles of matrices whose input is kept though they are frozen; `packed_copies`: quantized products keep
    a copy of their input. `fused_gelu`: GELU's tanh form is one operator; `fused_qkv`: queries, keys and values come from
    one matrix, and the values pin its whole output; `spread_heads`: keys and values are
    copied to all heads. `rules` split every tensor over `mesh`; weights follow `weight_rules` where those are given.
    `gathers`: under sequence parallelism a matrix product reads all tokens, which are put together and `kept` for backward
    or put together `again` there.
    """

    compute: Format = BFLOAT16
    autocast: bool = False
    grad: bool = True
    kernels: str = "eager"
    attention: str = "sdpa"
    dropout: float | None = None
    adapters: AdapterPlan | None = None
    frozen: bool = False
    quantized: bool = False
    rules: Rules = ()
    mesh: Mesh = field(default_factory=dict)
    version: str = ""
    loss: str = "standard"
    loss_chunk: int = 0

    upcast: bool = False
    gathered: bool = False
    wide_stream: bool = False
    keeps_inputs: frozenset[str] = frozenset()
    packed_copies: Format | None = None
    fused_gelu: bool = False
    fused_qkv: bool = False
    spread_heads: bool = False
    weight_rules: Callable[[Tensor], Rules] | None = None
    gathers: str = ""

    @property
    def stored(self) -> Format:
        """The format that layers find the model's weights in: float32 where autocast trains them."""
        return FLOAT32 if self.autocast and self.adapters is None and not self.gathered else self.compute

    def split(self, weight: Tensor) -> Tensor:
        """What one device has of a weight."""
        return shard(weight, self.weight_rules(weight) if self.weight_rules else self.rules, self.mesh)

    def holds(self, weight: Tensor) -> Format:
        """The format of one weight: `upcast` (PEFT's preparation for k-bit training) widens all but the matrices of
        the blocks."""
        if weight.format.id == "int64":
            return weight.format
        wide = self.upcast and (len(weight.dims) < 2 or weight.role in ("token_embedding", "position_embedding", "head"))
        return FLOAT32 if wide else self.stored


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """Low-rank adapters on the linear maps whose names are in `targets` (None: every linear map inside the blocks).

    `roles`: adapted too, whatever a checkpoint calls them. `stacked`: roles of routed experts' matrices and routers that
    are adapted as whole parameters; `moved`: names that serve for those, so that no linear map of that name is adapted.
    """

    targets: frozenset[str] | None
    rank: int
    format: Format
    dropout: float
    roles: frozenset[str] = frozenset()
    stacked: frozenset[str] = frozenset()
    moved: frozenset[str] = frozenset()

    def adapts(self, name: str, role: str) -> bool:
        """Whether the linear map of that name and role gets an adapter."""
        return name not in self.moved and (self.targets is None or name in self.targets or role in self.roles)
