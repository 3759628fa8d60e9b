"""The engine's own manners: the same answers as CPython, latest wins, failures told, no work on the page's thread."""

from __future__ import annotations

import json
import re

import pytest
from harness import Site, cpython
from playwright.sync_api import Page

REQUESTS = [
    {},
    {"task": "training"},
    {"model": "meta-llama/Llama-3.1-8B", "sequence_length": "32k", "batch_size": 4},
    {"model": "openai-community/gpt2", "task": "training", "runtime": "textbook", "optimizer": "sgd"},
    {"batch_size": "not a number"},
    {"no_such_field": 1},
    {"model": '<img src=x onerror="alert(1)">'},
]

ASK = """async ([name, text]) => {
  const {Engine} = await import(document.querySelector('script[type=module]').src.replace(/[^/]*$/, 'engine.js'));
  const engine = (window.__engine ??= new Engine());
  await engine.boot();
  return engine.ask(name, text);
}"""


@pytest.fixture
def engine(page: Page, site: Site) -> Page:
    page.goto(site.url)
    return page


def test_answers_are_cpythons_byte_for_byte(engine: Page) -> None:
    for request in REQUESTS:
        text = json.dumps(request)
        assert engine.evaluate(ASK, ["answer", text]) == cpython(text), text


def test_unknown_questions_are_refused(engine: Page) -> None:
    for name in ("_answer", "json", "lru_cache", "no_such", "__import__"):
        with pytest.raises(Exception, match="no question named"):
            engine.evaluate(ASK, [name, "{}"])


def test_latest_wins(engine: Page) -> None:
    engine.evaluate(ASK, ["answer", "{}"])
    found = engine.evaluate(
        """() => Promise.all(Array.from({length: 30}, (_, n) =>
             window.__engine.latest('answer', JSON.stringify({batch_size: n + 1}))))"""
    )
    assert found[-1] == cpython('{"batch_size":30}')
    assert found.count(None) >= 28


def test_a_failed_start_is_told_and_can_be_tried_again(page: Page, site: Site) -> None:
    broken = re.compile(r"pyodide\.asm\.mjs")
    page.context.route(broken, lambda route: route.abort())
    page.goto(site.url)
    state = """async () => {
      const {Engine} = await import(document.querySelector('script[type=module]').src.replace(/[^/]*$/, 'engine.js'));
      window.__engine = new Engine();
      return window.__engine.boot().then(() => 'ready', (problem) => `failed: ${problem.message}`);
    }"""
    assert page.evaluate(state).startswith("failed: ")
    page.context.unroute(broken)
    assert page.evaluate("() => window.__engine.boot().then(() => window.__engine.state)") == "ready"


def test_python_never_runs_on_the_pages_thread(live: Page) -> None:
    """How long the page's own tasks take is for `python build.py benchmark` to say; what must not be in them is for here."""
    loaded = live.evaluate("() => performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert not [name for name in loaded if ".wasm" in name or "pyodide" in name]
    assert live.evaluate("() => 'loadPyodide' in window") is False
