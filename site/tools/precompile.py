"""Runs inside Pyodide (started by precompile.mjs): compiles the standard library and ``gauge``, and trims the former.

The calculator's standard library is lean: asyncio, Pyodide's event loop and its package loader, which import half of
the library and which the calculator never uses, give way to the stand-ins in ``lean/``. A module is kept for the boot
archive when starting so and importing the package loads it; its whole top-level package comes along, because one
package cannot be split over two archives. ``encodings`` is the exception: it is large, and the playground extends its
path. The archive of the rest comes first on the playground's path: what the stand-ins replace is whole in there.
"""

import ast
import base64
import importlib
import importlib._bootstrap_external as external
import importlib.util
import io
import json
import os
import sys
import zipfile
from pathlib import Path

ARCHIVE = "/lib/python314.zip"
TIMESTAMP = (2020, 1, 1, 0, 0, 0)
# Imported inside functions of the standard library or of Pyodide, so a plain import does not show them:
# codeop and _colorize (tracebacks), encodings.* (text files and zip names).
ALWAYS = (
    "_colorize",
    "codeop",
    "encodings.ascii",
    "encodings.cp437",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_8",
    "json",
    "linecache",
    "random",
    "traceback",
)
SPLIT = {"encodings"}
REPLACED = {"asyncio", "pyodide"}  # packages with a stand-in: the playground needs them whole


def compile_all(lean: str) -> None:
    """Bytecode of the whole standard library: as it is, and with the stand-ins in place."""
    os.makedirs("/out", exist_ok=True)
    whole = {}
    with zipfile.ZipFile(ARCHIVE) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("/"):
                whole.update([compiled(name, archive.read(name))])
    stands = {path.relative_to(lean).as_posix(): path.read_bytes() for path in sorted(Path(lean).rglob("*.py"))}
    kept = {name: data for name, data in whole.items() if not name.startswith("asyncio/")}
    kept.update(compiled(name, data) for name, data in stands.items())
    write_zip("/out/whole.zip", whole)
    write_zip("/out/lean.zip", kept)


def compiled(name: str, data: bytes) -> tuple[str, bytes]:
    """A file of the standard library as it goes into an archive."""
    return (name + "c", bytecode(data, f"{ARCHIVE}/{name}", optimize=2)) if name.endswith(".py") else (name, data)


def main(site_packages: str, kept: set[str]) -> str:
    """Split what compile_all made by the modules that the lean start has loaded, and compile the package."""
    with zipfile.ZipFile("/out/lean.zip") as archive:
        boot = {name: archive.read(name) for name in archive.namelist() if is_kept(name, kept)}
    with zipfile.ZipFile("/out/whole.zip") as archive:
        names = [name for name in archive.namelist() if name not in boot or name.split("/")[0] in REPLACED]
        rest = {name: archive.read(name) for name in names}
    write_zip("/out/stdlib.zip", boot)
    write_zip("/out/stdlib-rest.zip", rest)
    write_zip("/out/gauge.zip", package_archive(site_packages))
    Path("/out/bytecode.json").write_text(json.dumps(package_bytecode(site_packages)))
    return f"standard library: {len(boot)} files at boot, {len(rest)} for the playground"


def kept_modules(site_packages: str) -> set[str]:
    """Names of standard-library modules loaded by boot, by ``ALWAYS`` and by every import statement in the package."""
    sys.path.append(site_packages)
    wanted = set(ALWAYS)
    for path in Path(site_packages, "gauge").rglob("*.py"):
        parts = path.relative_to(site_packages).with_suffix("").parts
        if "embed" in parts or path.name == "__main__.py":
            continue  # documentation plugins and the command line never run in the browser
        wanted.add(".".join(parts).removesuffix(".__init__"))
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                wanted.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                wanted.add(node.module)
    for name in sorted(wanted):
        importlib.import_module(name)
    exercise()
    return {name for name, module in list(sys.modules.items()) if comes_from_archive(module)}


def exercise() -> None:
    """Ask the package the questions that reach its lazily imported parts: answers, errors, the page's update."""
    from gauge import api
    from gauge.view import page

    for request in ("{}", '{"task": "training", "timeline": true}', '{"batch_size": "x"}', "not JSON"):
        api.answer(request)
    page.update("{}")


def comes_from_archive(module: object) -> bool:
    spec = getattr(module, "__spec__", None)
    return bool(spec and spec.origin and spec.origin.startswith(ARCHIVE))


def is_kept(path: str, kept: set[str]) -> bool:
    module = path.removesuffix(".pyc").removesuffix("/__init__").replace("/", ".")
    top = module.split(".")[0]
    if top in SPLIT:
        return module in kept
    return top in {name.split(".")[0] for name in kept}


def bytecode(source: bytes, filename: str, *, optimize: int) -> bytes:
    """An unchecked-hash .pyc: the archive holds no source to compare it with."""
    code = compile(source, filename, "exec", dont_inherit=True, optimize=optimize)
    return bytes(external._code_to_hash_pyc(code, importlib.util.source_hash(source), False))


def package_bytecode(site_packages: str) -> dict[str, str]:
    """Checked-hash .pyc files for the wheel, so that a person who edits the installed source is still believed."""
    found = {}
    for path in sorted(Path(site_packages, "gauge").rglob("*.py")):
        source = path.read_bytes()
        code = compile(source, str(path), "exec", dont_inherit=True, optimize=0)
        data = external._code_to_hash_pyc(code, importlib.util.source_hash(source), True)
        cached = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
        found[cached.relative_to(site_packages).as_posix()] = base64.b64encode(data).decode()
    return found


def package_archive(site_packages: str) -> dict[str, bytes]:
    """The package as the calculator imports it, straight from a zip: bytecode and data, without the documentation plugins."""
    found = {}
    for path in sorted(Path(site_packages, "gauge").rglob("*")):
        name = path.relative_to(site_packages).as_posix()
        if path.is_dir() or "__pycache__" in path.parts or name.startswith("gauge/embed/"):
            continue
        if path.suffix == ".py":
            found[name + "c"] = bytecode(path.read_bytes(), name, optimize=2)
        else:
            found[name] = path.read_bytes()
    return found


def write_zip(target: str, files: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=9)
    Path(target).write_bytes(buffer.getvalue())
