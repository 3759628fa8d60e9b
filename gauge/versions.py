"""Which of two policies of one runtime a version means. Versions are numbers (`4.45.2`) or dates (`2022-01`)."""

from __future__ import annotations

import re

RELEASES = {  # when transformers released a version that changed what is allocated
    (4, 42): (2024, 6),
    (4, 46): (2024, 10),
    (5,): (2025, 12),
}
FOREACH = (2023, 3)
"""PyTorch 2.0: optimizers go over all tensors at once, and gradients are dropped rather than zeroed."""

LAZY = (2022, 6)
"""CUDA 11.7: kernels are loaded when they are first used, which shrinks the context."""


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version; empty where it names none."""
    found = re.search(r"\d+(?:[.-]\d+)*", version)
    return tuple(int(part) for part in re.split(r"[.-]", found.group())) if found else ()


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def month_of(version: str) -> tuple[int, int] | None:
    """Year and month of a dated version: `2024-12`, `December 2024`, `Dec 2024`; None where it names no month."""
    digits = re.search(r"\b(20\d\d)-(\d\d)\b", version)
    if digits:
        return int(digits[1]), int(digits[2])
    words = re.search(r"\b([A-Za-z]{3})[a-z]*\.? (20\d\d)\b", version)
    if words and words[1].lower() in MONTHS:
        return int(words[2]), MONTHS.index(words[1].lower()) + 1
    return None


def beyond(version: str, known: tuple[str, ...]) -> str:
    """The newest release known of the kind that a version is (a number, a build, a month), where the version is later;
    empty where it is not, or where no release of its kind is known."""
    kind, place = _place(version)
    for text in known:
        its, newest = _place(text)
        if its == kind and place[: len(newest)] > newest:
            return text
    return ""


def _place(version: str) -> tuple[str, tuple[int, ...]]:
    """What kind of version it is, and its place among those."""
    month, build, have = month_of(version), re.search(r"\bb(\d{3,6})\b", version), numbers(version)
    if month:
        return "month", month
    if build:
        return "build", (int(build[1]),)
    return "month" if have and 2000 <= have[0] < 2100 else "number", have


def before(version: str, *release: int) -> bool:
    """Whether a version of transformers (or a date) comes before a release; an unknown version counts as today's."""
    have = numbers(version)
    if not have:
        return False
    if have[0] >= 2000:
        return have < RELEASES.get(release, release)
    return have < release


def before_foreach(version: str) -> bool:
    """Whether a dated run is older than PyTorch 2.0."""
    have = numbers(version)
    return bool(have) and have[0] >= 2000 and have < FOREACH


def before_lazy(version: str) -> bool:
    """Whether a dated run is older than lazily loaded kernels."""
    have = numbers(version)
    return bool(have) and have[0] >= 2000 and have < LAZY
