"""A `config.json` seen through typed keys: what is missing or of the wrong kind is an error that names the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gauge.errors import RequestError, shown

LARGEST = 10**9
LONGEST_LIST = 10_000
MOST_LAYERS = 2_000
_ABSENT = object()


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST


class Config:
    """Typed access to a config's keys. `path` is where it stands in the request (`config`, `config.text_config`)."""

    def __init__(self, keys: Mapping[str, Any], path: str = "config") -> None:
        self.keys = keys
        self.path = path

    def __contains__(self, key: str) -> bool:
        return self.keys.get(key) is not None

    def _value(self, names: tuple[str, ...], default: Any) -> tuple[str, Any]:
        for name in names:
            value = self.keys.get(name)
            if value is not None and not (name == "sliding_window" and value == 0):  # transformers writes 0 for none
                return name, value
        if default is _ABSENT:
            others = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
            raise RequestError(f"{self.path}.{names[0]}", "the config has no such key", f"add {names[0]}{others} to the config")
        return names[0], default

    def integer(self, *names: str, default: Any = _ABSENT, least: int = 1, most: int = LARGEST) -> Any:
        """A whole number under the first of `names` that is there, or `default`."""
        name, value = self._value(names, default)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise RequestError(
                f"{self.path}.{name}",
                f"{shown(value)} is no whole number from {least:,} to {most:,}",
                "give a whole number",
            )
        return value

    def layers(self, *names: str, default: Any = _ABSENT) -> int:
        """How many layers there are, by default `num_hidden_layers`; absurd counts are refused."""
        found: int = self.integer(*(names or ("num_hidden_layers",)), default=default, most=MOST_LAYERS)
        return found

    def number(self, *names: str, default: Any = _ABSENT) -> float:
        """A number that need not be whole."""
        name, value = self._value(names, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
            raise RequestError(f"{self.path}.{name}", f"{shown(value)} is no number", "give a number")
        return float(value)

    def flag(self, *names: str, default: bool = False) -> bool:
        """True or false."""
        name, value = self._value(names, default)
        if not isinstance(value, bool):
            raise RequestError(f"{self.path}.{name}", f"{shown(value)} is neither true nor false", "give true or false")
        return value

    def text(self, *names: str, default: str = "") -> str:
        """A string."""
        name, value = self._value(names, default)
        if not isinstance(value, str) or len(value) > 200:
            raise RequestError(f"{self.path}.{name}", f"{shown(value)} is no short text", "give a name")
        return value

    def listed(self, *names: str) -> list[Any]:
        """A list, empty where it is absent."""
        name, value = self._value(names, [])
        if not isinstance(value, list) or len(value) > LONGEST_LIST:
            raise RequestError(f"{self.path}.{name}", f"{shown(value)} is no list", "give a list")
        return value

    def integers(self, *names: str, default: list[int] | None = None) -> list[int]:
        """A list of whole numbers from 1, or `default`."""
        name, value = self._value(names, _ABSENT if default is None else default)
        if isinstance(value, list) and 0 < len(value) <= LONGEST_LIST and all(_whole(v) for v in value):
            return list(value)
        raise RequestError(f"{self.path}.{name}", f"{shown(value)} is no list of whole numbers", "give a list of whole numbers")

    def side(self, name: str, default: int) -> int:
        """Pixels on one side: a number, a list of two, or an object with `height`."""
        value = self.keys.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, Mapping):
            value = value.get("height", value.get("shortest_edge", value.get("longest_edge")))
        found: int = Config({name: value}, self.path).integer(name, default=default)
        return found

    def inner(self, *names: str) -> Config:
        """A nested config, empty where it is absent."""
        name, value = self._value(names, {})
        if not isinstance(value, Mapping):
            raise RequestError(f"{self.path}.{name}", f"{shown(value)} is no object", "give an object")
        return Config(value, f"{self.path}.{name}")

    def divides(self, whole: str, parts: str, total: int, count: int) -> int:
        """total ÷ count, where that must be whole."""
        if total % count:
            raise RequestError(f"{self.path}.{parts}", f"{count} does not divide {whole} {total}", f"choose a divisor of {total}")
        return total // count
