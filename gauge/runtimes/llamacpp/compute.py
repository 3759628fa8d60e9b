"""The compute buffer: one scratch area, sized for the worst graph of one micro-batch, not summed over layers.

Where the whole model runs on a processor the engine's own graph is laid out again (`graph`, `reserve`), which gives
the size that it prints. Elsewhere, and for layers that are not written down there, phases stand for the graph:
feed-forward, attention, recurrent block, logits. In each, a few wide tensors and some of the residual stream's width
live at once; the buffer is the largest phase, with the attention mask and the small inputs that live throughout. Every
size is a tensor with named dimensions; how many residual-wide ones ggml's allocator cannot reuse was read off the sizes
that real builds print (b5353 to b11549, CPU backend; published logs for GPUs), and is the part that differs between
versions (`policies`) and backends.
Source: ggml-org/llama.cpp src/llama-graph.cpp, ggml/src/ggml-alloc.c; printed sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from gauge.formats import FLOAT16, FLOAT32, FORMATS, Format
from gauge.layers.attention import Attention
from gauge.layers.block import Stage
from gauge.layers.experts import Experts
from gauge.layers.latent_attention import LatentAttention
from gauge.layers.linear_attention import GatedDeltaNet
from gauge.layers.mlp import MLP
from gauge.layers.state_space import Mamba1, Mamba2
from gauge.model import Model
from gauge.runtimes.llamacpp.cache import Formats
from gauge.runtimes.llamacpp.context import Context, attentions, smaller_cells
from gauge.runtimes.llamacpp.graph.builder import Setting, Unwritten
from gauge.runtimes.llamacpp.graph.forward import compute_peak
from gauge.tensor import Dim, Extent, Tensor, extent, tensor, total_bytes

Backend = Literal["cpu", "gpu"]
INT64 = FORMATS["int64"]
INT32 = FORMATS["int32"]
SMALL_INPUTS = 10  # numbers a token: ids, positions, sequence and output indices
GPU_FEED_EXTRA = 3  # Qwen3.x 27B with few outputs: 132 MiB at 512 tokens, CUDA, 2026
GPU_ATTENTION_EXTRA = 4  # Llama 3 70B and Phi-3-mini without flash attention, CUDA, 2024 and 2025
GPU_LOGITS_EXTRA = 2  # Qwen3 32B and 235B, CUDA, 2025
UNFUSED_FEED_EXTRA = 5  # gemma-3-1b without flash attention, b9538 to b11549
PIPELINE_COPIES = 4
RESIDUAL = "residual-wide buffers"


@dataclass(frozen=True, slots=True)
class Phase:
    """Tensors alive at once. `masked`: whether the attention mask is among them."""

    name: str
    tensors: tuple[Tensor, ...]
    masked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One micro-batch through the model on one backend.

    `formats` are the cache's types. `copied`: weights wait in host memory and are copied to this device in turn.
    `pipelined`: inputs exist four times. `logits`: whether this device computes them. `whole`: no other device has a part.
    """

    model: Model
    context: Context
    formats: Formats
    backend: Backend = "cpu"
    copied: Tensor | None = None
    pipelined: bool = False
    logits: bool = True
    whole: bool = False

    # ---------------------------------------------------------------- the model in numbers
    @property
    def tokens(self) -> int:
        """Tokens of the micro-batch."""
        return self.context.ubatch

    @property
    def encoder(self) -> bool:
        """Whether the model only encodes: no cache, no logits."""
        layers = list(attentions(self.model))
        return bool(layers) and not any(layer.causal or layer.caches for layer in layers)

    @property
    def relative(self) -> bool:
        """Whether attention adds a position bias, which keeps it from being fused."""
        return any(layer.shared_bias or layer.relative_buckets for layer in attentions(self.model))

    @property
    def cells(self) -> int:
        """Keys that each token may see."""
        return self.tokens if self.encoder else self.context.cells

    @property
    def quantized(self) -> bool:
        """Whether keys or values are cached in blocks."""
        return self.formats.key.values > 1 or self.formats.value.values > 1

    @property
    def caches(self) -> int:
        """Caches of keys and values: one, or two with windowed layers."""
        return 2 if smaller_cells(self.model, self.context) else 1

    # ---------------------------------------------------------------- tensors
    def wide(self, name: str, dim: Dim, width: int, copies: int = 1, format: Format = FLOAT32) -> Tensor:
        """`copies` × (tokens, width)."""
        return tensor(name, format, (Dim.TOKENS, self.tokens), (dim, width)).times(Dim.COPIES, copies)

    def residual(self, copies: int) -> Tensor:
        """`copies` buffers as wide as the residual stream."""
        return self.wide(RESIDUAL, Dim.HIDDEN, self.model.hidden, copies)

    def masks(self) -> Iterator[Tensor]:
        """(tokens, cells): 16-bit for fused attention, else float32; one for each cache."""
        if not _attends(self.model):
            return
        fused = self.context.flash and self.backend == "cpu"
        copies = PIPELINE_COPIES if self.pipelined else 1
        smaller = 0 if self.encoder else smaller_cells(self.model, self.context)
        for name, cells in (("attention mask", self.cells), ("windowed attention mask", smaller)):
            if cells:
                yield self.wide(name, Dim.CELLS, cells, copies, FLOAT16 if fused else FLOAT32)

    def inputs(self) -> Iterator[Tensor]:
        """What every graph holds besides: token ids and positions, value indices, rotation matrices."""
        yield self.wide("token ids, positions and indices", Dim.ELEMENTS, SMALL_INPUTS)
        policy = self.context.policy
        layers = [layer for layer in attentions(self.model) if layer.caches]
        if not layers or self.backend == "gpu":
            return
        if policy.indices and not self.context.flash:
            width = max(layer.kv_heads * layer.values_head for layer in layers)
            yield self.wide("indices of cached values", Dim.ELEMENTS, width, self.caches, INT64)
        if policy.rotates and self.quantized:
            head = max(layer.head for layer in layers)
            square = tensor("rotation of cached heads", FLOAT32, (Dim.HEAD, head), (Dim.HEAD, head))
            yield square.times(Dim.COPIES, self.caches)

    # ---------------------------------------------------------------- phases
    def phases(self) -> Iterator[Phase]:
        """Every phase that could be the largest."""
        for block, _ in self.model.decoder.runs():
            yield from self.feed_forward(block)
            for layer in block.layers:
                yield from self.mixing(layer, block)
        if self.logits and not self.encoder and self.model.head:
            yield self.logit_phase()

    def feed_extra(self, block: Stage) -> int:
        """Residual-wide buffers beside the feed-forward's own."""
        if self.backend == "gpu":
            return GPU_FEED_EXTRA
        policy = self.context.policy
        extra = policy.feed_extra if self.context.flash else max(policy.feed_extra, UNFUSED_FEED_EXTRA)
        return extra + self._kept_beside(block)

    def _kept_beside(self, block: Stage) -> int:
        """One more where the block's input or its scaled branch outlives the other branch.

        A rotated cache reorders the graph so that it does not.
        """
        if self.quantized and self.context.policy.rotates:
            return 0
        gated = any(isinstance(layer, MLP) and layer.gated for layer in block.layers)
        scaled = self.model.family == "granitemoehybrid"
        newest = self.context.policy.query_copies == "by width"
        return int(scaled or (newest and _shares_norm(block) and not gated))

    def feed_forward(self, block: Stage) -> Iterator[Phase]:
        """Gate, up and product of a gated MLP; one width of a plain one; the chosen experts' rows."""
        extra = self.feed_extra(block)
        for layer in block.layers:
            if isinstance(layer, MLP):
                yield self._dense(layer, extra)
            elif isinstance(layer, Experts):
                yield self._experts(layer, extra)
                if layer.shared:
                    yield self._dense(layer.shared, extra)

    def _dense(self, layer: MLP, extra: int) -> Phase:
        name, copies = ("MLP gate, up and product", 3) if layer.gated else ("MLP inner values", 1)
        return Phase("feed-forward", (self.wide(name, Dim.FFN, layer.inner, copies), self.residual(extra)))

    def _experts(self, layer: Experts, extra: int) -> Phase:
        """Rows of the chosen experts inside and on their way out; which of them overlap depends on their widths."""
        active, inner, hidden = layer.router.active, layer.inner, self.model.hidden
        rows = (Dim.TOKENS, self.tokens), (Dim.ACTIVE_EXPERTS, active)
        outputs = tensor("expert outputs", FLOAT32, *rows, (Dim.HIDDEN, hidden))
        inside = tensor("expert gate, up and product", FLOAT32, *rows, (Dim.FFN, inner))
        wide = inside.times(Dim.COPIES, 3 if layer.gated else 1)
        if self.backend == "gpu":
            largest = max((wide,), (inside, outputs), key=total_bytes)
        elif active * inner <= hidden:
            largest = (outputs,)
        else:
            largest = (wide, outputs) if 2 * inner < hidden else (wide,)
        return Phase("experts", (*largest, self.residual(extra)))

    def mixing(self, layer: object, block: Stage) -> Iterator[Phase]:
        """The phase of a block's attention or recurrence."""
        if isinstance(layer, Attention) and not layer.cross:
            yield self._attention(layer, block)
        elif isinstance(layer, LatentAttention):
            yield self._latent(layer)
        elif isinstance(layer, Mamba1):
            half = Extent(Dim.INNER, layer.inner // 2, layer.inner // 2, f"half of {layer.inner:,}")
            signal = self.wide("signal, gate and scan", Dim.INNER, layer.inner, 15)
            yield Phase("scan", (replace(signal, dims=(*signal.dims[:-1], half)),))
        elif isinstance(layer, (Mamba2, GatedDeltaNet)):
            yield self._scan(layer)

    def _attention(self, layer: Attention, block: Stage) -> Phase:
        queries, keys = layer.heads * layer.head, layer.kv_heads * layer.head
        if self.relative:
            return self._biased(layer)
        if self.encoder:
            scores = () if self.context.flash else (self._scores(layer.heads),)
            return Phase("attention", (self.residual(8 if self.context.flash else 7), *scores))
        if self.context.flash:
            spread = ((Dim.HEADS, layer.heads), 3, 0) if 3 * queries >= queries + 4 * keys else (None, 1, 4)
            parts = [self.residual(3 if self.backend == "cpu" else 1)]
            parts.append(self._heads("queries and their copies", layer.heads, layer.head, spread[1]))
            if spread[2]:
                parts.append(self._heads("keys and values", layer.kv_heads, layer.head, spread[2], Dim.KV_HEADS))
            return Phase("attention", tuple(parts))
        newest = self.context.policy.query_copies == "by width"
        beside = int(_shares_norm(block) and not layer.fused and (newest or self.backend == "gpu"))
        if self.backend == "gpu":
            projected = self._heads("keys and values", layer.kv_heads, layer.head, 2, Dim.KV_HEADS)
            return Phase("attention", (self._scores(layer.heads), projected, self.residual(GPU_ATTENTION_EXTRA + beside)))
        extra = self.context.policy.attention_extra + beside
        parts = [self._scores(layer.heads), self.residual(extra)]
        copies = self._query_copies(layer, queries)
        if copies:
            parts.append(self._heads("queries and their copies", layer.heads, layer.head, copies))
        return Phase("attention", tuple(parts))

    def _query_copies(self, layer: Attention, queries: int) -> int:
        """Copies of the queries that an unfused attention makes beside its scores."""
        policy = self.context.policy
        if policy.query_copies != "by width":
            return 2 if policy.query_copies == "twice" else 0
        rotated_cache = policy.rotates and self.formats.key.values > 1
        if layer.fused or not layer.rotary or rotated_cache:
            return 0
        if queries > self.model.hidden:
            return 2 + bool(layer.gate)
        return int(layer.kv_heads != layer.heads)

    def _scores(self, heads: int) -> Tensor:
        return tensor("attention scores", FLOAT32, (Dim.TOKENS, self.tokens), (Dim.HEADS, heads), (Dim.CELLS, self.cells))

    def _heads(self, name: str, heads: int, head: int, copies: int, dim: Dim = Dim.HEADS) -> Tensor:
        shape = (Dim.TOKENS, self.tokens), (dim, heads), (Dim.HEAD, head)
        return tensor(name, FLOAT32, *shape).times(Dim.COPIES, copies)

    def _biased(self, layer: Attention) -> Phase:
        """Position bias, scores and their sum; the bucket of each pair; the encoder's output and its mask.

        The graph is reserved for an encoder's output as long as the model was trained for. Where values lie as for
        flash attention they are turned first, and a rotated cache keeps the rotated queries.
        """
        cached = (Dim.KV_HEADS, layer.kv_heads), (Dim.HEAD, layer.values_head)
        encoded = self.model.max_length
        parts = [
            self._scores(layer.heads).times(Dim.COPIES, 3),
            self.wide("position buckets", Dim.CELLS, self.cells, 1, INT32),
            self.residual(5 if self.context.flash else 6),
            tensor("encoder output", FLOAT32, (Dim.SOURCE_TOKENS, encoded), (Dim.HIDDEN, self.model.hidden)),
            self.wide("encoder mask", Dim.SOURCE_TOKENS, encoded, 1, FLOAT16 if self.context.flash else FLOAT32),
        ]
        if self.context.flash:
            parts.append(tensor("values, transposed", self.formats.value, (Dim.CELLS, self.cells), *cached))
        if self.quantized and self.context.policy.rotates:
            parts.append(self._heads("rotated queries", layer.heads, layer.head, 1))
        return Phase("attention", tuple(parts))

    def _latent(self, layer: LatentAttention) -> Phase:
        """Queries taken to the latent's width and back; before latent caches, full heads of keys and values."""
        scores = () if self.context.flash else (self._scores(layer.heads),)
        if not self.context.policy.latent:
            queries = self._heads("queries", layer.heads, layer.head, 1)
            expanded = self._heads("expanded keys and values", layer.heads, layer.nope + layer.value_head, 1)
            return Phase("attention", (queries, expanded, self.residual(3), *scores))
        extra = 5 if self.backend == "cpu" else 3
        inside = (
            self._heads("queries and outputs in latent width", layer.heads, layer.kv_rank, 2),
            self._heads("unrotated queries", layer.heads, layer.nope, 1),
            self._heads("rotated queries", layer.heads, layer.rope, 3),
        )
        return Phase("attention", (*inside, self.residual(extra), *scores))

    def _scan(self, layer: Mamba2 | GatedDeltaNet) -> Phase:
        """Three times the convolution's channels and four times the inner width; in Mamba 2 the slots' states once."""
        inner = layer.inner if isinstance(layer, Mamba2) else layer.values
        signal = self.wide("convolution channels", Dim.INNER, layer.filtered, 3)
        scan = self.wide("signal, gate and scan", Dim.INNER, inner, 4)
        if isinstance(layer, GatedDeltaNet):
            return Phase("scan", (signal, scan, self.residual(1)))
        state = (Dim.STATE, layer.state_size), (Dim.INNER, inner)
        states = tensor("states of all slots", FLOAT32, (Dim.SLOTS, self.context.slots), *state)
        return Phase("scan", (signal, scan, self.residual(1), states))

    def logit_phase(self) -> Phase:
        """(outputs, vocabulary) and some residual widths."""
        policy = self.context.policy
        extra = GPU_LOGITS_EXTRA if self.backend == "gpu" else policy.logits_extra
        if self.backend == "cpu" and not policy.few_outputs and _sandwiched(self.model):
            extra -= 1
        logits = tensor("logits", FLOAT32, (Dim.TOKENS, self.context.outputs), (Dim.VOCAB, self.model.vocab))
        return Phase("logits", (logits, self.residual(extra)), masked=policy.masked_logits and self.backend == "cpu")

    # ---------------------------------------------------------------- the buffer
    def buffer(self) -> tuple[str, tuple[Tensor, ...]]:
        """The largest phase: its name and everything alive in it."""
        policy = self.context.policy
        if self.whole and (policy.replayed if self.backend == "cpu" else policy.on_devices):
            try:
                peak = compute_peak(self.model, Setting(self.context, self.formats, self.backend == "gpu"))
            except Unwritten:
                return self._largest_phase()
            return peak.at, peak.tensors
        return self._largest_phase()

    def _largest_phase(self) -> tuple[str, tuple[Tensor, ...]]:
        masks = tuple(self.masks())
        always = tuple(self.inputs())
        best: tuple[str, tuple[Tensor, ...]] = ("inputs", (*masks, *always))
        for phase in self.phases():
            shown = masks if self._shows_mask(phase) else ()
            alive = (*shown, *phase.tensors, *always)
            if total_bytes(alive) > total_bytes(best[1]):
                best = (phase.name, alive)
        copied = (self.copied,) if self.copied is not None else ()
        return best[0], (*copied, *best[1])

    def _shows_mask(self, phase: Phase) -> bool:
        """A GPU's fused attention leaves no mask at the peak, unless pipelining keeps its copies."""
        if self.backend == "gpu":
            return self.pipelined or (not self.context.flash and phase.name == "attention")
        return phase.masked


def _attends(model: Model) -> bool:
    return any(isinstance(layer, (Attention, LatentAttention)) for block in model.decoder.blocks for layer in block.layers)


def _shares_norm(block: Stage) -> bool:
    """Whether attention and MLP run side by side from one norm."""
    return bool(getattr(block, "parallel", False)) and sum(step.pre is not None for step in block.steps) == 1


def _sandwiched(model: Model) -> bool:
    """Whether branches are normed before they join the residual stream (Gemma 2 and 3)."""
    return any(step.post is not None for block in model.decoder.blocks[:1] for step in block.steps)


def device_inputs(model: Model, context: Context) -> tuple[Tensor, ...]:
    """The host's buffer of inputs for a device: (tokens, cells), in half precision where fused attention casts no more, and
    the embedded tokens.

    Source: `CUDA_Host compute buffer` of published logs, exact in every fully offloaded row.
    """
    rows = (Dim.TOKENS, context.ubatch)
    smaller = smaller_cells(model, context)
    mask = FLOAT16 if context.flash and not context.policy.casts else FLOAT32
    found = [tensor("embedded tokens for the device", FLOAT32, rows, (Dim.HIDDEN, model.hidden))]
    if context.policy.given:
        found.append(tensor("vectors given instead of tokens", FLOAT32, rows, (Dim.HIDDEN, model.hidden)))
    for name, cells in (("attention mask for the device", context.cells), ("windowed mask for the device", smaller)):
        if cells and _attends(model):
            found.append(tensor(name, mask, rows, (Dim.CELLS, cells)))
    return tuple(found)


def output_buffer(model: Model, context: Context) -> Tensor:
    """(slots, vocabulary) in float32, as reserved when the context is made."""
    return Tensor("output buffer", (extent(Dim.SLOTS, context.slots), extent(Dim.VOCAB, model.vocab)), FLOAT32, role="output")
