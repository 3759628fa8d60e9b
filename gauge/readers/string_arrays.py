"""Where a long array of texts ends, without reading it.

A GGUF tokenizer is arrays of hundreds of thousands of texts, each a length in eight bytes and the text itself; nothing
says where such an array ends. But any few kilobytes out of its middle show it: lengths are small, so six of their eight
bytes are zero, and from one true length follows the next. So the end is found by samples: forward in strides no longer
than what must lie behind the array, then by halving. What is found this way is a guess until everything behind it has
been read and fits; the caller sees to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from gauge.readers.slices import Slices

SAMPLE = 4 * 1024
SHORTEST_STRIDE = 64 * 1024
LONGEST_STRIDE = 1024 * 1024
PREFIX = 8
LONGEST = 0xFFFF
HIGH_BYTES = bytes(6)
CHAIN = 8
CANDIDATES = 8
MOST_SAMPLES = 200


def ends(file: Slices, count: int) -> Iterator[int]:
    """Where an array of `count` texts that begins at the cursor may end, the likeliest first.

    `count` 4-byte numbers (a token's score or type) follow a list of tokens, so no stride may be longer than they are.
    """
    inside = file.at + max(PREFIX * count - SAMPLE, 0)
    stride = max(min(4 * count, LONGEST_STRIDE), SHORTEST_STRIDE)
    if not _is_inside(file, inside):
        return
    outside = inside + stride
    for _ in range(MOST_SAMPLES):
        if not _is_inside(file, outside):
            break
        inside, outside = outside, outside + stride
    while outside - inside > SAMPLE:
        middle = (inside + outside) // 2
        if _is_inside(file, middle):
            inside = middle
        else:
            outside = middle
    window = file.peek(inside, 4 * SAMPLE)
    boundaries = _chain(window, _first(window[:SAMPLE]))
    for boundary in boundaries[: -CANDIDATES - 1 : -1]:
        yield inside + boundary


def _is_inside(file: Slices, at: int) -> bool:
    """Whether a sample from there on is nothing but texts of an array."""
    window = file.peek(at, SAMPLE)
    return len(window) == SAMPLE and _first(window) >= 0


def _first(window: bytes) -> int:
    """Where the first length in a stretch of texts stands, or -1 where it is none."""
    at = window.find(HIGH_BYTES) - 2
    while at < len(window) // 2:
        if at >= 0 and window[at : at + 2] != b"\0\0" and _is_chain(window, at):
            return at
        found = window.find(HIGH_BYTES, at + 3)  # the next place where six zeros begin, two bytes into a length
        if found < 0:
            return -1
        at = found - 2
    return -1


def _is_chain(window: bytes, at: int) -> bool:
    """Whether texts follow each other from there to the window's end, most of them not empty."""
    boundaries = _chain(window, at)
    if len(boundaries) < CHAIN or boundaries[-1] + PREFIX <= len(window):
        return False
    empty = sum(b - a == PREFIX for a, b in pairwise(boundaries))
    return 2 * empty < len(boundaries)


def _chain(window: bytes, at: int) -> list[int]:
    """The starts of the texts from `at` on, as far as lengths are believable or the window goes."""
    found = [at]
    while at + PREFIX <= len(window):
        length = int.from_bytes(window[at : at + PREFIX], "little")
        if length > LONGEST:
            break
        at += PREFIX + length
        found.append(at)
    return found
