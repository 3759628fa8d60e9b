"""A file seen through `read(offset, size)`: little is read, and never more than is allowed.

A header is walked front to back through a window; whatever it claims about lengths is checked before anything is read.
"""

from __future__ import annotations

from collections.abc import Callable

from gauge.errors import RequestError

Read = Callable[[int, int], bytes]
WINDOW = 32 * 1024
MOST_READ = 8 * 1024 * 1024
FIELD = "file"


def broken(why: str, remedy: str = "choose another file, or download it again") -> RequestError:
    """The error of a header that does not make sense."""
    return RequestError(FIELD, why, remedy)


class Slices:
    """A cursor over a file. `size` is the file's length where it is known."""

    def __init__(self, read: Read, size: int | None = None, most: int = MOST_READ) -> None:
        self._read = read
        self._most = most
        self._window = b""
        self._start = 0
        self.size = size
        self.at = 0
        self.taken = 0

    def peek(self, at: int, count: int) -> bytes:
        """Up to `count` bytes from `at` on, fewer where the file ends; the cursor stays. Raises RequestError."""
        if self.size is not None:
            count = min(count, max(self.size - at, 0))
        if self.taken + count > self._most:
            raise self._too_long()
        found = bytes(self._read(at, count)) if count else b""
        self.taken += len(found)
        return found

    def bytes(self, count: int) -> bytes:
        """The next `count` bytes. Raises RequestError where the file or the allowance ends before."""
        self.expect(count)
        begin = self.at - self._start
        if begin < 0 or begin + count > len(self._window):
            self._fetch(count)
            begin = 0
        self.at += count
        return self._window[begin : begin + count]

    def skip(self, count: int) -> None:
        """Moves past `count` bytes without reading them."""
        self.expect(count)
        self.at += count

    def expect(self, count: int) -> None:
        """Refuses a length that cannot be."""
        if count < 0 or (self.size is not None and self.at + count > self.size):
            raise broken(f"the file ends before its header does, at byte {self.at:,}")

    def integer(self, width: int, signed: bool = False) -> int:
        """A little-endian integer of `width` bytes."""
        return int.from_bytes(self.bytes(width), "little", signed=signed)

    def _too_long(self) -> RequestError:
        return broken(f"more than {self._most >> 20} MiB of it would have to be read to know its header")

    def _fetch(self, count: int) -> None:
        want = max(count, WINDOW)
        if self.size is not None:
            want = min(want, self.size - self.at)
        if self.taken + count > self._most:
            raise self._too_long()
        found = self._read(self.at, min(want, max(count, self._most - self.taken)))
        self.taken += len(found)
        if len(found) < count:
            raise broken(f"the file ends before its header does, at byte {self.at + len(found):,}")
        self._window, self._start = bytes(found), self.at
