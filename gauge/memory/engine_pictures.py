"""Pictures in a serving engine's start-up profile: the tower's pass over the largest batch, then its output in a cache.

The profile makes as many of the largest pictures as one step may take, sends them through the tower, keeps their output
in the encoder cache and the pictures themselves as a local variable while the language model is profiled.
Source: vLLM v1/worker/gpu_model_runner.py (profile_run) and model_executor/models (release 0.19); preprocessor
configurations of the models for the largest picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gauge.formats import FLOAT32, Format
from gauge.how import How
from gauge.layers.attention import Attention
from gauge.memory.segments import Lengths, Segment, Tracer
from gauge.model import Model, Part
from gauge.tensor import Dim, Tensor, tensor

SIDES = {  # pixels on one side of the largest square picture, where the configuration does not say
    "qwen2_vl": 3584,
    "qwen2_5_vl": 3584,
    "qwen3_vl": 4096,
    "qwen3_vl_moe": 4096,
    "qwen3_5": 4096,
    "qwen3_5_moe": 4096,
    "kimi_vl": 896,
}
TILES = {"llama4": 17, "llava_next": 5, "idefics3": 17, "mllama": 4}  # pictures are cut into so many, the overview included
TABLE_SIDE = {"moonvit": 512}  # a tower's table of two-dimensional rotations has so many rows and columns


@dataclass(frozen=True, slots=True)
class Pictures:
    """`count` of the largest pictures, each `tiles` squares of `side` pixels that become `tokens` tokens in all.

    `planes` are the numbers of a pixel: colours, times frames where a patch spans two. `alive` is the tower's largest
    operator.
    """

    count: int
    tiles: int
    side: int
    tokens: int
    planes: int
    alive: tuple[Tensor, ...]
    table: Tensor | None

    def pixels(self, format: Format) -> Tensor:
        """The profile's pictures themselves."""
        shape = ((Dim.BATCH, self.count * self.tiles), (Dim.IN_CHANNELS, self.planes))
        return tensor("pictures of the profile", format, *shape, (Dim.HEIGHT, self.side), (Dim.WIDTH, self.side))

    def output(self, hidden: int, format: Format) -> Tensor:
        """What the encoder cache holds of them."""
        return tensor("encoder output held in its cache", format, (Dim.TOKENS, self.count * self.tokens), (Dim.HIDDEN, hidden))

    def held(self, hidden: int, format: Format) -> Iterator[Tensor]:
        """What stays while the language model is profiled."""
        yield self.output(hidden, format)
        yield self.pixels(format)
        if self.table is not None:
            yield self.table


def tower_of(model: Model) -> Part | None:
    """The part that reads pictures."""
    return next((p for p in model.parts if p.optional and p.sequence == "image"), None)


def pictures(model: Model, how: How, budget: int, at_least: int = 1) -> Pictures | None:
    """The profile's pictures: as many as `budget` tokens have room for, and `at_least` so many."""
    part = tower_of(model)
    if part is None:
        return None
    side, tiles = SIDES.get(model.family, part.length), TILES.get(model.family, 1)
    tokens = _tokens(model, part, how, side) * tiles
    count = max(budget // max(tokens, 1), at_least)
    vision = model.config.get("vision_config")
    vision = vision if isinstance(vision, dict) else {}
    frames = vision.get("temporal_patch_size", 1)
    alive = _largest(model, part, how, side, count * tiles)
    return Pictures(count, tiles, side, tokens, 3 * frames if isinstance(frames, int) else 3, alive, _table(part, vision))


def _tokens(model: Model, part: Part, how: How, side: int) -> int:
    """Tokens that a square picture becomes: as the configuration says, else as the projector leaves."""
    stated = model.config.get("mm_tokens_per_image")
    if isinstance(stated, int):
        return stated
    last = _run(model, part, how, side, 1)[-1]
    return next((e.size for e in last.trace.results[0].dims if e.dim in (Dim.PATCHES, Dim.TOKENS)), 1)


def _largest(model: Model, part: Part, how: How, side: int, batch: int) -> tuple[Tensor, ...]:
    moments = (m for segment in _run(model, part, how, side, batch) for m in segment.trace.forward)
    worst = max(moments, key=lambda m: m.bytes, default=None)
    return tuple(s.tensor for s in worst.alive) if worst else ()


def _run(model: Model, part: Part, how: How, side: int, batch: int) -> list[Segment]:
    alone = model.edited(parts=(replace(part, optional=False),), head=None, total=0)
    return Tracer(alone, how, Lengths(batch, 1, image=side)).run(loss=False).segments


def _table(part: Part, vision: dict[str, object]) -> Tensor | None:
    """A tower's table of rotations, complex numbers for every row and column of a grid."""
    rows = TABLE_SIDE.get(str(vision.get("model_type", "")))
    attention = next((la for b in part.blocks for la in b.layers if isinstance(la, Attention)), None)
    if rows is None or attention is None:
        return None
    shape = ((Dim.HEIGHT, rows), (Dim.WIDTH, rows), (Dim.HEAD, attention.head))
    return tensor("the tower's table of rotations", FLOAT32, *shape)
