"""The one exception that a user's input can cause: which field, what was read, what to type instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class RequestError(Exception):
    """A question that cannot be answered as asked.

    `field` is the request's field, `message` says what was read and why it fails, `remedy` what to type instead.
    `fixes` are changes of the request, the likeliest first, each of which removes the error; `gauge.request` tries
    those that it can before anybody sees them.
    """

    def __init__(self, field: str, message: str, remedy: str, fixes: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.remedy = remedy
        self.fixes = tuple(dict(f) for f in fixes)

    def edited(self, **changes: Any) -> RequestError:
        """The same error with another field, message, remedy or fixes."""
        return RequestError(
            **{"field": self.field, "message": self.message, "remedy": self.remedy, "fixes": self.fixes} | changes
        )

    def as_dict(self) -> dict[str, Any]:
        """The error as the contract's answer carries it; `fixes` only where there are any."""
        told: dict[str, Any] = {"field": self.field, "message": self.message, "remedy": self.remedy}
        return told | ({"fixes": list(self.fixes)} if self.fixes else {})


class RequestErrors(Exception):
    """All mistakes of one request."""

    def __init__(self, errors: list[RequestError]) -> None:
        super().__init__("; ".join(str(e) for e in errors))
        self.errors = errors


def shown(value: object, longest: int = 60) -> str:
    """A user's value, short enough to be quoted in a message."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or an integer of more digits than Python prints
        text = f"a {type(value).__name__} too large to be shown"
    return text if len(text) <= longest else text[: longest - 1] + "…"


def word(value: object) -> str:
    """A value as a request would write it: `true`, not `True`; a long one cut."""
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else shown(value)


def listed(values: Iterable[object]) -> str:
    """`2, 4 or 8`."""
    words = [word(v) for v in values]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1] if words else "")))
