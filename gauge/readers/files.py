"""Local model files, read through slices: the door for a page or a program that must not load the file.

Protocol. The caller asks with one JSON object and gets one back; it repeats the question with what was wanted until the
answer wants nothing more (a few dozen times, some hundred kilobytes in all, for the longest of tokenizers):

    {"name": "model.gguf", "size": 1234567890, "slices": [{"offset": 0, "data": "<base64>"}], "config": {...} or absent}
    → {"want": {"offset": 0, "size": 65536}}                      cut this slice off the file and ask again with it added
    → {"changes": {field: value}, "message": "..."}               the request fields to set, and a sentence for the user
    → {"changes": null, "message": "...", "error": {...}}         the file cannot be read; `error` as in an answer

A first question may leave `slices` empty. `config` is a config.json the user gave before: a safetensors header is
compared with it. A name that ends in `.json` is a config.json itself, its text in the slices.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from os import SEEK_END
from typing import Any

from gauge.errors import RequestError
from gauge.readers import gguf, huggingface, safetensors
from gauge.readers.slices import MOST_READ, Read, broken

FIRST = 32 * 1024
LONGEST_CONFIG = 4_000_000


class Wanted(Exception):
    """More of the file is needed: the slice to cut off."""

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(f"{size} bytes at {offset}")
        self.offset = offset
        self.size = size


def inspect(question: str) -> str:
    """One step of the protocol above, as JSON text. Never raises."""
    try:
        asked = json.loads(question)
        return json.dumps(answer(asked if isinstance(asked, dict) else {}), ensure_ascii=False)
    except (ValueError, RecursionError):
        return json.dumps(_refused(broken("the question is not readable as JSON", "send one JSON object")))


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """One step of the protocol above. Never raises."""
    try:
        name, size = str(asked.get("name") or "the file")[:200], asked.get("size")
        known = size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None
        found, told = _read(name, _reader(asked.get("slices") or [], known), known, asked.get("config"))
        return {"changes": found, "message": f"{name}: {told}"}
    except Wanted as wanted:
        return {"want": {"offset": wanted.offset, "size": wanted.size}}
    except RequestError as error:
        return _refused(error)


def opened(path: str) -> tuple[dict[str, Any], str]:
    """The request fields that a file on this machine sets, and a sentence about it. Raises OSError, RequestError."""
    with open(path, "rb") as file:

        def read(offset: int, count: int) -> bytes:
            file.seek(offset)
            return file.read(count)

        return _read(path, read, file.seek(0, SEEK_END), None)


def _refused(error: RequestError) -> dict[str, Any]:
    return {"changes": None, "message": f"{error.message}; {error.remedy}.", "error": error.as_dict()}


def _read(name: str, read: Read, size: int | None, config: object) -> tuple[dict[str, Any], str]:
    lower = name.lower()
    if lower.endswith(".json"):
        return _config(read, size)
    if lower.endswith(".safetensors"):
        found = safetensors.header(read, size)
        return safetensors.fields(found, config if isinstance(config, dict) and config else None)
    if lower.endswith(".gguf") or read(0, 4) == gguf.MAGIC:
        return gguf.fields(gguf.header(read, size))
    raise broken("it is neither a .gguf, a .safetensors nor a config.json", "choose one of those")


def _config(read: Read, size: int | None) -> tuple[dict[str, Any], str]:
    if size is None or size > LONGEST_CONFIG:
        raise broken(f"a config.json is at most {LONGEST_CONFIG:,} bytes long", "choose the model's config.json")
    try:
        keys = json.loads(read(0, size))
    except (ValueError, RecursionError):
        raise broken("it is not readable as JSON", "choose the model's config.json") from None
    if not isinstance(keys, dict):
        raise broken("it holds no JSON object", "choose the model's config.json")
    model = huggingface.read(keys)
    return {"config": keys}, f"{model.family}, {model.parameters:,} parameters. {' '.join(model.notes)}".strip()


def _reader(slices: object, size: int | None) -> Read:
    """Serves reads from the slices given; what is missing is wanted in steps."""
    held: list[tuple[int, bytes]] = []
    for one in slices if isinstance(slices, list) else ():
        offset, data = (one.get("offset"), one.get("data")) if isinstance(one, dict) else (None, None)
        if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0 or not isinstance(data, str):
            raise broken("a slice has no offset or no data", "send base64 text with its offset")
        try:
            held.append((offset, base64.b64decode(data, validate=True)))
        except (ValueError, binascii.Error):
            raise broken("a slice is no base64", "send base64 text") from None
    if sum(len(data) for _, data in held) > 2 * MOST_READ:
        raise broken("the slices are larger than a header may be")
    joined = _joined(held)

    def read(offset: int, count: int) -> bytes:
        for start, data in joined:
            if start <= offset < start + len(data) or (count == 0 and start == offset):
                piece = data[offset - start : offset - start + count]
                if len(piece) == count or (size is not None and start + len(data) >= size):
                    return piece
                return more(start + len(data), count - len(piece), piece)
        return more(offset, count, b"")

    def more(offset: int, count: int, piece: bytes) -> bytes:
        if size is None or offset >= size:
            return piece  # nobody can cut further slices: what is there must do
        raise Wanted(offset, min(count, size - offset))

    return read


def _joined(held: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Slices that touch or overlap as one."""
    found: list[tuple[int, bytes]] = []
    for start, data in sorted(held, key=lambda s: s[0]):
        if found and found[-1][0] <= start <= found[-1][0] + len(found[-1][1]):
            before, text = found[-1]
            found[-1] = (before, text + data[before + len(text) - start :] if start + len(data) > before + len(text) else text)
        else:
            found.append((start, data))
    return found
