"""The wheel of ``gauge``, written with the standard library so that every machine makes the same bytes.

``pyproject.toml`` declares an ordinary backend for everyone else; a test compares both.
"""

from __future__ import annotations

import base64
import hashlib
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import published
from steps import ROOT, files_below

TIMESTAMP = (2020, 1, 1, 0, 0, 0)
PACKAGE = ROOT / "gauge"


def version() -> str:
    """The package's version as ``gauge/__init__.py`` states it."""
    found = re.search(r'^__version__ = "([^"]+)"', (PACKAGE / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise ValueError('gauge/__init__.py has no line __version__ = "..."')
    return found[1]


def filename() -> str:
    return f"compute_gauge-{version()}-py3-none-any.whl"


def sources() -> dict[str, bytes]:
    """Every file of the package by its path in the wheel."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in files_below(PACKAGE)
        if path.suffix not in {".pyc", ".md"} and not path.name.startswith(".")
    }


def write(target: Path, extra: dict[str, bytes] | None = None) -> None:
    """Write the wheel to ``target``; ``extra`` adds files (bytecode) beside the sources."""
    info = f"compute_gauge-{version()}.dist-info"
    files = sources() | (extra or {})
    files |= {
        f"{info}/METADATA": metadata().encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: compute-gauge\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entry_points().encode(),
        f"{info}/licenses/LICENSE": (ROOT / "LICENSE").read_bytes(),
    }
    record = f"{info}/RECORD"
    rows = [f"{name},sha256={_hash(data)},{len(data)}" for name, data in sorted(files.items())]
    files[record] = ("\n".join([*rows, f"{record},,"]) + "\n").encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    write_zip(target, files)


def write_zip(target: Path, files: dict[str, bytes]) -> None:
    """A deflated archive whose bytes depend on names and contents only."""
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name], compresslevel=9)


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def project() -> dict[str, Any]:
    """The ``[project]`` table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def metadata() -> str:
    """Core metadata 2.4, from the ``[project]`` table."""
    table = project()
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {table['name']}",
        f"Version: {version()}",
        f"Summary: {table['description']}",
        f"License-Expression: {table['license']}",
        "License-File: LICENSE",
        f"Requires-Python: {table['requires-python']}",
        *(f"Project-URL: {name}, {address}" for name, address in published.urls().items()),
        *(f"Classifier: {text}" for text in table["classifiers"]),
    ]
    for extra, wanted in table["optional-dependencies"].items():
        lines += [f"Provides-Extra: {extra}", *(f'Requires-Dist: {name}; extra == "{extra}"' for name in wanted)]
    readme = ROOT / "README.md"
    body = readme.read_text(encoding="utf-8") if readme.exists() else ""
    return "\n".join([*lines, "Description-Content-Type: text/markdown", "", body])


def entry_points() -> str:
    table = project()
    groups = {"console_scripts": table["scripts"], **table["entry-points"]}
    return "\n".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in rows.items()) for group, rows in groups.items()
    )
