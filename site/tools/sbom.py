"""The software bill of materials of dist/: every vendored file with its hash, and every package with its licence."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import runtime
import wheel
from steps import SITE, files_below

SPDX = {"APACHE-2.0": "Apache-2.0"}
# Compiled into pyodide.asm.wasm beside CPython, as its strings say; site/licences/ has their texts.
INSIDE_PYODIDE = (
    ("Emscripten runtime", "MIT"),
    ("bzip2", "bzip2-1.0.6"),
    ("Expat", "MIT"),
    ("libffi", "MIT"),
    ("libmpdec", "BSD-2-Clause"),
    ("zlib", "Zlib"),
    ("Zstandard", "BSD-3-Clause"),
)


def write(folder: Path, micropip: Path) -> None:
    """sbom.json (CycloneDX 1.6) and licences/ with the licence texts that the packages ship."""
    components = [
        {
            "type": "library",
            "name": "compute-gauge",
            "version": wheel.version(),
            "licenses": [{"license": {"id": "MIT"}}],
            "components": [one for one in hashes(folder, "python/") if "/stdlib" not in one["name"]],
        },
        package("pyodide", folder, "vendor/pyodide-", skip=micropip.name),
        {
            "type": "library",
            "name": "CPython",
            "version": "3.14.2",
            "licenses": [{"license": {"id": "PSF-2.0"}}],
            "components": [one for one in hashes(folder, "") if "stdlib" in one["name"]],
        },
        *({"type": "library", "name": name, "licenses": [{"license": {"id": text}}]} for name, text in INSIDE_PYODIDE),
        {
            "type": "library",
            "name": "micropip",
            "version": micropip.name.split("-")[1],
            "purl": f"pkg:pypi/micropip@{micropip.name.split('-')[1]}",
            "licenses": [{"license": {"id": "MPL-2.0"}}],
            "components": [one for one in hashes(folder, "vendor/pyodide-") if one["name"].endswith(micropip.name)],
        },
        package("@pyscript/core", folder, "vendor/pyscript-"),
        *(package(name, folder, f"vendor/{target}") for name, (_, target) in runtime.PAGE_LIBRARIES.items()),
        *bundled(),
    ]
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}
    (folder / "sbom.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    copy_licences(folder, micropip)


def package(name: str, folder: Path, prefix: str, skip: str = "") -> dict[str, object]:
    """A vendored npm package with its files."""
    entry = lock()[f"node_modules/{name}"]
    files = [one for one in hashes(folder, prefix) if not skip or not one["name"].endswith(skip)]
    return component(name, entry) | {"components": files}


def bundled() -> list[dict[str, object]]:
    """What the vendored bundles contain: the rest of the dependency tree, as the lock file pins it."""
    direct = {"pyodide", "@pyscript/core", *runtime.PAGE_LIBRARIES}
    unused = ("node_modules/ws", "node_modules/@types/")  # Pyodide names them for Node only
    found = []
    for path, entry in lock().items():
        if path and not entry.get("dev") and path.removeprefix("node_modules/") not in direct and not path.startswith(unused):
            found.append(component(path.rpartition("node_modules/")[2], entry))
    return found


def component(name: str, entry: dict[str, str]) -> dict[str, object]:
    licence = entry.get("license", "NOASSERTION")
    return {
        "type": "library",
        "name": name,
        "version": entry["version"],
        "purl": f"pkg:npm/{name.replace('@', '%40')}@{entry['version']}",
        "licenses": [{"license": {"id": SPDX.get(licence, licence)}}],
        "hashes": [{"alg": "SHA-512", "content": integrity_hex(entry["integrity"])}],
    }


def integrity_hex(integrity: str) -> str:
    return base64.b64decode(integrity.removeprefix("sha512-")).hex()


def hashes(folder: Path, prefix: str) -> list[dict[str, Any]]:
    """Each file of dist/ below ``prefix`` as a CycloneDX file component with its SHA-256."""
    return [
        {
            "type": "file",
            "name": path.relative_to(folder).as_posix(),
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        }
        for path in files_below(folder)
        if path.relative_to(folder).as_posix().startswith(prefix)
    ]


def lock() -> dict[str, dict[str, str]]:
    packages: dict[str, dict[str, str]] = json.loads((SITE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    return packages


def copy_licences(folder: Path, micropip: Path) -> None:
    """Each package's own text, beside those of site/licences/; Pyodide ships none, but has the same as its micropip."""
    target = folder / "licences"
    with zipfile.ZipFile(micropip) as wheel_file:
        (text,) = (name for name in wheel_file.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        for name in ("micropip", "pyodide"):
            (target / f"{name}.txt").write_bytes(wheel_file.read(text))
    for path, entry in lock().items():
        if not path or entry.get("dev"):
            continue
        for text in (SITE / path).glob("LICENSE*"):
            shutil.copyfile(text, target / f"{path.removeprefix('node_modules/').replace('/', '-')}.txt")
    shutil.copyfile(SITE.parent / "LICENSE", target / "compute-gauge.txt")
