"""A row's arithmetic: symbols, the same with values, the result, one sentence why, how sure, and where it comes
from.
"""

from __future__ import annotations

import re

from gauge.tensor import GLOSSARY, Dim
from gauge.view.figures import NBSP, exact
from gauge.view.html import Markup, join, tag
from gauge.view.reading import Json, Reading, Row

CERTAINTY = {
    "exact": "counted from shapes; no assumption",
    "policy": "follows what this version of the software does",
    "measured": "a measured constant with a range",
}

_GLOSSARY = {str(dim): text for dim, text in GLOSSARY.items()}
_WORDS = re.compile("|".join(sorted(map(re.escape, map(str, Dim)), key=len, reverse=True)) or "$^")


def derivation(reading: Reading, row: Row) -> Markup:
    """The disclosure under a row: closed it shows the substituted line, open it shows every step."""
    item = row.item
    line = valued(item) or str(item.get("symbols") or "")
    return tag(
        "details",
        tag(
            "summary",
            tag("span", "= ", line or item.get("why") or "a constant", class_="line"),
            tag("span", "− close", class_="close"),
        ),
        tag("div", steps(reading, row), class_="steps"),
        class_="math",
    )


def valued(item: Json) -> str:
    """The formula with its values; the product is bytes."""
    values = str(item.get("substituted") or "")
    return values and f"{values}{NBSP}bytes"


def steps(reading: Reading, row: Row) -> Markup:
    """Symbols, values, result, reason, certainty and source."""
    item = row.item
    lines = [("", symbols(str(item.get("symbols") or ""))), ("=", valued(item))]
    result = f"{exact(row.size)} ≈ {reading.scale.near(row.size)}"
    return join(
        tag(
            "p",
            [[tag("span", mark, class_="eq"), tag("span", text), tag("br")] for mark, text in lines if text],
            tag("span", "=", class_="eq"),
            tag("b", result),
            class_="product",
        ),
        notes(item),
        tag("p", str(item.get("why") or ""), class_="why"),
        tag("p", certainty(reading, row), " ", source(str(item.get("source") or "")), " ", code(reading, item), class_="sure"),
    )


def notes(item: Json) -> Markup | None:
    """What split or rounded a factor on its way, so that no step is hidden."""
    found = [(str(f["name"]), int(f["value"]), str(f["note"])) for f in item.get("factors") or () if f.get("note")]
    if not found:
        return None
    return tag("ul", [tag("li", f"{name} {value:,}: {note}") for name, value, note in found], class_="steps-notes")


def certainty(reading: Reading, row: Row) -> Markup:
    """How sure, in a word and what the word means, with the range where there is one."""
    word = str(row.item.get("certainty") or "")
    scale, low, high = reading.scale, int(row.item.get("low") or row.size), int(row.item.get("high") or row.size)
    span = f" {scale.text(scale.down(low))} to {scale.text(scale.up(high))}." if low < high else ""
    return join(tag("b", word.capitalize()), f": {CERTAINTY.get(word, '')}.", span)


def source(text: str) -> Markup | None:
    """Where it comes from: a link if it is an address, else words."""
    if not text:
        return None
    found = re.search(r"https://[^\s,;)]+", text)
    if not found:
        return tag("span", f"Source: {text}.", class_="source")
    url = found.group()
    rest = text.replace(url, "").strip(" ,;:()")
    host = url.removeprefix("https://")
    return tag("span", "Source: ", tag("a", rest or host, href=url, rel="noopener", target="_blank"), class_="source")


def code(reading: Reading, item: Json) -> Markup | None:
    """The line of this program that made the row: a link where it is known where the program is published."""
    file, _, line = str(item.get("code") or "").partition("#L")
    if not file:
        return None
    name = join(tag("code", file), f", line{NBSP}{line}")
    where = f"{reading.repository.rstrip('/')}/blob/HEAD/{file}#L{line}"
    shown = tag("a", name, href=where, rel="noopener", target="_blank") if reading.repository else name
    return tag("span", "Code: ", shown, ".", class_="source")


def symbols(text: str) -> Markup:
    """The formula in words; each word of the glossary opens its meaning and the field that sets it."""
    pieces: list[str] = []
    end = 0
    for match in _WORDS.finditer(text):
        word = match.group()
        pieces += [text[end : match.start()], tag("button", word, type="button", class_="symbol", data_symbol=word)]
        end = match.end()
    return join(*pieces, text[end:])


def meaning(symbol: str) -> str:
    """What a word of a formula means."""
    return _GLOSSARY.get(symbol, "")


def plain(reading: Reading) -> str:
    """All derivations as text: label, symbols, values, result, reason."""
    return "\n\n".join(_plain(reading, row) for row in reading.rows)


def _plain(reading: Reading, row: Row) -> str:
    sums = [f"  = {line}" for line in lines(reading, row)]
    return "\n".join([row.label, *sums, f"  {row.item.get('why') or ''}"])


def markdown(reading: Reading) -> str:
    """All derivations as Markdown: a heading a row, its lines as code, the reason below."""
    parts = []
    for row in reading.rows:
        sums = "\n".join(f"    = {line}" for line in lines(reading, row))
        parts.append(f"**{row.label}**\n\n{sums}\n\n{row.item.get('why') or ''}".rstrip())
    return "\n\n".join(parts) + "\n"


def latex(reading: Reading) -> str:
    """All derivations as `align*` blocks: the quantity, then one line a step; words as text, products as products."""
    parts = []
    for row in reading.rows:
        sums = " \\\\\n".join(f"  &= {_maths(line)}" for line in lines(reading, row))
        parts.append(f"\\begin{{align*}}\n  \\text{{{_escaped(row.label)}}} {sums.lstrip()}\n\\end{{align*}}")
    return "\n".join(parts) + "\n"


def lines(reading: Reading, row: Row) -> list[str]:
    """Symbols, values and result, those that there are."""
    told = [str(row.item.get(key) or "") for key in ("symbols", "substituted")]
    return [*filter(None, told), f"{exact(row.size)} ≈ {reading.scale.near(row.size)}"]


_SIGNS = {
    "×": "\\times",
    "−": "-",
    "·": "\\cdot",
    "÷": "\\div",
    "≈": "\\approx",
    "⌈": "\\lceil",
    "⌉": "\\rceil",
    "⌊": "\\lfloor",
    "⌋": "\\rfloor",
}
_SPECIAL = re.compile(r"[\\{}$&#^_%~]")
_TOKEN = re.compile(r"\d[\d,.]*|[×−·÷≈⌈⌉⌊⌋+\-=()/<>\[\]|]|[^\W\d](?:[^×−·÷≈⌈⌉⌊⌋+=()/<>\[\]|]*[^\s×−·÷≈⌈⌉⌊⌋+=()/<>\[\]|])?|\S")


def _maths(line: str) -> str:
    """One line of a derivation as LaTeX: numbers with their commas kept together, words upright."""
    told = " ".join(_token(found.group()) for found in _TOKEN.finditer(line))
    return re.sub(r"(?<=\d) \\text", r"\\,\\text", told)


def _token(word: str) -> str:
    if word in _SIGNS:
        return _SIGNS[word]
    if word[0].isdigit():
        return word.replace(",", "{,}")
    return f"\\text{{{_escaped(word)}}}" if word[0].isalpha() else _escaped(word)


def _escaped(words: str) -> str:
    named = {"\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}"}
    return _SPECIAL.sub(lambda found: named.get(found.group(), f"\\{found.group()}"), words)


WRITTEN = {"text": plain, "markdown": markdown, "latex": latex}
