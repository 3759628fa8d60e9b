"""What every kind of layer is written with: operators, shared inputs, and caches, recorded in the engine's order.

`Sized` is a named dimension and its length; shapes are given as ggml has them, fastest dimension first.
Source: ggml-org/llama.cpp src/llama-graph.cpp (llm_graph_context), ggml/src/ggml.c (ggml_build_forward_expand).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gauge.formats import FLOAT16, FLOAT32, FORMATS, Format
from gauge.layers.norm import Norm
from gauge.model import Model
from gauge.runtimes.llamacpp.cache import Formats
from gauge.runtimes.llamacpp.context import Context, attentions, smaller_cells
from gauge.runtimes.llamacpp.reserve import Graph, Node, aligned, view_of
from gauge.tensor import Dim, Tensor, tensor
from gauge.units import round_up

INT32, INT64 = FORMATS["int32"], FORMATS["int64"]
Sized = tuple[Dim, int]
_ROWS_AND_COLUMNS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5")  # families whose pictures have two positions more


class Unwritten(Exception):
    """The engine builds this layer in a way that is not written down."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the graph depends on beside the model. `device`: inputs are copied from the host, where they are made."""

    context: Context
    formats: Formats
    device: bool = False


@dataclass(eq=False)
class KVCache:
    """One cache of keys and values as a graph sees it: cells a stream and the inputs made for it on first use."""

    cells: int
    inputs: dict[str, Node] = field(default_factory=dict)


class Builder:
    """Records operators. `rows` are the tokens that the graph goes on with: all of a micro-batch, at the end its outputs.

    `full`: cache of all tokens, `windowed`: of the last ones, `near`: an encoder's windowed mask, `indexer_cache`: of the
    keys by which tokens are picked; `picked`: (picked tokens, tokens), which layers without an indexer take over;
    `per_layer`: (narrow, tokens, layers), every layer's own embeddings.
    """

    def __init__(self, model: Model, setting: Setting) -> None:
        """Inputs and caches of a model; no operator yet."""
        self.model, self.context = model, setting.context
        self.formats, self.device = setting.formats, setting.device
        self.casts = self.context.policy.casts and self.context.flash
        self.recorded = Graph()
        self.sequences = self.context.slots
        self.tokens = round_up(self.context.ubatch, self.sequences)
        self.rows: Sized = (Dim.TOKENS, self.tokens)
        self.hidden: Sized = (Dim.HIDDEN, model.hidden)
        smaller = smaller_cells(model, self.context)
        self.full = KVCache(self.tokens if self.encodes else self.context.cells)
        self.near, self.indexer_cache = KVCache(self.tokens), KVCache(self.context.cells)
        self.windowed = KVCache(smaller) if smaller and self.context.policy.windowed else None
        self.shared: dict[str, Node] = {}
        self.results: dict[tuple[str, str, tuple[Sized, ...]], tuple[Tensor, tuple[int, ...], int]] = {}
        self.picked: Node | None = None
        self.per_layer: Node | None = None

    def new(self, name: str, *dims: Sized, of: tuple[Node, ...], format: Format = FLOAT32, over: bool = False) -> Node:
        """A result; `dims` fastest first. `over`: it may take the place of an operand."""
        key = (name, format.id, dims)
        found = self.results.get(key)
        if found is None:
            kept = [d for d in dims if d[1] > 1] or list(dims[:1])
            shown = tensor(name, format, *reversed(kept))
            found = self.results[key] = shown, tuple(size for _, size in dims), aligned(shown)
        shown, shape, size = found
        node = Node(shown, shape, of, size)
        node.over = over
        return node

    def over(self, x: Node, *others: Node) -> Node:
        """An element-wise result like its operands, in place of one that nobody else reads."""
        like = x if x.tensor is not None else next((one for one in others if one.tensor is not None), x)
        node = Node(like.tensor, like.shape, (x, *others), like.size)
        node.over = True
        return node

    def reshaped(self, name: str, x: Node, *dims: Sized) -> Node:
        """An element-wise result over a view of `x`: it cannot take the view's place."""
        return self.new(name, *dims, of=(view_of(x),), over=True)

    def input(self, name: str, *dims: Sized, format: Format) -> Node:
        """An input, made once."""
        if name not in self.shared:
            self.shared[name] = self.new(name, *dims, of=(), format=format)
        return self.shared[name]

    def expand(self, node: Node) -> Node:
        """Fixes a node's place in the order of computation."""
        self.recorded.expand(node)
        return node

    def store(self, *of: Node) -> None:
        """Written into a cache: needs no memory, but its operands."""
        self.recorded.expand(Node(None, sources=of))

    def norm(self, norm: Norm | None, x: Node, name: str = "", dims: tuple[Sized, ...] = ()) -> Node:
        """Mean-square norms may overwrite their input, others not; weight and bias are applied in place."""
        if norm is None:
            return x
        shape = dims or (self.hidden, self.rows)
        source = view_of(x) if dims else x
        title = name or "normed stream"
        made = self.new(title, *shape, of=(source,), over=norm.kind != "layer")
        for _ in norm.weights():
            made = self.over(made)
        return made

    def linear(self, name: str, width: Sized, x: Node, bias: bool = False) -> Node:
        """A matrix product and its bias."""
        made = self.new(name, width, self.rows, of=(x,))
        return self.over(made) if bias else made

    def positions(self) -> Node:
        """One position a token, four where pictures have rows and columns."""
        several = 4 if self.model.family.startswith(_ROWS_AND_COLUMNS) else 1
        return self.input("positions", (Dim.COPIES, several), self.rows, format=INT32)

    def cache_input(self, cache: KVCache, name: str, *dims: Sized, format: Format = FLOAT32) -> Node:
        """An input of one cache."""
        if name not in cache.inputs:
            cache.inputs[name] = self.new(name, *dims, of=(), format=format)
        return cache.inputs[name]

    def cache_indices(self, cache: KVCache, name: str, numbers: int) -> tuple[Node, ...]:
        """Where in the cache each token, or each number of a token, is written; before, all went behind each other."""
        if not self.context.policy.indices:
            return ()
        return (self.cache_input(cache, f"indices of cached {name}s", (Dim.ELEMENTS, numbers), self.rows, format=INT64),)

    def mask(self, cache: KVCache) -> Node:
        """(cells, tokens): which tokens each may see."""
        word = "windowed attention mask" if cache in (self.windowed, self.near) else "attention mask"
        shape = (Dim.CELLS, cache.cells), self.rows
        if not self.casts:
            return self.cache_input(cache, word, *shape, format=FLOAT16 if self.context.flash else FLOAT32)
        if word not in cache.inputs:
            wide = self.new(f"{word} in 32 bits", *shape, of=(), format=FLOAT32)
            cache.inputs[word] = self.new(word, *shape, of=(wide,), format=FLOAT16)
        return cache.inputs[word]

    def output_rows(self, x: Node) -> Node:
        """Only the rows whose outputs are asked for."""
        self.rows = (Dim.TOKENS, self.context.outputs)
        return self.new("rows of outputs", self.hidden, self.rows, of=(x, self.output_ids()))

    def output_ids(self) -> Node:
        """Indices of the tokens whose outputs are asked for."""
        return self.input("output rows", (Dim.TOKENS, self.context.outputs), format=INT32)

    @property
    def encodes(self) -> bool:
        """Whether every token sees every other, so that nothing is cached and no token written."""
        return any(not layer.causal for layer in attentions(self.model))


def viewed(node: Node) -> Node:
    """What an operator reads turned: a view of a result; an input as it lies."""
    return view_of(node) if node.sources else node
