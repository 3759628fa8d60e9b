"""The one exception that a user's input can cause: which field, what was read, what to type instead."""

from __future__ import annotations


class RequestError(Exception):
    """A question that cannot be answered as asked.

    `field` is the request's field, `message` says what was read and why it fails, `remedy` what to type instead.
    """

    def __init__(self, field: str, message: str, remedy: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.remedy = remedy

    def as_dict(self) -> dict[str, str]:
        """The error as the contract's answer carries it."""
        return {"field": self.field, "message": self.message, "remedy": self.remedy}


def shown(value: object, longest: int = 60) -> str:
    """A user's value, short enough to be quoted in a message."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} nested too deep"
    return text if len(text) <= longest else text[: longest - 1] + "…"
