"""Which release of a runtime is meant: version numbers or a date inside a free text such as `0.7.2 (V0)`, `2025-07`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DATE = re.compile(r"(20\d\d)-(\d\d)(?:-\d\d)?")
_NUMBERS = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True, slots=True)
class Release:
    """`numbers` (0, 19, 0) and `date` (2025, 7), either empty where the text has none; no text means the newest."""

    text: str
    numbers: tuple[int, ...] = ()
    date: tuple[int, ...] = ()

    def before(self, numbers: tuple[int, ...], date: tuple[int, int]) -> bool:
        """Whether it is older than a release, given by its number and the month it came out."""
        if self.numbers:
            return self.numbers < numbers
        return bool(self.date) and self.date < date

    def says(self, word: str) -> bool:
        """Whether the text names something, whatever the case."""
        return word.lower() in self.text.lower()


def release(text: str) -> Release:
    """The release that a text names."""
    date = _DATE.search(text)
    numbers = _NUMBERS.search(_DATE.sub(" ", text))
    return Release(
        text,
        tuple(int(n) for n in numbers.group().split(".")) if numbers else (),
        tuple(int(n) for n in date.groups()) if date else (),
    )
