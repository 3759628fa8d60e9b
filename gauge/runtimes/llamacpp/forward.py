"""The forward graph of one micro-batch as the engine builds it, operator by operator.

Each function below reads like the engine's own builder of that kind of layer; the allocator (`reserve`) then says how
large the buffer must be. Layers that the engine builds in a way not written down here raise `Unwritten`.
Source: ggml-org/llama.cpp src/llama-graph.cpp, src/models/, compared with the sizes that builds b8683 to b11739 print.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

from gauge.formats import FLOAT16, FLOAT32, FORMATS, Format
from gauge.gguf.tensors import FUSED_GATES, JOINED_ATTENTION
from gauge.layers.attention import Attention
from gauge.layers.block import Layer, Residual, Stage
from gauge.layers.embedding import Embeddings
from gauge.layers.experts import Experts
from gauge.layers.latent_attention import Indexer, LatentAttention
from gauge.layers.linear_attention import GatedDeltaNet
from gauge.layers.mlp import MLP
from gauge.layers.norm import Norm
from gauge.layers.scale import LayerScale
from gauge.layers.short_convolution import ShortConvolution
from gauge.layers.state_space import Mamba1, Mamba2
from gauge.layers.together import Branch, Together
from gauge.model import Model
from gauge.runtimes.llamacpp.cache import Formats, widest_values
from gauge.runtimes.llamacpp.context import Context, attentions, reach, smaller_cells
from gauge.runtimes.llamacpp.reserve import Graph, Node, Peak, reserve, stored, view_of
from gauge.tensor import Dim, tensor
from gauge.units import round_up

INT32, INT64 = FORMATS["int32"], FORMATS["int64"]
ROTATION = 64  # side of the smallest rotation matrix; keys take the largest power of two that divides a head
REACH = 8  # blocks before one that decide where its tensors find room
Sized = tuple[Dim, int]


class Unwritten(Exception):
    """The engine builds this layer in a way that is not written down."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the graph depends on beside the model. `device`: inputs are copied from the host, where they are made."""

    context: Context
    formats: Formats
    device: bool = False


def compute_peak(model: Model, setting: Setting) -> Peak:
    """The compute buffer's highest point. Raises Unwritten."""
    forward = _Forward(model, setting)
    forward.build()
    return reserve(forward.graph)


@dataclass(eq=False)
class _Cache:
    """One cache of keys and values as a graph sees it: cells a stream and the inputs made for it on first use."""

    cells: int
    inputs: dict[str, Node] = field(default_factory=dict)


class _Forward:
    """Builds the graph; one method a builder of the engine."""

    def __init__(self, model: Model, setting: Setting) -> None:
        self.model, self.context = model, setting.context
        self.formats, self.device = setting.formats, setting.device
        self.mixed, self.casts = self.context.policy.mixed, self.context.policy.casts and self.context.flash
        self.graph = Graph()
        self.sequences = self.context.slots
        self.tokens = round_up(self.context.ubatch, self.sequences)
        self.rows: Sized = (Dim.TOKENS, self.tokens)
        self.hidden: Sized = (Dim.HIDDEN, model.hidden)
        smaller = smaller_cells(model, self.context)
        self.full = _Cache(self.tokens if self.encodes else self.context.cells)
        self.near, self.picking = _Cache(self.tokens), _Cache(self.context.cells)
        self.windowed = _Cache(smaller) if smaller and self.context.policy.windowed else None
        self.shared: dict[str, Node] = {}
        self.deep = deep_layers(model)
        self.stacked: Node | None = None
        self.best: Node | None = None
        self.some: Sized = (Dim.KEY_TOKENS, 0)

    # ---------------------------------------------------------------- operators
    def new(self, name: str, *dims: Sized, of: tuple[Node, ...], format: Format = FLOAT32, over: bool = False) -> Node:
        """A result; `dims` fastest first. `over`: it may take the place of an operand."""
        kept = [d for d in dims if d[1] > 1] or list(dims[:1])
        node = Node(tensor(name, format, *reversed(kept)), tuple(size for _, size in dims), of)
        node.over = over
        return node

    def over(self, x: Node, *others: Node) -> Node:
        """An element-wise result like its operands, in place of one that nobody else reads."""
        like = next((one for one in (x, *others) if one.tensor is not None), x)
        node = Node(like.tensor, like.shape, (x, *others))
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

    def ready(self, node: Node) -> Node:
        """Fixes a node's place in the order of computation."""
        self.graph.expand(node)
        return node

    def sink(self, *of: Node) -> None:
        """Written into a cache: needs no memory, but its operands."""
        self.graph.expand(Node(None, sources=of))

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

    # ---------------------------------------------------------------- the whole
    def build(self) -> None:
        """Inputs, every kind of block in every neighbourhood that occurs, final norm and head."""
        if len(self.model.parts) > 1 and any(p.sequence in ("source", "target") for p in self.model.parts):
            raise Unwritten("encoder-decoder")
        x = self.embedded()
        blocks = _neighbours(self.model.decoder.blocks)
        for index, block in enumerate(blocks):
            x = self.block(block, x, last=index == len(blocks) - 1)
            if index < self.deep and self.stacked is not None:
                x = self.over(x, view_of(self.stacked))
        x = self.norm(self.model.decoder.norm, x)
        if self.late:
            x.kept = True
            x = self.narrowed(x)
        if self.model.head and not self.encodes:
            rows = (Dim.TOKENS, self.context.outputs)
            x = self.new("logits", (Dim.VOCAB, self.model.vocab), rows, of=(x,))
        self.ready(x)

    def embedded(self) -> Node:
        """Rows of the table; beside them the ways that batches of vectors, or of both, would take."""
        entry = self.model.decoder.embeddings
        if not isinstance(entry, Embeddings) or entry.project is not None:
            raise Unwritten("embeddings")
        if self.device:
            return self.copied(entry)
        x = self.ready(self.looked_up("residual stream", "token ids"))
        also = self.ready(self.looked_up("tokens of a mixed batch", "token ids of a mixed batch")) if self.mixed else None
        x = self.ready(self.padded(x))
        if self.context.policy.given:
            self.ready(self.input("vectors given instead of tokens", self.given, self.rows, format=FLOAT32))
        if also is not None:
            self._mixed(self.padded(also))
        if self.deep:
            self.stacked = x
            x = view_of(x)
        typed = any(t.role == "type_embedding" for t in entry.tables)
        x = self.over(x) if typed else x
        if any(t.role == "position_embedding" for t in entry.tables):
            position = self.new("position vectors", self.hidden, self.rows, of=(self.positions(),))
            x = self.over(position, x) if self.encodes else self.over(x, position)
        if entry.scaled:
            x = self.over(x)
        return self.norm(entry.norm, x)

    @property
    def late(self) -> bool:
        """Whether the last block goes on with all rows, which speculation may want; the head narrows them."""
        family, policy = self.model.family, self.context.policy
        if family in _NARROWS_LATE_SINCE_PREDICTING:
            return policy.predicting
        return family in _NARROWS_LATE and policy.few_outputs

    @property
    def encodes(self) -> bool:
        """Whether every token sees every other, so that nothing is cached and no token written."""
        return any(not layer.causal for layer in attentions(self.model))

    @property
    def given(self) -> Sized:
        """Width of a vector that a batch may hold: a token's, and a picture's for each of the first layers."""
        return (Dim.HIDDEN, self.model.hidden * (1 + self.deep))

    def copied(self, entry: Embeddings) -> Node:
        """The host looks tokens up, a device gets the vectors."""
        if len(entry.tables) > 1 or self.deep:
            raise Unwritten("embeddings on a device")
        x = self.ready(self.input("embedded tokens", self.hidden, self.rows, format=FLOAT32))
        x = self.over(x) if entry.scaled else x
        return self.norm(entry.norm, x)

    def looked_up(self, name: str, ids: str) -> Node:
        """Rows of the table of tokens."""
        return self.new(name, self.hidden, self.rows, of=(self.input(ids, self.rows, format=INT32),))

    def padded(self, x: Node) -> Node:
        """Token vectors at the width that pictures' have."""
        name = x.tensor.name if x.tensor else ""
        return self.new(f"{name}, padded", self.given, self.rows, of=(x,)) if self.deep else x

    def _mixed(self, tokens: Node) -> None:
        """Vectors with some rows replaced by tokens': written into a copy, which is never freed."""
        slots = self.input("rows of a mixed batch", self.rows, format=INT64)
        given = self.input("vectors of a mixed batch", self.given, self.rows, format=FLOAT32)
        copy = self.new("copy for a mixed batch", self.given, self.rows, of=(given,))
        self.ready(view_of(copy, tokens, slots))

    def positions(self) -> Node:
        """One position a token, four where pictures have rows and columns."""
        several = 4 if self.model.family.startswith(_ROWS_AND_COLUMNS) else 1
        return self.input("positions", (Dim.COPIES, several), self.rows, format=INT32)

    # ---------------------------------------------------------------- blocks
    def block(self, block: Stage, x: Node, last: bool) -> Node:
        """Branches one after the other, or side by side; the last block goes on with the rows that are asked for."""
        if getattr(block, "parallel", False):
            return self.side_by_side(block, x, last)
        for index, step in enumerate(block.steps):
            x = self.step(step, x, last and index == 0 and not self.late)
        return x

    def step(self, step: Residual, x: Node, narrows: bool) -> Node:
        """x + post(body(pre(x)))."""
        branch = self.body(step.body, x, step.pre)
        sums = self.model.family in _NARROWS_SUM
        if narrows and not sums:
            branch, x = self.narrowed(branch), self.narrowed(x)
        branch = self.post(step.post, branch)
        first = self.model.family in _STREAM_FIRST or (isinstance(step.body, MLP) and self.model.family in _STREAM_FIRST_IN_MLP)
        x = self.over(x, branch) if first else self.over(branch, x)
        x = self.narrowed(x) if narrows and sums else x
        return self.norm(step.after, x) if step.after else x

    def post(self, post: Norm | LayerScale | None, x: Node) -> Node:
        """What is applied to a branch before it joins the stream."""
        if isinstance(post, LayerScale):
            return self.over(x)
        return self.norm(post, x)

    def narrowed(self, x: Node) -> Node:
        """Only the rows whose outputs are asked for."""
        outputs = self.context.outputs
        ids = self.input("output rows", (Dim.TOKENS, outputs), format=INT32)
        self.rows = (Dim.TOKENS, outputs)
        return self.new("rows of outputs", self.hidden, self.rows, of=(x, ids))

    def side_by_side(self, block: Stage, x: Node, last: bool) -> Node:
        """Attention and MLP from one input; which two are added first differs by family."""
        mixer, mlp = (_only(block.steps, True), _only(block.steps, False))
        normed = self.norm(mixer.pre, x)
        mixed = self.mix(mixer.body, normed)
        if last:
            mixed, x = self.narrowed(mixed), self.narrowed(x)
            normed = normed if mlp.pre else self.narrowed(normed)
        inner = self.feed(mlp.body, self.norm(mlp.pre, x) if mlp.pre else normed)
        if self.model.family == "falcon":
            return self.over(self.over(inner, mixed), x)
        if self.model.family in ("phi", "phi-msft"):
            return self.over(self.over(mixed, inner), x)
        return self.over(self.over(inner, x), mixed)

    def body(self, body: Layer, x: Node, pre: Norm | None) -> Node:
        """A mixing layer or a feed-forward one, behind its norm."""
        if isinstance(body, Together):
            return self.together(body, x, pre)
        if isinstance(body, (MLP, Experts)):
            return self.feed(body, self.norm(pre, x))
        return self.mix(body, self.norm(pre, x), pre, x)

    def together(self, body: Together, x: Node, pre: Norm | None) -> Node:
        """Attention beside a state space: each norms the input for itself."""
        kinds = [type(b.body) for b in body.branches]
        if kinds == [MLP, Experts]:
            return self.beside_experts(body.branches[0], body.branches[1], x)
        if set(kinds) != {Attention, Mamba2}:
            raise Unwritten("branches of " + ", ".join(k.__name__ for k in kinds))
        attention, scan = (next(b for b in body.branches if isinstance(b.body, k)) for k in (Attention, Mamba2))
        first = self.mix(attention.body, self.norm(pre, x))
        second = self.scan2(scan.body, lambda: self.norm(pre, x))  # type: ignore[arg-type]
        return self.over(first, second)

    def beside_experts(self, plain: Branch, several: Branch, x: Node) -> Node:
        """An MLP and experts, each between norms of its own; the router norms the stream for itself, without weights."""
        if not isinstance(plain.body, MLP) or not isinstance(several.body, Experts) or not plain.post:
            raise Unwritten("branches")
        normed = self.new("normed stream of the router", self.hidden, self.rows, of=(x,), over=True)
        routed = self.routed(several.body, self.over(self.over(normed)))
        total = self.chosen(several.body, self.norm(several.pre, x), *routed)
        inner = self.norm(plain.post, self.mlp(plain.body, self.norm(plain.pre, x)))
        return self.over(inner, self.norm(several.post, total))

    def mix(self, body: Layer, x: Node, pre: Norm | None = None, stream: Node | None = None) -> Node:
        """Attention or recurrence over the normed stream."""
        if isinstance(body, Attention):
            return self.attention(body, x)
        if isinstance(body, LatentAttention):
            return self.latent(body, x)
        if isinstance(body, Mamba1):
            return self.scan1(body, lambda: x)
        if isinstance(body, Mamba2):
            return self.scan2(body, lambda: x)
        if isinstance(body, ShortConvolution):
            return self.short(body, x)
        if isinstance(body, GatedDeltaNet):
            return self.delta(body, x)
        raise Unwritten(type(body).__name__)

    # ---------------------------------------------------------------- attention
    def attention(self, layer: Attention, x: Node) -> Node:
        """Projections, norms, rotation, the cache, scores, and the way back."""
        _check(layer)
        heads, keys = (Dim.HEADS, layer.heads), (Dim.KV_HEADS, layer.kv_heads)
        cache = self.windowed if self.windowed and reach(layer) is not None else self.full
        q, k, v = self.projections(layer, x)
        joined = q
        q = self.turned(layer, "queries", q, heads, 0)
        k = self.turned(layer, "keys", k, keys, 1)
        if layer.value_norm:
            v = self.reshaped("values", v, (Dim.VALUE_HEAD, layer.values_head), keys, self.rows)
        turn_keys, turn_values = self.rotations(layer, cache) if layer.causal else (None, None)
        if turn_keys:
            q, k = self.rotated("queries", q, turn_keys, heads, layer.head), self.rotated("keys", k, turn_keys, keys, layer.head)
        if turn_values:
            v = self.rotated("values", v, turn_values, keys, layer.values_head)
        if not layer.causal:
            return self.encoded(layer, q, k, v)
        for one in (q, k, v) if self.windowed else (q, v, k):
            self.ready(one)
        self.sink(view_of(k), *self.index(cache, "key", 1))
        self.sink(view_of(v), *self.index(cache, "value", 1 if self.context.flash else self.widest_value))
        out = self.ready(self.attended(layer, q, cache))
        if turn_values:
            out = self.rotated("attention output", out, turn_values, heads, layer.values_head)
        out = view_of(out)
        if layer.gate:
            width = (Dim.HEADS, layer.heads * layer.values_head)
            out = self.over(out, self.over(self.new("gate of the output", width, self.rows, of=(view_of(joined),))))
        return self.linear("attention branch", self.hidden, out, layer.out_bias)

    @property
    def widest_value(self) -> int:
        """Numbers of a token's values in the widest layer: the rows of a transposed cache."""
        return widest_values(self.model)

    def projections(self, layer: Attention, x: Node) -> tuple[Node, Node, Node]:
        """Queries, keys and values, as one matrix or three."""
        key, value = (Dim.KV_HEADS, layer.kv_heads * layer.head), (Dim.KV_HEADS, layer.kv_heads * layer.values_head)
        query = (Dim.HEADS, layer.heads * layer.head * (2 if layer.gate == "query" else 1))
        if layer.fused or self.model.family in JOINED_ATTENTION:
            width = (Dim.ELEMENTS, prod(query[1:]) + key[1] + value[1])
            joined = self.linear("queries, keys and values", width, x, layer.qkv_bias)
            return view_of(joined), view_of(joined), view_of(joined)
        bias = layer.qkv_bias if layer.key_bias is None else layer.key_bias
        q, k = self.linear("queries", query, x, layer.qkv_bias), self.linear("keys", key, x, bias)
        return q, k, k if layer.value_from_key else self.linear("values", value, x, layer.qkv_bias)

    def turned(self, layer: Attention, name: str, x: Node, heads: Sized, which: int) -> Node:
        """Norms over a head or over all heads, before or after the rotation by position."""
        shape = ((Dim.HEAD, layer.head), heads, self.rows)
        norm = layer.norm(which) if layer.norms else None
        if norm and layer.norms == "full":
            x = self.norm(norm, x, name, ((Dim.HEAD, layer.head * heads[1]), self.rows)) if layer.fused else self._joint(norm, x)
            norm = None
        if norm and not layer.norm_after_rotary:
            x = self.norm(norm, x, name, shape)
            return self.over(x, self.positions()) if layer.rotary else x
        if which == 0 and not layer.rotary and self.model.family in _TEMPERED:
            scale = self.input("temperature of queries", self.rows, format=FLOAT32)
            return self.new(name, *shape, of=(view_of(x), scale), over=True)
        if layer.rotary:
            x = self.new(name, *shape, of=(view_of(x), self.positions()), over=True)
            return self._plain(norm, x) if norm else x
        return self.norm(norm, x, name, shape) if norm else x

    def _joint(self, norm: Norm, x: Node) -> Node:
        made = Node(x.tensor, x.shape, (x,))
        made.over = norm.kind != "layer"
        for _ in norm.weights():
            made = self.over(made)
        return made

    def _plain(self, norm: Norm, x: Node) -> Node:
        return self._joint(norm, x)

    def rotations(self, layer: Attention, cache: _Cache) -> tuple[Node | None, Node | None]:
        """Matrices that spread a head's numbers before they are cached in blocks."""
        if not self.context.policy.rotates:
            return None, None
        found: list[Node | None] = []
        for name, head, form in (("key", layer.head, self.formats.key), ("value", layer.values_head, self.formats.value)):
            side = ROTATION
            while name == "key" and head % (2 * side) == 0:
                side *= 2
            turns = form.values > 1 and head % ROTATION == 0
            found.append(self.once(cache, f"rotation of {name}s", (Dim.HEAD, side), (Dim.HEAD, side)) if turns else None)
        return found[0], found[1]

    def once(self, cache: _Cache, name: str, *dims: Sized, format: Format = FLOAT32) -> Node:
        """An input of one cache."""
        if name not in cache.inputs:
            cache.inputs[name] = self.new(name, *dims, of=(), format=format)
        return cache.inputs[name]

    def rotated(self, name: str, x: Node, matrix: Node, heads: Sized, head: int) -> Node:
        """Every head times the matrix."""
        shape = ((Dim.HEAD, head), heads, self.rows)
        source = x
        if x.base is not None and not x.stored and x.shape == ():
            source = x if _whole(x) else self.new(f"{name}, gathered", *shape, of=(x,))
        made = self.new(f"{name}, spread", *shape, of=(matrix, view_of(source)))
        return view_of(made)

    def index(self, cache: _Cache, name: str, numbers: int) -> tuple[Node, ...]:
        """Where in the cache each token, or each number of a token, is written; before, all went behind each other."""
        if not self.context.policy.indices:
            return ()
        return (self.once(cache, f"indices of cached {name}s", (Dim.ELEMENTS, numbers), self.rows, format=INT64),)

    def mask(self, cache: _Cache) -> Node:
        """(cells, tokens): which tokens each may see."""
        word = "windowed attention mask" if cache in (self.windowed, self.near) else "attention mask"
        shape = (Dim.CELLS, cache.cells), self.rows
        if not self.casts:
            return self.once(cache, word, *shape, format=FLOAT16 if self.context.flash else FLOAT32)
        if word not in cache.inputs:
            wide = self.new(f"{word} in 32 bits", *shape, of=(), format=FLOAT32)
            cache.inputs[word] = self.new(word, *shape, of=(wide,), format=FLOAT16)
        return cache.inputs[word]

    def attended(self, layer: Attention, q: Node, cache: _Cache) -> Node:
        """One fused operator; or scores, softmax in their place, product and a copy in token order."""
        heads = (Dim.HEADS, layer.heads)
        out = ((Dim.HEAD, layer.values_head), heads, self.rows)
        if self.context.flash:
            read = [q, *self.converted(layer, cache), self.mask(cache)]
            return self.new("attention output", *out, of=tuple(_viewed(n) for n in read))
        scores = self.new("attention scores", (Dim.CELLS, cache.cells), self.rows, heads, of=(view_of(q),))
        scores = self.over(scores, self.mask(cache))
        product = self.new("attention output by heads", (Dim.HEAD, layer.values_head), self.rows, heads, of=(scores,))
        return self.new("attention output", *out, of=(view_of(product),))

    def encoded(self, layer: Attention, q: Node, k: Node, v: Node) -> Node:
        """Every token against every other, without a cache; the fused operator wants keys and values in 16 bits."""
        for one in (q, k, v):
            self.ready(one)
        heads, head = (Dim.HEADS, layer.heads), (Dim.HEAD, layer.head)
        mask = self.full if reach(layer) is None else self.near
        if self.context.flash:
            both = [("keys", k), ("values", v)]
            read = [self.new(f"{n} in 16 bits", head, self.rows, heads, of=(_viewed(x),), format=FLOAT16) for n, x in both]
            out = self.new("attention output", head, heads, self.rows, of=(_viewed(q), *read, self.mask(mask)))
        else:
            turned = self.new("values, transposed", self.rows, head, heads, of=(_viewed(v),))
            seen = (Dim.KEY_TOKENS, self.tokens)
            scores = self.new("attention scores", seen, self.rows, heads, of=(_viewed(k), _viewed(q)))
            scores = self.over(scores, self.mask(mask))
            product = self.new("attention output by heads", head, self.rows, heads, of=(turned, scores))
            out = self.new("attention output", head, heads, self.rows, of=(view_of(product),))
        return self.linear("attention branch", self.hidden, view_of(self.ready(out)), layer.out_bias)

    def converted(self, layer: Attention, cache: _Cache) -> list[Node]:
        """32-bit caches are converted for the fused operator, all cells of them."""
        made = []
        cells = (Dim.CELLS, cache.cells * self.context.streams)
        for name, head, form in (("keys", layer.head, self.formats.key), ("values", layer.values_head, self.formats.value)):
            if form is FLOAT32:
                shape = ((Dim.HEAD, head), cells, (Dim.KV_HEADS, layer.kv_heads))
                made.append(self.new(f"cached {name} in 16 bits", *shape, of=(stored(),), format=FLOAT16))
        return made

    def latent(self, layer: LatentAttention, x: Node) -> Node:
        """Queries brought into the latent space, one cached vector a token, and values brought back."""
        if (
            (layer.indexer and not self.context.policy.picks)
            or layer.gate
            or layer.nope_only
            or not self.context.policy.latent
            or self.context.policy.latent_values
        ):
            raise Unwritten("latent attention with extras")
        heads, rank = (Dim.HEADS, layer.heads), (Dim.LATENT, layer.kv_rank)
        if layer.indexer:
            self.indexed(layer.indexer, x)
        if layer.query_rank:
            low = self.new("low-rank queries", (Dim.RANK, layer.query_rank), self.rows, of=(x,))
            low = self.over(self.over(low))
            x_query = low
        else:
            x_query = x
        q = self.new("queries", (Dim.HEADS, layer.heads * (layer.nope + layer.rope)), self.rows, of=(x_query,))
        absorbed = self.new("queries in latent width", rank, self.rows, heads, of=(view_of(q),))
        turned = self.new("rotated queries", (Dim.HEAD, layer.rope), heads, self.rows, of=(view_of(q), self.positions()))
        wide = (Dim.LATENT, layer.kv_rank + layer.rope)
        query = self.new("queries, joined", wide, heads, self.rows, of=(view_of(absorbed), turned))
        low_kv = self.new("latent and rotated keys", wide, self.rows, of=(x,))
        normed = view_of(self.over(self.new("latents", rank, self.rows, of=(view_of(low_kv),))))
        rope = self.new("rotated keys", (Dim.HEAD, layer.rope), self.rows, of=(view_of(low_kv), self.positions()))
        key = self.new("latents, joined", wide, self.rows, of=(normed, rope))
        for one in (query, normed, key):
            self.ready(one)
        self.sink(view_of(key), *self.index(self.full, "key", 1))
        if layer.indexer:
            self.best = self.picked_tokens(layer.indexer, x, x_query)
        mask = self.mask(self.full) if self.best is None else self.narrowed_mask(self.best)
        return self.linear("attention branch", self.hidden, view_of(self.ready(self.latent_out(layer, query, mask))))

    def indexed(self, indexer: Indexer, x: Node) -> None:
        """The indexer's one key a token: normed, rotated, spread by a fixed matrix, cached."""
        head = (Dim.HEAD, indexer.head)
        key = self.over(self.new("keys of the indexer", head, self.rows, of=(x,)))
        key = self.over(self.over(self.new("keys of the indexer, normed", head, self.rows, of=(key,))))
        turned = self.reshaped("rotated keys of the indexer", key, head, (Dim.KV_HEADS, 1), self.rows)
        turned.sources += (self.positions(),)
        spread = self.input("matrix of the indexer", head, head, format=FLOAT32)
        key = self.new("keys of the indexer, spread", head, (Dim.KV_HEADS, 1), self.rows, of=(spread, turned))
        self.sink(view_of(key), self.once(self.picking, "indices of the indexer's keys", self.rows, format=INT64))

    def picked_tokens(self, indexer: Indexer, x: Node, low: Node) -> Node:
        """The tokens that this layer, and those behind it without an indexer, read."""
        cells, head, heads = (Dim.CELLS, self.full.cells), (Dim.HEAD, indexer.head), (Dim.GROUPS, indexer.heads)
        self.some = (Dim.KEY_TOKENS, min(indexer.top, self.full.cells))
        query = self.new("queries of the indexer", (Dim.GROUPS, indexer.heads * indexer.head), self.rows, of=(low,))
        turned = self.reshaped("rotated queries of the indexer", query, head, heads, self.rows)
        turned.sources += (self.positions(),)
        spread = self.input("matrix of the indexer", head, head, format=FLOAT32)
        query = self.new("queries of the indexer, spread", head, heads, self.rows, of=(spread, turned))
        weights = self.reshaped("weights of the indexer", self.new("weights", heads, self.rows, of=(x,)), heads, self.rows)
        allowed = self.once(self.picking, "mask of the indexer", cells, self.rows, format=FLOAT16)
        scores = self.new("scores of the indexer", cells, self.rows, of=(view_of(query), stored(), weights, allowed))
        best = self.new("tokens picked, unordered", self.some, self.rows, of=(scores,), format=INT32)
        return self.new("tokens picked", self.some, self.rows, of=(best,), format=INT32)

    def narrowed_mask(self, best: Node) -> Node:
        """The mask without the tokens that were not picked: closed everywhere, then zeros written where they were."""
        nothing = self.over(self.new("nothing for the picked", (Dim.ELEMENTS, 1), self.some, self.rows, of=()))
        mask = self.mask(self.full)
        return self.over(view_of(self.over(mask), nothing, view_of(best)), mask)

    def latent_out(self, layer: LatentAttention, query: Node, mask: Node) -> Node:
        """Attention over latents, then each head's values from its latent."""
        heads, rank = (Dim.HEADS, layer.heads), (Dim.LATENT, layer.kv_rank)
        value = (Dim.VALUE_HEAD, layer.value_head)
        if self.context.flash:
            attended = self.new("attention output in latent width", rank, heads, self.rows, of=(view_of(query), mask))
        else:
            cells = (Dim.CELLS, self.full.cells)
            turned = self.new("cached latents, transposed", cells, rank, of=(stored(),), format=self.formats.key)
            scores = self.new("attention scores", cells, self.rows, heads, of=(view_of(query),))
            scores = self.over(scores, mask)
            attended = self.new("attention output in latent width", rank, self.rows, heads, of=(turned, scores))
        back = self.new("values by heads", value, self.rows, heads, of=(_viewed(attended) if self.context.flash else attended,))
        return self.new("attention output", value, heads, self.rows, of=(view_of(back),))

    # ---------------------------------------------------------------- feed-forward
    def feed(self, body: Layer, x: Node) -> Node:
        """An MLP, or experts with the one that every token passes."""
        if isinstance(body, MLP):
            return self.mlp(body, x)
        if isinstance(body, Experts):
            return self.experts(body, x)
        raise Unwritten(type(body).__name__)

    def mlp(self, layer: MLP, x: Node) -> Node:
        """Gate and up, their product, and down; without a gate the nonlinearity works in place."""
        inner = (Dim.FFN, layer.inner)
        if layer.gated and layer.fused and self.model.family in FUSED_GATES:
            both = self.new("MLP gate and up", (Dim.FFN, 2 * layer.inner), self.rows, of=(x,))
            product = self.new("MLP product", inner, self.rows, of=(both,))
        elif layer.gated:
            gate = self.linear("MLP gate", inner, x, layer.bias)
            product = self.new("MLP product", inner, self.rows, of=(gate, self.linear("MLP up", inner, x, layer.bias)))
        else:
            product = self.over(self.linear("MLP inner values", inner, x, layer.bias))
        bias = layer.bias if layer.out_bias is None else layer.out_bias
        return self.linear("MLP branch", self.hidden, product, bias)

    def experts(self, layer: Experts, x: Node) -> Node:
        """Router, the chosen experts' rows, their weighted sum, the shared expert."""
        if layer.latent or layer.scale or layer.spare:
            raise Unwritten("experts with extras")
        return self.with_shared(layer, x, self.chosen(layer, x, *self.routed(layer, x)))

    def chosen(self, layer: Experts, x: Node, index: Node, weights: Node) -> Node:
        """The chosen experts' weighted sum."""
        active, inner = (Dim.ACTIVE_EXPERTS, layer.router.active), (Dim.FFN, layer.inner)
        source = view_of(x)
        if self.model.family in _WEIGHTED_FIRST:
            repeated = self.new("repeated inputs of experts", self.hidden, active, self.rows, of=(source,))
            source = self.over(repeated, weights)
        up = self.picked("expert up", (inner, active, self.rows), (source, index), layer.bias)
        product = self.over(up)
        if layer.gated:
            gate = self.picked("expert gate", (inner, active, self.rows), (source, index), layer.bias)
            product = self.new("expert product", inner, active, self.rows, of=(gate, up))
        rows = self.picked("expert outputs", (self.hidden, active, self.rows), (product, index), layer.bias)
        if self.model.family not in _WEIGHTED_FIRST:
            rows = self.over(rows, weights)
        return self.summed(self.ready(rows), layer.router.active)

    def picked(self, name: str, dims: tuple[Sized, ...], of: tuple[Node, ...], bias: bool) -> Node:
        """A product with each token's chosen experts."""
        made = self.new(name, *dims, of=of)
        return self.over(made, of[-1]) if bias else made

    def routed(self, layer: Experts, x: Node) -> tuple[Node, Node]:
        """Indices of the chosen experts, and their weights."""
        router = layer.router
        late = router.scores == "chosen" and self.model.family in _SOFTMAX_OF_CHOSEN
        every, chosen = (Dim.EXPERTS, router.experts), (Dim.ACTIVE_EXPERTS, router.active)
        logits = self.linear("router logits", every, x, router.bias)
        probabilities = logits if late else self.over(logits)
        steered = (
            self.new("steered scores", every, self.rows, of=(probabilities,), over=True) if router.correction else probabilities
        )
        order = self.new("experts in order", every, self.rows, of=(steered,), format=INT32)
        index = view_of(order)
        weights = self.new("expert weights", chosen, self.rows, of=(view_of(probabilities), index))
        if late:
            weights = self.new("expert weights", chosen, self.rows, of=(view_of(weights),))
        elif router.normalised or router.scores == "chosen":
            flat = view_of(weights)
            total = self.over(self.new("sum of expert weights", (Dim.LABELS, 1), self.rows, of=(flat,)))
            weights = view_of(self.new("expert weights", chosen, self.rows, of=(flat, total)))
        if self.model.config.get("routed_scaling_factor") not in (None, 0, 1):
            weights = self.new("expert weights", chosen, self.rows, of=(weights,), over=True)
        self.ready(weights)
        return index, view_of(weights)

    def summed(self, rows: Node, count: int) -> Node:
        """Added up one after the other; a single one is copied."""
        parts = [self.ready(view_of(rows)) for _ in range(count)]
        if count == 1:
            return self.new("experts' sum", self.hidden, self.rows, of=(parts[0],))
        total = self.ready(self.new("experts' sum", self.hidden, self.rows, of=(parts[0], parts[1])))
        for one in parts[2:]:
            total = self.ready(self.over(total, one))
        return total

    def with_shared(self, layer: Experts, x: Node, total: Node) -> Node:
        """Plus what every token passes through, which a gate may scale."""
        if layer.shared is None:
            return total
        shared = self.mlp(layer.shared, x)
        if layer.shared_gate:
            shared = self.over(shared, self.over(self.new("shared expert's gate", (Dim.LABELS, 1), self.rows, of=(x,))))
        return self.over(total, shared)

    # ---------------------------------------------------------------- recurrence
    def states(self, name: str, *dims: Sized) -> Node:
        """Every sequence's state, gathered from the cache."""
        ids = self.input("slots of states", (Dim.SLOTS, self.sequences), format=INT32)
        made = self.ready(self.new(name, *dims, (Dim.SLOTS, self.sequences), of=(ids,)))
        return view_of(made)

    def filtered(self, channels: int, taps: int, signal: Node, bias: bool, silu: bool = True) -> Node:
        """The short convolution over the last inputs and the new ones."""
        width = (Dim.INNER, channels)
        before = self.pending
        joined = self.new(
            "convolution input", (Dim.TOKENS, self.tokens + (taps - 1) * self.sequences), width, of=(before, view_of(signal))
        )
        self.sink(view_of(joined))
        made = self.new("convolution output", width, self.rows, of=(joined,))
        made = self.over(made) if bias else made
        return self.over(made) if silu else made

    def gathered(self, channels: int, taps: int) -> None:
        """The convolution's last inputs."""
        self.pending = self.states("last inputs of the convolution", (Dim.CONV, taps - 1), (Dim.INNER, channels))

    def scan2(self, layer: Mamba2, normed: Callable[[], Node]) -> Node:
        """Mamba 2: one product for everything, convolution, scan, gate, norm, way back."""
        self.gathered(layer.filtered, layer.taps)
        inner = ((Dim.HEAD, layer.head), (Dim.HEADS, layer.heads), self.rows)
        both = self.new("gate, signal, B, C and steps", (Dim.INNER, layer.into.out[0][1]), self.rows, of=(normed(),))
        signal = self.filtered(layer.filtered, layer.taps, both, layer.conv_bias)
        steps = self.over(self.new("steps", (Dim.HEADS, layer.heads), self.rows, of=(view_of(both),)))
        scanned = self.scanned(layer.inner, layer.state_size, (view_of(signal), steps, view_of(signal), view_of(signal)))
        gate = self.new("gate", *inner, of=(view_of(both),))
        skip = self.new("skipped signal", *inner, of=(view_of(signal),), over=True)
        product = self.new("gated scan", *inner, of=(gate, self.new("scan", *inner, of=(view_of(scanned), skip), over=True)))
        if layer.gated_norm:
            groups = ((Dim.INNER, layer.inner // layer.groups), (Dim.GROUPS, layer.groups), self.rows)
            product = self.norm(Norm("norm", layer.inner), product, "gated scan, normed", groups)
        return self.linear("recurrent branch", self.hidden, view_of(product), layer.bias)

    def scanned(self, inner: int, state: int, of: tuple[Node, ...]) -> Node:
        """Outputs of all tokens and, behind them, every sequence's new state."""
        ids = view_of(self.input("slots of states", (Dim.SLOTS, self.sequences), format=INT32))
        rows = self.tokens + state * self.sequences
        made = self.new("scan and new states", (Dim.INNER, inner), (Dim.TOKENS, rows), of=(*of, ids))
        self.ready(made)
        self.sink(view_of(made))
        return made

    def scan1(self, layer: Mamba1, normed: Callable[[], Node]) -> Node:
        """Mamba 1: the step goes through a bottleneck; the scan runs over every channel."""
        self.gathered(layer.inner, layer.taps)
        width = (Dim.INNER, layer.inner)
        both = self.new("signal and gate", (Dim.INNER, 2 * layer.inner), self.rows, of=(view_of(normed()),))
        signal = self.filtered(layer.inner, layer.taps, both, layer.conv_bias)
        picked = self.new("step, B and C", (Dim.STATE, layer.rank + 2 * layer.state_size), self.rows, of=(signal,))
        rank, state = (Dim.RANK, layer.rank), (Dim.STATE, layer.state_size)
        low = self.new("steps in low rank", rank, self.rows, of=(view_of(picked),))
        chosen = [view_of(picked), view_of(picked)]
        if layer.inner_norms:
            low = self.over(low) if layer.inner_norms == "weighted" else low
            chosen = [self.new(name, state, self.rows, of=(view_of(picked),)) for name in ("B, normed", "C, normed")]
            chosen = [self.over(one) for one in chosen] if layer.inner_norms == "weighted" else chosen
        steps = self.over(self.new("steps", width, self.rows, of=(low,)))
        scanned = self.scanned(layer.inner, layer.state_size, (view_of(signal), steps, *chosen))
        gate = self.new("gate", width, self.rows, of=(view_of(both),))
        total = self.new("scan", width, self.rows, of=(view_of(scanned), self.over(signal)), over=True)
        product = self.new("gated scan", width, self.rows, of=(gate, total))
        return view_of(self.linear("recurrent branch", self.hidden, product, layer.bias))

    def short(self, layer: ShortConvolution, x: Node) -> Node:
        """LFM 2: signal times gate, convolution, times the other gate."""
        self.gathered(layer.hidden, layer.taps)
        both = self.new("signal and gates", (Dim.HIDDEN, 3 * layer.hidden), self.rows, of=(view_of(x),))
        product = self.new("gated signal", self.hidden, self.rows, of=(view_of(both), view_of(both)))
        signal = self.filtered(layer.hidden, layer.taps, product, False, silu=False)
        gated = self.new("gated convolution", self.hidden, self.rows, of=(view_of(both), signal), over=True)
        return view_of(self.linear("recurrent branch", self.hidden, gated))

    def delta(self, layer: GatedDeltaNet, x: Node) -> Node:
        """Gated delta net: convolution over queries, keys and values, one fused rule, gated norm, way back."""
        if layer.split not in ("fused", "parts"):
            raise Unwritten("delta net with projections of its own")
        self.ready(x)
        self.gathered(layer.filtered, layer.taps)
        both = self.new("queries, keys and values", (Dim.INNER, layer.filtered), self.rows, of=(x,))
        signal = self.filtered(layer.filtered, layer.taps, both, False)
        square = ((Dim.HEAD, layer.key_head), (Dim.VALUE_HEAD, layer.value_head), (Dim.HEADS, layer.value_heads))
        before = self.states("recurrent states", *square)
        query, key = (self._keyed(layer, name, signal) for name in ("queries", "keys"))
        decay, step = self._gates(layer, x)
        rows = (Dim.TOKENS, self.tokens + layer.key_head * self.sequences)
        sources = (query, key, view_of(signal), decay, step, before)
        ruled = self.new("rule's output and new states", (Dim.INNER, layer.values), rows, of=sources)
        self.sink(view_of(ruled))
        return self._gated(layer, x, ruled)

    def _keyed(self, layer: GatedDeltaNet, name: str, signal: Node) -> Node:
        """Queries or keys of unit length; repeated for every value head where the rule is not told to share them."""
        size = (Dim.HEAD, layer.key_head)
        made = self.over(self.new(name, size, (Dim.HEADS, layer.key_heads), self.rows, of=(view_of(signal),)))
        if layer.split == "parts" or layer.key_heads == layer.value_heads:
            return made
        return view_of(self.new(f"{name}, repeated", size, (Dim.HEADS, layer.value_heads), self.rows, of=(view_of(made),)))

    def _gates(self, layer: GatedDeltaNet, x: Node) -> tuple[Node, Node]:
        """Decay and step of every value head."""
        heads = (Dim.HEADS, layer.value_heads)
        if layer.split == "fused":
            joined = self.new("decay and step", (Dim.HEADS, 2 * layer.value_heads), self.rows, of=(x,))
            decay, step = (self.new(name, heads, self.rows, of=(view_of(joined),)) for name in ("decay", "step"))
            return view_of(self.over(decay)), view_of(self.over(step))
        decay, step = (self.new(name, heads, self.rows, of=(x,)) for name in ("decay", "step"))
        return (
            view_of(self.over(self.reshaped("decay", decay, heads, self.rows))),
            self.reshaped("step", step, heads, self.rows),
        )

    def _gated(self, layer: GatedDeltaNet, x: Node, ruled: Node) -> Node:
        """Normed by heads, times the gate, back to the stream's width."""
        heads = ((Dim.HEAD, layer.value_head), (Dim.HEADS, layer.value_heads), self.rows)
        normed = self.norm(layer.norm, ruled, "rule's output, normed", heads)
        gate = self.new("gate", (Dim.INNER, layer.values), self.rows, of=(x,))
        product = self.over(normed, self.reshaped("gate", gate, *heads))
        return view_of(self.linear("recurrent branch", self.hidden, view_of(product)))


# Families whose last block goes on with all rows, as speculation may want them.
_NARROWS_LATE = frozenset({"gemma4", "gemma4_text", "hy_v3", "nemotron_h", "qwen3_5", "qwen3_5_text"})
_NARROWS_LATE |= frozenset({"qwen3_5_moe", "qwen3_5_moe_text", "qwen3_next", "step3p5", "step3p7", "step3p7_text"})
_NARROWS_LATE_SINCE_PREDICTING = frozenset({"gpt_oss"})
_NARROWS_SUM = frozenset({"falcon_h1"})
_STREAM_FIRST = frozenset({"lfm2", "lfm2_moe", "jamba"})  # which operand of a sum comes first decides whose place it takes
_STREAM_FIRST_IN_MLP = frozenset({"phi3"})
_SOFTMAX_OF_CHOSEN = frozenset({"gpt_oss"})
_ROWS_AND_COLUMNS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5")
_TEMPERED = frozenset({"llama4", "llama4_text"})  # queries without positions are scaled by how far they look back
_WEIGHTED_FIRST = frozenset({"llama4", "llama4_text"})


def deep_layers(model: Model) -> int:
    """How many of the first layers add vectors of pictures to the stream (DeepStack)."""
    vision = model.config.get("vision_config")
    listed = vision.get("deepstack_visual_indexes") if isinstance(vision, dict) else None
    return len(listed) if isinstance(listed, list) and model.family.startswith("qwen3_vl") else 0


def _check(layer: Attention) -> None:
    """Raises Unwritten for attention with parts that the engine builds in its own way."""
    if layer.cross or layer.gate not in ("", "query") or layer.borrows or layer.relative_buckets or layer.shared_bias:
        raise Unwritten("attention with extras")


def _viewed(node: Node) -> Node:
    return node if not node.sources else view_of(node)


def _whole(node: Node) -> bool:
    """Whether a view covers its base: only views of joined projections do not."""
    base = node.base
    return base is None or base.tensor is None or base.tensor.name != "queries, keys and values"


def _only(steps: tuple[Residual, ...], mixes: bool) -> Residual:
    found = [s for s in steps if isinstance(s.body, (MLP, Experts)) is not mixes]
    if len(found) != 1:
        raise Unwritten("branches side by side")
    return found[0]


def _picks(blocks: tuple[Stage, ...]) -> bool:
    """Whether tokens are picked: every block then brings a constant of its own."""
    return any(isinstance(step.body, LatentAttention) and step.body.indexer for block in blocks for step in block.steps)


def _neighbours(blocks: tuple[Stage, ...]) -> list[Stage]:
    """The blocks without those whose kind, and whose neighbours' kinds, stood there before: they change nothing."""
    if _picks(blocks):
        return list(blocks)
    seen: set[tuple[int, ...]] = set()
    kept = []
    for i, block in enumerate(blocks):
        key = tuple(id(b) for b in blocks[max(i - REACH, 0) : i + 2])
        if key not in seen or i == len(blocks) - 1:
            kept.append(block)
        seen.add(key)
    return kept
