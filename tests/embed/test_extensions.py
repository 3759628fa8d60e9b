"""The documentation extensions without a browser: what they emit, what they refuse, and where they say the calculator is."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gauge.embed import markup

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(1)</script>"
FIELDS = "model=openai-community/gpt2\nbatch_size=2\nsize=compact"


class Tags(HTMLParser):
    """The elements of a piece of HTML and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_fields_are_read_line_by_line() -> None:
    assert markup.read("# a comment\n\nmodel = gpt2\ntask: training\n") == {"model": "gpt2", "task": "training"}
    with pytest.raises(markup.EmbedError, match="not name=value"):
        markup.read("training")


def test_a_question_without_an_answer_says_what_to_change() -> None:
    with pytest.raises(markup.EmbedError, match="batch_size"):
        markup.element({"model": "openai-community/gpt2", "batch_size": "none"})


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="<>&\"'/=ab \u2028", max_size=20))
def test_no_field_becomes_markup(text: str) -> None:
    fields = {"model": "openai-community/gpt2", "size": text + HOSTILE, "theme": text, "label": HOSTILE + text}
    found = Tags(markup.element(fields)).found
    assert {tag for tag, _ in found} <= {"compute-gauge", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert found[0] == ("compute-gauge", fields)


def run(*words: str | Path, cwd: Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    found = [str(ROOT), str(path)]
    code = f"import sys, runpy; sys.path[:0] = {found!r}; runpy.run_module({words[0]!r}, run_name='__main__')"
    command = [sys.executable, "-c", code, *map(str, words[1:])]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8")


def sphinx(folder: Path, builder: str, settings: str = "") -> subprocess.CompletedProcess[str]:
    docs = folder / "docs"
    docs.mkdir(exist_ok=True)
    (docs / "conf.py").write_text(f"project = 'X'\nextensions = ['gauge.embed.sphinx']\n{settings}\n")
    body = "".join(f"   {line}\n" for line in FIELDS.splitlines())
    (docs / "index.rst").write_text(f"Docs\n====\n\n.. compute-gauge::\n\n{body}")
    return run("sphinx", "-q", "-b", builder, docs, folder / builder, cwd=folder)


@pytest.mark.parametrize(
    ("builder", "page"),
    [("text", "index.txt"), ("latex", "x.tex"), ("man", "x.1"), ("texinfo", "x.texi"), ("html", "index.html")],
)
def test_every_sphinx_builder_has_the_table(tmp_path: Path, builder: str, page: str) -> None:
    done = sphinx(tmp_path, builder, "compute_gauge_site = 'https://calculator.example/'")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    text = (tmp_path / builder / page).read_text(encoding="utf-8")
    assert "Allocated at the peak" in text
    assert ("https://calculator.example/compute-gauge.js" in text) == (builder == "html")


def test_without_a_site_sphinx_shows_the_table_and_says_so(tmp_path: Path) -> None:
    done = sphinx(tmp_path, "html")
    assert markup.UNKNOWN in done.stderr
    text = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert "Allocated at the peak" in text
    assert "compute-gauge.js" not in text


def installed(folder: Path, site: str) -> Path:
    """What an installed package tells: its plugin, and where its calculator is published."""
    info = folder / "compute_gauge-0.dist-info"
    info.mkdir()
    known = f"Project-URL: Repository, https://code.example/\nProject-URL: Site, {site}\n" if site else ""
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: compute-gauge\nVersion: 0\n{known}")
    (info / "entry_points.txt").write_text("[mkdocs.plugins]\ncompute-gauge = gauge.embed.mkdocs:ComputeGaugePlugin\n")
    return folder


@pytest.mark.parametrize("site", ["https://calculator.example/", ""])
def test_mkdocs_knows_the_site_of_its_package_or_says_that_none_is_named(tmp_path: Path, site: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# Docs\n\n~~~ compute-gauge\n{FIELDS}\n~~~\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: X\ntheme:\n  name: readthedocs\nplugins: [compute-gauge]\n")
    done = run("mkdocs", "build", "-d", tmp_path / "html", cwd=tmp_path, path=installed(tmp_path, site))
    assert done.returncode == 0, done.stderr
    assert (markup.UNKNOWN in done.stderr) == (not site)
    text = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert "Allocated at the peak" in text
    assert ("https://calculator.example/compute-gauge.js" in text) == bool(site)


def test_mkdocs_refuses_a_question_without_an_answer_by_its_page(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# Docs\n\n```compute-gauge\nmodel=openai-community/gpt2\nbatch_size=none\n```\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: X\nplugins:\n  - compute-gauge:\n      site: gauge\n")
    done = run("mkdocs", "build", "-d", tmp_path / "html", cwd=tmp_path, path=installed(tmp_path, ""))
    assert done.returncode != 0
    assert "index.md: compute-gauge: batch_size" in done.stderr
