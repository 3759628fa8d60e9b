"""The Python runtime that goes into dist/: Pyodide, PyScript, micropip, the precompiled standard library and our wheel."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import published
import wheel
from steps import SITE, WORK, digest, run, step

MODULES = SITE / "node_modules"
TOOLS = SITE / "tools"
PYODIDE_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm")
# The page's own small libraries: package -> (file in the package, file in dist/vendor/).
PAGE_LIBRARIES = {
    "@github/combobox-nav": ("dist/index.js", "combobox-nav/index.js"),
    "idiomorph": ("dist/idiomorph.esm.js", "idiomorph/idiomorph.esm.js"),
    "d3": ("dist/d3.min.js", "plot/d3.min.js"),
    "@observablehq/plot": ("dist/plot.umd.min.js", "plot/plot.umd.min.js"),
}
MADE = WORK / "runtime"


def npm_version(name: str) -> str:
    return str(json.loads((MODULES / name / "package.json").read_text(encoding="utf-8"))["version"])


def precompile(node: Path) -> None:
    """Run the pinned Pyodide in Node once: bytecode for the standard library and for the package.

    The wheel is what micropip and pip install; gauge.zip is the same package as the calculator imports it.
    """
    plain = WORK / "wheel" / wheel.filename()

    def make() -> None:
        shutil.rmtree(plain.parent, ignore_errors=True)
        wheel.write(plain)
        command = [node, TOOLS / "precompile.mjs", MODULES / "pyodide", plain, MADE]
        run(command, remedy="The package must import under Pyodide's Python: the traceback above names the line.")
        packed = json.loads((MADE / "bytecode.json").read_text(encoding="utf-8"))
        wheel.write(MADE / wheel.filename(), {name: base64.b64decode(data) for name, data in packed.items()})

    tools = [TOOLS / name for name in ("precompile.mjs", "precompile.py", "wheel.py", "runtime.py")]
    package = [SITE / "package-lock.json", wheel.ROOT / "pyproject.toml", wheel.ROOT / "LICENSE"]
    readme = [path for path in [wheel.ROOT / "README.md"] if path.exists()]
    inputs = digest(wheel.PACKAGE, TOOLS / "lean", *tools, *package, *readme, json.dumps(published.urls()))
    step("precompiled Python", inputs, [MADE / "stdlib.zip", MADE / "gauge.zip", MADE / wheel.filename()], make)


def install(dist: Path, micropip: Path) -> dict[str, object]:
    """Copy the runtime into ``dist`` and return what the page must know of it.

    Folders carry a version or a content hash, so a cached old file can never meet a new one.
    """
    pyodide = dist / "vendor" / f"pyodide-{npm_version('pyodide')}"
    copy_files(MODULES / "pyodide", pyodide, PYODIDE_FILES)
    shutil.copyfile(micropip, pyodide / micropip.name)
    write_lock(pyodide, micropip)
    pyscript = dist / "vendor" / f"pyscript-{npm_version('@pyscript/core')}"
    copy_files(MODULES / "@pyscript" / "core" / "dist", pyscript, pyscript_files())

    for name, (source, target) in PAGE_LIBRARIES.items():
        (dist / "vendor" / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(MODULES / name / source, dist / "vendor" / target)

    made = [MADE / "stdlib.zip", MADE / "stdlib-rest.zip", MADE / "gauge.zip", MADE / wheel.filename()]
    folder = dist / "python" / digest(*made, json.dumps(npm_version("pyodide")))[:12]
    copy_files(MADE, folder, [path.name for path in made])
    benchmark = dist / "benchmark"
    copy_files(MODULES / "pyodide", benchmark, ["python_stdlib.zip"])
    return {
        "python": f"./{folder.relative_to(dist).as_posix()}/",
        "pyodide": f"./{pyodide.relative_to(dist).as_posix()}/",
        "pyscript": f"./{pyscript.relative_to(dist).as_posix()}/",
        "wheel": wheel.filename(),
        "lock": json.loads((pyodide / "pyodide-lock.json").read_text(encoding="utf-8")),
    }


def pyscript_files() -> list[str]:
    """PyScript without maps, its other interpreters' helpers and its own service worker."""
    folder = MODULES / "@pyscript" / "core" / "dist"
    return [path.name for path in sorted(folder.iterdir()) if path.suffix in {".js", ".css"} and path.name != "service-worker.js"]


def write_lock(folder: Path, micropip: Path) -> None:
    """Pyodide's package list cut to micropip, with the hash of the vendored file (the shipped list has another build's)."""
    shipped = json.loads((MODULES / "pyodide" / "pyodide-lock.json").read_text(encoding="utf-8"))
    entry = shipped["packages"]["micropip"]
    entry["file_name"] = micropip.name
    entry["version"] = micropip.name.split("-")[1]
    entry["sha256"] = hashlib.sha256(micropip.read_bytes()).hexdigest()
    entry["depends"] = []
    lock = {"info": shipped["info"], "packages": {"micropip": entry}}
    (folder / "pyodide-lock.json").write_text(json.dumps(lock), encoding="utf-8")


def copy_files(source: Path, target: Path, names: Iterable[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(source / name, target / name)
