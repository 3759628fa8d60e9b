"""Assembles dist/: copies site/, prerenders the answers with the same Python that runs in the browser, stamps versions."""

from __future__ import annotations

import gzip
import html
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import published
import runtime
import sbom
import wheel
from steps import DIST, ROOT, SITE, WORK, BuildError, digest, files_below, say

NOT_SHIPPED = {"tools", "node_modules", "package.json", "package-lock.json", ".npmrc", "requirements.txt", "README.md"}
TEXT = {".html", ".js", ".css", ".webmanifest", ".json"}
# Never stored ahead: what the benchmark compares with, papers, and hundreds of model pages (kept once visited).
NOT_OFFLINE = ("benchmark", "sw.js", "licences/", "sbom.json", "models/")
PLAYGROUND_ONLY = ("playground", "vendor/pyscript", "stdlib-rest.zip", ".whl", "pyodide-lock.json")


def assemble(micropip: Path) -> None:
    """Make dist/ from nothing: always whole, so a removed file never lingers."""
    fresh = WORK / "dist"
    shutil.rmtree(fresh, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    fresh.mkdir()
    for path in sorted(SITE.iterdir()):
        if path.name in NOT_SHIPPED:
            continue
        if path.is_dir():
            shutil.copytree(path, fresh / path.name, ignore=ignored)
        else:
            shutil.copyfile(path, fresh / path.name)
    facts = runtime.install(fresh, micropip)
    build = digest(fresh, wheel.version())[:12]
    write_assets(fresh, facts, build)
    shown = {"version": wheel.version(), "build": build, "bytes": facts["bytes"], "date": last_change()}
    shown["repository"] = published.repository()
    prerender(fresh, shown)
    playground(fresh, facts)
    stamp(fresh, build)
    sbom.write(fresh, micropip)
    write_service_worker(fresh, build)
    shutil.rmtree(DIST, ignore_errors=True)
    fresh.rename(DIST)


def archive(tag: str = "") -> None:
    """The self-host archive and the wheel in .build/release/: unzip into any static folder.

    Raises BuildError when a release's tag names another version than the package.
    """
    if tag and tag != f"v{wheel.version()}":
        remedy = f"Set __version__ in gauge/__init__.py, or tag v{wheel.version()}."
        raise BuildError(f"the tag {tag} is not the version {wheel.version()}", remedy)
    target = WORK / "release"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    files = {f"compute-gauge/{path.relative_to(DIST).as_posix()}": path.read_bytes() for path in files_below(DIST)}
    wheel.write_zip(target / f"compute-gauge-site-{wheel.version()}.zip", files)
    for path in DIST.glob("python/*/*.whl"):
        shutil.copyfile(path, target / path.name)
    for path in sorted(target.iterdir()):
        say(f"  {path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


def write_assets(folder: Path, facts: dict[str, object], build: str) -> None:
    """assets.js: where the runtime lies and how many bytes its files have, raw and as a host would send them."""
    pyodide, python = (str(facts[name]).removeprefix("./") for name in ("pyodide", "python"))
    boot = [
        *(pyodide + name for name in runtime.PYODIDE_FILES),
        python + "stdlib.zip",
        python + "gauge.zip",
    ]
    sizes = {}
    for name in boot:
        data = (folder / name).read_bytes()
        compressible = Path(name).suffix in {".mjs", ".wasm"}
        sizes[name] = [len(data), len(gzip.compress(data, 6)) if compressible else len(data)]
    facts["bytes"] = sum(sent for _, sent in sizes.values())
    content = {"version": wheel.version(), "build": build, **facts, "sizes": sizes}
    text = "// Written by build.py: where the runtime lies; sizes are [bytes, bytes as sent].\n"
    (folder / "assets.js").write_text(f"{text}export const assets = {json.dumps(content, indent=1)};\n", encoding="utf-8")


def prerender(folder: Path, assets: dict[str, object]) -> None:
    """Put a real answer into each page template, computed by this Python with the package that the browser runs."""
    sys.path.insert(0, str(ROOT))
    try:
        page = importlib.import_module("gauge.view.page")
    except ImportError as error:
        remedy = "Mend gauge/; `python -c 'import gauge.view.page'` shows more."
        raise BuildError(f"the package cannot be imported: {error}", remedy) from error
    template = folder / "index.html"
    template.write_text(page.document(template.read_text(encoding="utf-8"), {}, assets), encoding="utf-8")
    embed(folder)
    catalogue(folder, assets)


def embed(folder: Path) -> None:
    """embed.html: the prerendered calculator, with embed.js deciding when Python starts."""
    text = (folder / "index.html").read_text(encoding="utf-8")
    changes = {
        '<script src="theme.js"></script>\n<script type="module" async src="start.js"></script>\n': "",
        '<script type="module" src="app.js"></script>': '<script type="module" src="embed.js"></script>',
        '<link rel="stylesheet" href="print.css" media="print">': (
            '<link rel="stylesheet" href="print.css" media="print">\n'
            '<link rel="stylesheet" href="embed.css">\n<meta name="robots" content="noindex">'
        ),
    }
    (folder / "embed.html").write_text(text, encoding="utf-8")
    fill(folder / "embed.html", changes)


def catalogue(folder: Path, assets: dict[str, object]) -> None:
    """The catalogue as data (the form searches it before Python runs) and as one static page a model."""
    catalog, model_page = (importlib.import_module(name) for name in ("gauge.catalog", "gauge.view.model_page"))
    models, devices = catalog.model_index(), catalog.device_index()
    write_text(folder / "data" / "models.json", json.dumps(models, separators=(",", ":")))
    write_text(folder / "data" / "devices.json", json.dumps(devices, separators=(",", ":")))
    for row in models:
        slug = model_page.slug(row["id"])
        write_text(folder / "models" / f"{slug}.html", model_page.document(row["id"], assets))
    write_text(folder / "models" / "index.html", model_page.index(models, assets))


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def playground(folder: Path, facts: dict[str, object]) -> None:
    """Fill in where the runtime lies; PyScript reads its settings from the page, so a module cannot tell it."""
    first = (folder / "playground" / "first.py").read_text(encoding="utf-8")
    slots = {"pyscript": str(facts["pyscript"]), "wheel": f"{facts['python']}{facts['wheel']}", "first": html.escape(first)}
    fill(folder / "playground.html", {f"{{{{{name}}}}}": value for name, value in slots.items()})
    fill(folder / "playground" / "pyodide.mjs", {"__PYODIDE__": f".{facts['pyodide']}"})


def fill(path: Path, values: dict[str, str]) -> None:
    """Replace marks in a file; a missing mark is an error, since something would silently stay unconnected."""
    text = path.read_text(encoding="utf-8")
    for mark, value in values.items():
        if mark not in text:
            raise BuildError(f"{path.name} lacks {mark}", f"Restore the mark in site/{path.name}.")
        text = text.replace(mark, value)
    path.write_text(text, encoding="utf-8")


def last_change() -> str:
    """The date of the last commit (ISO), so that the same sources give the same pages; empty outside a clone."""
    command = ["git", "-c", f"safe.directory={ROOT}", "log", "-1", "--format=%cs"]  # a container's clone may be another user's
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def stamp(folder: Path, build: str) -> None:
    """Give every reference to our own scripts and styles the build's name, so that a cached page never mixes versions."""
    ours = [path for path in files_below(folder) if path.suffix in TEXT and path.relative_to(folder).parts[0] != "vendor"]
    for path in ours:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            text = re.sub(r'((?:src|href)="(?![a-z]+:|//|#)[^"?#]+\.(?:js|css))"', rf'\1?v={build}"', text)
        elif path.suffix == ".js" and path.name != "sw.js":
            text = re.sub(r"""((?:from|import|import\()\s*['"]\.{1,2}/[^'"?]+\.js)(['"])""", rf"\1?v={build}\2", text)
            text = re.sub(r"""(new URL\(['"]\.{1,2}/[^'"?]+\.js)(['"])""", rf"\1?v={build}\2", text)
        path.write_text(text, encoding="utf-8")


def write_service_worker(folder: Path, build: str) -> None:
    """Fill in sw.js: the files of each group with a content hash, checked against the folder."""
    groups: dict[str, list[list[str]]] = {"core": [], "playground": []}
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        if name.startswith(NOT_OFFLINE):
            continue
        group = "playground" if any(part in name for part in PLAYGROUND_ONLY) else "core"
        groups[group].append([name, digest(path.read_bytes())[:16]])
    fill(folder / "sw.js", {"__BUILD__": build, "'__GROUPS__'": json.dumps(groups, separators=(",", ":"))})
