"""A cache cut into pages, as vLLM keeps it: layers in groups of equal size, one pool of equal blocks for all groups.

Source: vLLM v1/core/kv_cache_utils.py and v1/kv_cache_interface.py (release 0.19).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gauge.formats import Format
from gauge.layers.block import Layer
from gauge.memory.state import is_recurrent, without_newest
from gauge.model import Model
from gauge.sequence import Sequence
from gauge.tensor import Mesh, Rules, Tensor, shard, total_bytes
from gauge.units import ceil_div, round_up

BLOCK_TOKENS = 16
ALIGNMENT = 16  # tokens that an enlarged attention block is a multiple of
PADDING_LIMIT = (3, 2)  # groups take the larger layer count where it is below 3/2 of the smaller one


@dataclass(frozen=True, slots=True)
class Kind:
    """How one layer caches. `reach`: `full`, `window`, `chunk` or `recurrent`; `limit` its window or chunk.

    `page` is the bytes of `tokens` tokens, or of one sequence's state where it is recurrent (then `tokens` is 0).
    """

    reach: str
    limit: int
    page: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Paging:
    """The groups: `kinds` names the layers' kind in each, `layers` how many each has, padding included.

    A block takes `page` bytes a layer and holds `tokens` tokens of the layers whose tokens are largest, more of others.
    """

    kinds: tuple[Kind, ...]
    layers: int
    page: int
    tokens: int
    padding: int

    @property
    def block(self) -> int:
        """Bytes of one block."""
        return self.layers * self.page

    def blocks_of(self, pool: int) -> int:
        """Whole blocks in a pool of bytes."""
        return max(pool, 0) // self.block

    def capacity(self, pool: int) -> int:
        """Tokens that a pool holds, every group counted at full length, as the engine's log prints it."""
        return self.blocks_of(pool) // len(self.kinds) * self.tokens

    def blocks(self, tokens: int, budget: int) -> int:
        """Blocks that one sequence needs; `budget` is the most tokens that one step adds."""
        return sum(self._group(kind, tokens, budget) for kind in self.kinds)

    def _group(self, kind: Kind, tokens: int, budget: int) -> int:
        if kind.reach == "recurrent":
            return 1
        whole = ceil_div(tokens, kind.tokens)
        if kind.reach == "full":
            return whole
        if kind.reach == "window":
            return min(whole, ceil_div(min(kind.limit - 1 + budget, tokens), kind.tokens) + 1)
        return min(whole, ceil_div(min(kind.limit + budget, tokens), kind.tokens))

    def sequences(self, pool: int, tokens: int, budget: int) -> int:
        """Sequences of that many tokens that a pool holds at once."""
        return self.blocks_of(pool) // max(self.blocks(tokens, budget), 1)


def kinds(model: Model, formats: Callable[[Tensor], Format], rules: Rules, mesh: Mesh) -> list[Kind]:
    """One entry for every layer that keeps something between steps."""
    runs = model.decoder.runs()
    known = {id(block): [k for layer in block.layers for k in _kinds(layer, formats, rules, mesh)] for block, _ in runs}
    return [kind for block in model.decoder.blocks for kind in known[id(block)]]


def _kinds(layer: Layer, formats: Callable[[Tensor], Format], rules: Rules, mesh: Mesh) -> Iterator[Kind]:
    reach: list[tuple[str, int]] = []

    def policy(tokens: int, window: int | None, chunk: int | None) -> int:
        reach.append(("window", window) if window else ("chunk", chunk) if chunk else ("full", 0))
        return tokens

    state = getattr(layer, "state", None)
    if state is None:
        return
    sequence = Sequence(1, BLOCK_TOKENS, BLOCK_TOKENS, policy)
    held = [shard(without_newest(t.stored_as(formats(t))), rules, mesh) for t in state(sequence)]
    cache = total_bytes(t for t in held if not is_recurrent(t))
    recurrent = total_bytes(t for t in held if is_recurrent(t))
    if cache:
        name, limit = reach[0] if reach else ("full", 0)
        yield Kind(name, limit, cache, BLOCK_TOKENS)
    if recurrent:
        yield Kind("recurrent", 0, recurrent, 0)


def paging(layers: list[Kind], alignment: int = ALIGNMENT) -> Paging | None:
    """The groups that an engine makes of these layers; None where nothing is cached. Blocks of attention that are
    enlarged are a multiple of `alignment` tokens.
    """
    if not layers:
        return None
    reaches = {(k.reach, k.limit) for k in layers}
    if len(reaches) == 1 and layers[0].reach != "recurrent":
        return _uniform(layers)
    return _grouped(_equal_pages(layers, alignment))


def _uniform(layers: list[Kind]) -> Paging:
    """One group; layers whose heads differ only differ in bytes."""
    whole = sum(k.page for k in layers)
    if len({k.page for k in layers}) == 1:
        return Paging((layers[0],), len(layers), layers[0].page, BLOCK_TOKENS, 0)
    return Paging((layers[0],), 1, whole, BLOCK_TOKENS, 0)


def _equal_pages(layers: list[Kind], alignment: int) -> list[Kind]:
    """Pages made equal: attention blocks take more tokens until they are as large as a recurrent state, and layers with
    smaller pages take as many times more tokens as their page goes into the largest.
    """
    state = max((k.page for k in layers if k.reach == "recurrent"), default=0)
    cache = max((k.page for k in layers if k.reach != "recurrent"), default=0)
    if not cache:
        return [Kind(k.reach, k.limit, state, 1) for k in layers]
    tokens = BLOCK_TOKENS
    if state > cache:
        tokens = round_up(ceil_div(state * BLOCK_TOKENS, cache), alignment)
    page = cache * tokens // BLOCK_TOKENS

    def times(kind: Kind) -> int:
        return cache // kind.page if kind.reach != "recurrent" and cache % kind.page == 0 else 1

    return [Kind(k.reach, k.limit, page, tokens * times(k)) for k in layers]


def _grouped(layers: list[Kind]) -> Paging:
    """Layers of one kind in groups of equal size, the last group of each kind filled up."""
    counts: dict[Kind, int] = {}
    for kind in layers:
        counts[kind] = counts.get(kind, 0) + 1
    least, most = min(counts.values()), max(counts.values())
    size = most if most * PADDING_LIMIT[1] < least * PADDING_LIMIT[0] else least
    groups = tuple(kind for kind, count in counts.items() for _ in range(ceil_div(count, size)))
    padding = sum(-count % size for count in counts.values())
    return Paging(groups, size, layers[0].page, min(k.tokens for k in groups), padding)
