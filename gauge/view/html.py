"""Elements as function calls: children are escaped unless an element made them, so nothing a user typed can
become markup.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import lru_cache

HTML_VOID = frozenset({"input", "br", "hr", "img", "meta", "link"})
VOID = HTML_VOID | {"rect", "line", "path", "circle", "use"}


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")
_SPECIAL = re.compile(r"[\x00-\x08\x0b-\x1f&<>\"']")


class Markup(str):
    """Text that is markup already. Only `tag`, `join` and `raw` make it."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]
Value = str | int | float | bool | None


def escape(text: str) -> Markup:
    """Text as markup: the five characters that mean something are replaced, control characters dropped."""
    return Markup(_escaped(text))


def _escaped(text: str) -> str:
    return html.escape(_CONTROL.sub("", text), quote=True) if _SPECIAL.search(text) else text


def join(*children: Child) -> Markup:
    """Children one after the other: markup stays, text is escaped, `None` vanishes, lists are flattened."""
    if len(children) == 1 and isinstance(children[0], Markup):
        return children[0]
    pieces: list[str] = []
    _gather(children, pieces)
    return Markup("".join(pieces))


def _gather(children: Iterable[Child], pieces: list[str]) -> None:
    for child in children:
        if isinstance(child, Markup):
            pieces.append(child)
        elif child is None:
            continue
        elif isinstance(child, (str, int)):
            pieces.append(_escaped(str(child)))
        else:
            _gather(child, pieces)


def tag(element: str, /, *children: Child, **attributes: Value) -> Markup:
    """`<name attributes>children</name>`; `class_` and `data_key` spell `class` and `data-key`; `False` and
    `None` are left out.
    """
    pieces = ["<", element, *[_attribute(key, value) for key, value in attributes.items()]]
    if element in VOID and not children:
        pieces.append(">" if element in HTML_VOID else "/>")
        return Markup("".join(pieces))
    pieces.append(">")
    _gather(children, pieces)
    pieces += ("</", element, ">")
    return Markup("".join(pieces))


@lru_cache(maxsize=1024, typed=True)
def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    # NOTE: viewBox and its like are camel case in SVG; everything else is spelled with hyphens.
    spelled = " " + key.rstrip("_").replace("_", "-")
    return spelled if value is True else f'{spelled}="{_escaped(str(value))}"'


def raw(text: str) -> Markup:
    """Markup written by this package itself, never by a user."""
    return Markup(text)


def capital(text: str) -> str:
    """The first letter in upper case, unless the first word has a spelling of its own (cuBLAS, vLLM)."""
    own = any(letter.isupper() for letter in text.partition(" ")[0][1:])
    return text if own else text[:1].upper() + text[1:]


def uncapital(text: str) -> str:
    """The first letter in lower case, for the middle of a sentence, unless the first word has a spelling of its own (KV)."""
    own = any(letter.isupper() for letter in text.partition(" ")[0][1:])
    return text if own else text[:1].lower() + text[1:]
