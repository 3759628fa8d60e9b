"""Contract: data flows one way. A module imports only from modules listed before it, and only the standard library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import gauge

ROOT = Path(gauge.__file__).parent
# The house from bottom to top. A folder is one entry; inside it, modules may import each other freely.
# `view` turns answers into markup; `view.page` is the door that the browser asks, so it stands above `api`.
ORDER = (
    "__init__",
    "units",
    "versions",
    "errors",
    "formats",
    "tensor",
    "how",
    "record",
    "tape",
    "kernels",
    "sequence",
    "layers",
    "model",
    "plan",
    "hardware",
    "optimizers",
    "quantization",
    "overheads",
    "breakdown",
    "case",
    "abilities",
    "memory",
    "readers",
    "gguf",
    "runtimes",
    "catalog",
    "fields",
    "remedy",
    "architecture",
    "request",
    "remarks",
    "estimation",
    "fit",
    "report",
    "measured",
    "view",
    "api",
    "view.page",
    "view.model_page",
    "embed",
    "__main__",
)


def modules() -> list[tuple[str, Path]]:
    """(dotted name below gauge, file) of every module."""
    return [(".".join(p.relative_to(ROOT).with_suffix("").parts), p) for p in sorted(ROOT.rglob("*.py"))]


def imported(tree: ast.Module) -> set[str]:
    """Modules imported when the file itself is imported; imports inside functions run later and are checked too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{a.name}" for a in node.names} if node.module == "gauge" else {node.module}
    return names


def place(dotted: str) -> int:
    """Where a module stands; a module of a folder may have a place of its own."""
    return ORDER.index(dotted if dotted in ORDER else dotted.split(".")[0])


def test_every_module_has_a_place() -> None:
    assert not {name.split(".")[0] for name, _ in modules()} - set(ORDER) - {"data"}


def test_imports_point_downwards() -> None:
    wrong = []
    for name, file in modules():
        if name.split(".")[0] in ("data", "__init__"):
            continue
        for target in imported(ast.parse(file.read_text(encoding="utf-8"))):
            head, _, below = target.partition(".")
            if head == "gauge" and below.split(".")[0] in ORDER and place(below) > place(name):
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_only_the_standard_library_is_imported() -> None:
    allowed = set(sys.stdlib_module_names) | {"gauge"}
    foreign = {
        f"{name} imports {target}"
        for name, file in modules()
        if not name.startswith("embed")
        for target in imported(ast.parse(file.read_text(encoding="utf-8")))
        if target.split(".")[0] not in allowed
    }
    assert not foreign
