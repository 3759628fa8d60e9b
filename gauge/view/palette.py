"""The fixed order, names and colours of what occupies memory: the same in gauge, table, legend, charts and print."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Group:
    """One colour of the gauge.

    `pattern` tells it from its neighbours where colours are gone; `ink` is the colour on paper.
    """

    id: str
    label: str
    short: str
    components: tuple[str, ...]
    ink: str
    pattern: str


RESERVE = "kv_cache.reserve"  # what an engine takes for its cache beyond what was asked
CONTEXT = "communication.context"  # a driver's context that an engine finds in use and does not count as its own

GROUPS = (
    Group("weights", "Weights", "Weights", ("weights", "master_weights", "adapters"), "#2f4f6b", "none"),
    Group("gradients", "Gradients", "Gradients", ("gradients",), "#c0672b", "rising"),
    Group("optimizer", "Optimizer states", "Optimizer", ("optimizer_states",), "#7d5a99", "dots"),
    Group("activations", "Activations", "Activations", ("activations", "logits"), "#2e8577", "falling"),
    Group("cache", "Cache and state", "Cache", ("kv_cache", "recurrent_state"), "#a67c00", "upright"),
    Group("reserve", "Reserved for the cache", "Reserved", (RESERVE,), "#cdb15c", "sparse"),
    Group("workspace", "Workspace", "Workspace", ("workspace",), "#a8435f", "level"),
    Group("communication", "Communication", "Comm.", ("communication",), "#5d7d34", "cross"),
    Group("overhead", "Framework", "Framework", ("framework", "cuda_graphs", CONTEXT, "slack"), "#85807a", "fine"),
)

COMPONENTS = {
    "weights": "Weights",
    "master_weights": "Master weights",
    "adapters": "Adapters",
    "gradients": "Gradients",
    "optimizer_states": "Optimizer states",
    "activations": "Activations",
    "logits": "Logits",
    "kv_cache": "KV cache",
    RESERVE: "Reserved for the cache",
    "recurrent_state": "Recurrent state",
    "workspace": "Workspace",
    "communication": "Communication",
    "cuda_graphs": "CUDA graphs",
    CONTEXT: "In use before the start",
    "framework": "Framework",
    "slack": "Allocator slack",
}

_GROUP = {component: group for group in GROUPS for component in group.components}
_ORDER = {component: place for place, component in enumerate(c for g in GROUPS for c in g.components)}


@lru_cache(maxsize=256)
def kind(component: str) -> str:
    """What names and places a component: itself where the palette knows its finer split, else its head."""
    return component if component in _GROUP else head(component)


def head(component: str) -> str:
    """`weights` of `weights.embedding`."""
    return component.partition(".")[0]


@lru_cache(maxsize=256)
def group_of(component: str) -> Group:
    """The group that draws a component; what is unknown counts as framework."""
    return _GROUP.get(kind(component), GROUPS[-1])


def place(component: str) -> int:
    """Where a component stands in the fixed order."""
    return _ORDER.get(kind(component), len(_ORDER))
