"""The tokens that inference keeps state for, and the policy by which an engine rounds and limits them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def whole(tokens: int, window: int | None, chunk: int | None) -> int:
    """What the architecture needs: a windowed layer keeps its window, a chunked one its chunk."""
    reach = window or chunk
    return tokens if reach is None else min(tokens, reach)


@dataclass(frozen=True, slots=True)
class Sequence:
    """`batch` sequences of `tokens` tokens; `source_tokens` is the encoder's length where there is one.

    `buffers`: half-full windows of compressed caches count too, as the models' own code keeps them.
    `policy(tokens, window, chunk)` gives the tokens that a layer really keeps under an engine.
    """

    batch: int
    tokens: int
    source_tokens: int = 0
    policy: Callable[[int, int | None, int | None], int] = whole
    buffers: bool = False

    def kept(self, window: int | None = None, chunk: int | None = None) -> int:
        """Tokens kept a sequence by a layer with that window or chunk."""
        return self.policy(self.tokens, window, chunk)
