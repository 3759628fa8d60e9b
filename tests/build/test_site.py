"""The built folder: complete, same-origin, free of inline scripts, pinned and licensed."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
OURS = [path for path in sorted(DIST.rglob("*")) if path.is_file() and "vendor" not in path.parts]


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if not (DIST / "index.html").exists():
        pytest.fail("dist/ is missing: run `python build.py` first")


class Page(HTMLParser):
    """What a page loads and what it carries inline."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.policy = ""
        self.inline = 0
        self._script: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        loading = {"script": "src", "link": "href", "img": "src", "iframe": "src"}.get(tag)
        if loading and found.get(loading):
            self.loads.append(str(found[loading]))
        if tag == "script":
            self._script = found
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(found.get("content"))
        self.inline += sum(name.startswith("on") for name in found) + ("style" in found)

    def handle_data(self, data: str) -> None:
        if self._script is not None and data.strip():
            self.inline += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None


def pages() -> list[Path]:
    return [path for path in OURS if path.suffix == ".html"]


def test_every_reference_exists_and_is_our_own() -> None:
    for path in pages():
        for target in Page(path.read_text()).loads:
            assert not re.match(r"[a-z]+:|//|/", target.replace("data:", "")), f"{path.name}: {target}"
            if not target.startswith("data:"):
                assert (path.parent / target.split("?")[0].split("#")[0]).exists(), f"{path.name}: {target}"


def test_no_inline_script_style_or_handler() -> None:
    for path in pages():
        assert Page(path.read_text()).inline == 0, path.name


def test_policies_are_strict() -> None:
    for path in pages():
        policy = Page(path.read_text()).policy
        assert "default-src 'self'" in policy, path.name
        assert "unsafe-inline" not in policy
        assert ("unsafe-eval" in policy.replace("wasm-unsafe-eval", "")) == (path.name == "playground.html"), path.name


def test_offline_list_matches_the_folder() -> None:
    text = (DIST / "sw.js").read_text()
    groups = json.loads(re.search(r"const GROUPS = (\{.*?\});", text)[1])
    assert set(groups) == {"core", "playground"}
    for name, digest in (row for rows in groups.values() for row in rows):
        assert hashlib.sha256(hashlib.sha256((DIST / name).read_bytes()).digest()).hexdigest()[:16] == digest, name
    core = {name for name, _ in groups["core"]}
    assert {"index.html", "worker.js", "engine.js", "assets.js"} <= core


def test_every_vendored_file_is_in_the_bill_of_materials() -> None:
    bill = json.loads((DIST / "sbom.json").read_text())
    listed = {
        file["name"]: file["hashes"][0]["content"] for part in bill["components"] for file in part.get("components", [])
    }
    vendored = [path for folder in ("vendor", "python") for path in (DIST / folder).rglob("*") if path.is_file()]
    vendored.append(DIST / "benchmark" / "python_stdlib.zip")
    names = {path.relative_to(DIST).as_posix(): path for path in vendored}
    assert set(listed) == set(names)
    for name, path in names.items():
        assert listed[name] == hashlib.sha256(path.read_bytes()).hexdigest(), name


def test_every_component_has_a_licence_and_every_vendored_one_its_text() -> None:
    for part in json.loads((DIST / "sbom.json").read_text())["components"]:
        (licence,) = part["licenses"]
        assert licence["license"]["id"] != "NOASSERTION", part["name"]
        if part.get("components"):
            text = DIST / "licences" / f"{part['name'].replace('/', '-')}.txt"
            assert len(text.read_text(encoding="utf-8")) > 400, part["name"]
    inside = (DIST / "licences" / "inside-pyodide.txt").read_text(encoding="utf-8")
    for name in ("zlib", "bzip2", "Zstandard", "libmpdec", "Expat", "libffi", "Emscripten"):
        assert f"\n{name}" in inside


def test_lock_file_names_no_download_address() -> None:
    text = (ROOT / "site/package-lock.json").read_text()
    assert '"resolved"' not in text
    assert text.count('"integrity"') >= 20


def test_lock_of_pyodide_holds_micropip_alone_with_its_true_hash() -> None:
    lock_path = next(DIST.glob("vendor/pyodide-*/pyodide-lock.json"))
    lock = json.loads(lock_path.read_text())
    assert list(lock["packages"]) == ["micropip"]
    entry = lock["packages"]["micropip"]
    assert hashlib.sha256((lock_path.parent / entry["file_name"]).read_bytes()).hexdigest() == entry["sha256"]


def test_the_standard_library_is_bytecode_only() -> None:
    for path in DIST.glob("python/*/stdlib*.zip"):
        with zipfile.ZipFile(path) as archive:
            assert not [name for name in archive.namelist() if name.endswith(".py")]


def test_boot_needs_no_more_bytes_than_bare_pyodide() -> None:
    """Compressed bytes to the first live answer, at most 1.05 times what bare Pyodide fetches."""
    def sent(path: Path) -> int:
        data = path.read_bytes()
        return len(gzip.compress(data, 6)) if path.suffix in {".mjs", ".wasm", ".js", ".json", ".html", ".css"} else len(data)

    pyodide = next(DIST.glob("vendor/pyodide-*"))
    runtime = sum(sent(pyodide / name) for name in ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm"))
    bare = runtime + sent(DIST / "benchmark/python_stdlib.zip") + sent(pyodide / "pyodide-lock.json")
    python = [path for path in DIST.glob("python/*/*") if path.name in {"stdlib.zip", "gauge.zip"}]
    page = [path for path in DIST.iterdir() if path.suffix in {".js", ".css"} or path.name == "index.html"]
    data = list((DIST / "data").glob("*.json"))
    ours = runtime + sum(sent(path) for path in [*python, *page, *data])
    assert ours <= 1.05 * bare, (ours, bare)
