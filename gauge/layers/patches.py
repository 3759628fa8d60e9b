"""The entry of vision transformers: a picture cut into patches, special tokens, positions.

Source: transformers 5.23 models/vit/modeling_vit.py, models/clip/modeling_clip.py, models/siglip/modeling_siglip.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge.formats import BFLOAT16
from gauge.layers.convolution import SPACE, Convolution, pixels
from gauge.layers.norm import Norm
from gauge.tape import Dims, Tape, Value, dims, promoted
from gauge.tensor import Dim, Tensor
from gauge.units import ceil_div


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchEmbeddings:
    """A convolution whose window is its stride, `special` learned tokens in front, learned positions, a norm.

    `positions` counts the learned ones (0 for rotary), `extra` are further learned numbers (mask tokens). `merge` is
    how many patches a side become one token behind the tower, `frames` the pictures that one patch spans. `own` are
    tensors beyond these (aspect-ratio tables).
    """

    hidden: int
    patch: int
    channels: int = 3
    frames: int = 1
    bias: bool = True
    special: int = 0
    positions: int = 0
    extra: int = 0
    norm: Norm | None = None
    dropout: float = 0.0
    own: tuple[Tensor, ...] = ()

    @property
    def projection(self) -> Convolution:
        """(hidden, channels, patch area)."""
        return Convolution(
            name="patch_embedding",
            inputs=self.channels * self.frames,
            outputs=self.hidden,
            kernel=self.patch,
            stride=self.patch,
            bias=self.bias,
            role="patch_embedding",
        )

    def weights(self) -> Iterator[Tensor]:
        """Projection, special tokens, positions, norm."""
        yield from self.projection.weights()
        if self.special:
            yield self._table("class_embedding", self.special, "class_token")
        if self.extra:
            yield self._table("mask_token", self.extra, "mask_token")
        if self.positions:
            yield self._table("position_embedding", self.positions, "position_embedding")
        if self.norm:
            yield from self.norm.weights()
        yield from self.own

    def _table(self, name: str, rows: int, role: str) -> Tensor:
        return Tensor(name, dims((Dim.POSITIONS, rows), (Dim.HIDDEN, self.hidden)), BFLOAT16, role=role)

    def forward(self, tape: Tape, tokens: Dims) -> Value:
        """(batch, patches, hidden)."""
        x = pixels(tape, tokens, self.channels)
        patches = self.projection.forward(tape, x)
        batch = patches.dims[0]
        count = 1
        for e in patches.dims:
            count *= e.size if e.dim in SPACE else 1
        x = tape.alias(patches, (batch, *dims((Dim.PATCHES, count), (Dim.HIDDEN, self.hidden))))
        if self.special:
            shape = (batch, *dims((Dim.PATCHES, count + self.special), (Dim.HIDDEN, self.hidden)))
            token = tape.weight(self._table("class_embedding", self.special, "class_token"))
            x = self._joined(tape, x, token, shape)
        if self.positions:
            table = tape.weight(self._table("position_embedding", self.positions, "position_embedding"))
            before = x
            x = tape.op("add", (x,), x.dims, promoted(x.format, table.format), label="embeddings", weights=(table,))
            if before.format == x.format:
                tape.ops[-1].passes, tape.ops[-1].gradients = tape.ops[-1].gradients, ()
        if self.norm:
            x = self.norm(tape, x)
        return tape.dropout(x, self.dropout, label="embeddings, dropped out")

    def _joined(self, tape: Tape, x: Value, token: Tensor, shape: Dims) -> Value:
        x = tape.cast(x, token.format, "patches in the tokens' dtype")
        out = tape.op("cat", (x,), shape, x.format, label="patches and special tokens", gradients=(), weights=(token,))
        tape.ops[-1].passes = (x,) if x.grad else ()
        return out


def patches_of(side: int, patch: int) -> int:
    """Patches of a square picture."""
    return (side // patch) ** 2


def merged(count: int, merge: int) -> int:
    """Tokens that the language model sees of so many patches."""
    return ceil_div(count, merge * merge)
