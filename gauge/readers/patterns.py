"""Which layer of a model is of which kind: `layer_types`, every-n rules, and blocks that repeat."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from gauge.errors import RequestError, shown
from gauge.layers.block import Block
from gauge.readers.config import Config


def layer_types(config: Config, layers: int, default: Callable[[int], str], *names: str) -> list[str]:
    """The kind of each layer as the config lists it, or by the family's rule. Raises RequestError."""
    listed = config.listed(*(names or ("layer_types",)))
    if not listed:
        return [default(i) for i in range(layers)]
    if len(listed) < layers or not all(isinstance(kind, str) for kind in listed):
        raise RequestError(f"{config.path}.layer_types", f"{len(listed)} entries for {layers} layers", "list one name a layer")
    return listed[:layers]


def numbers(config: Config, layers: int, *names: str, least: int = 0) -> list[int]:
    """A whole number for each layer, from a list or one number for all; empty where absent. Raises RequestError."""
    name = next((n for n in names if n in config), None)
    if name is None:
        return []
    value = config.keys[name]
    if isinstance(value, list):
        if len(value) < layers or not all(type(v) is int and least <= v < 10**9 for v in value):
            raise RequestError(
                f"{config.path}.{name}", f"{shown(value)} does not give {layers} whole numbers", "list one a layer"
            )
        return value[:layers]
    return [config.integer(name, least=least)] * layers


def blocks(kinds: Iterable[Hashable], make: Callable[..., Block]) -> tuple[Block, ...]:
    """One block a layer; layers of the same kind share one object."""
    known: dict[Hashable, Block] = {}
    found = []
    for kind in kinds:
        block = known.get(kind)
        if block is None:
            block = known[kind] = make(kind)
        found.append(block)
    return tuple(found)


def every(count: int, offset: int = 0) -> Callable[[int], bool]:
    """A rule that holds for each `count`-th layer from `offset` on."""
    return lambda index: index % max(count, 1) == offset % max(count, 1)
