"""A llama.cpp context: total tokens, slots, streams, cells of each cache, micro-batch; from a request and a version.

`n_ctx` is the total that all slots share. A windowed layer's cache holds its window for each sequence of the stream and
one micro-batch, rounded up to 256 cells. Source: ggml-org/llama.cpp src/llama-kv-cache-iswa.cpp, src/llama-context.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.case import Case
from gauge.layers.attention import Attention
from gauge.model import Model
from gauge.runtimes.llamacpp.policies import Policy, policy_of
from gauge.units import ceil_div, round_up

PADDING = 256
UBATCH = 512
# Architectures whose configs name a window, or whose converter leaves it out, but that get full-length caches.
FULL_LENGTH = frozenset({"mistral", "mixtral", "phi3", "phimoe", "starcoder2", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`tokens` = n_ctx; `cells` of one stream's full-length cache; `ubatch` tokens in one graph."""

    tokens: int
    slots: int
    streams: int
    cells: int
    ubatch: int
    windowed: bool
    flash: bool
    outputs: int
    policy: Policy

    @property
    def padded(self) -> bool:
        """Whether values lie transposed, in rows as wide as the widest layer's."""
        return self.policy.indices and not self.flash

    def kept(self, window: int | None) -> int:
        """Cells of one stream for a layer with that window."""
        if window is None or not self.windowed:
            return self.cells
        sequences = self.slots if self.streams == 1 else 1
        return min(self.cells, round_up(window * sequences + self.ubatch, PADDING))


def context_of(case: Case) -> Context:
    """The context that a request describes. An encoder-decoder reserves logits for every token of a micro-batch."""
    plan = case.plan
    policy = policy_of(plan.runtime_version)
    tokens = round_up(max(plan.tokens * plan.batch_size, 1), PADDING)
    slots = plan.parallel_slots or max(policy.slots, plan.batch_size)
    streams = slots if plan.parallel_slots and policy.own_streams else 1
    ubatch = min(plan.ubatch_size or UBATCH, tokens)
    two_stacks = sum(p.sequence in ("source", "target") for p in case.model.parts) > 1
    everything = plan.logits == "all" or two_stacks or (plan.logits is None and not policy.few_outputs)
    return Context(
        tokens=tokens,
        slots=slots,
        streams=streams,
        cells=tokens if streams == 1 else round_up(ceil_div(tokens, streams), PADDING),
        ubatch=ubatch,
        windowed=policy.windowed and case.model.family not in FULL_LENGTH,
        flash=plan.attention == "flash" or (plan.attention == "sdpa" and policy.flash),
        outputs=ubatch if everything else min(slots, ubatch),
        policy=policy,
    )


def attentions(model: Model) -> Iterator[Attention]:
    """Every layer of attention that keeps keys and values of its own sequence, block by block."""
    for block in model.decoder.blocks:
        for layer in block.layers:
            if isinstance(layer, Attention) and not layer.cross:
                yield layer


def reach(layer: Attention) -> int | None:
    """How far back it sees, None for everything."""
    return layer.window or layer.chunk


def smaller_cells(model: Model, context: Context) -> int:
    """Cells of the windowed layers' cache, 0 where there is none."""
    if not context.windowed:
        return 0
    windows = [w for w in (reach(layer) for layer in attentions(model)) if w is not None]
    return context.kept(max(windows)) if windows else 0
