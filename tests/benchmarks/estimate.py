"""How long an estimate and the catalogue take, as ratios to a stated baseline: `python -m tests.benchmarks.estimate`.

The baseline is this machine's own speed at plain Python: 100,000 turns of a loop that adds integers (about 2 to 5 ms on
today's machines). A ratio says "so many baselines" and can be compared between machines; no test waits on it.

What is measured: a 100-layer model read from its config and estimated (inference and a training step, without the
inverse questions), and the catalogue: one entry loaded, the search box's list, against parsing every line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import count
from statistics import median
from time import perf_counter
from typing import Any

from gauge import catalog
from gauge.api import answer_to
from gauge.estimation import estimate
from gauge.readers import huggingface
from gauge.request import parse

ROUNDS = 15
TURNS = 100_000
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 8192,
    "num_hidden_layers": 100,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28_672,
    "vocab_size": 128_256,
    "max_position_embeddings": 131_072,
}


another = count(CONFIG["vocab_size"]).__next__


def unseen() -> dict[str, object]:
    """The model with a vocabulary that no question had: nothing of it is remembered."""
    return CONFIG | {"vocab_size": another()}


def baseline() -> int:
    """100,000 additions."""
    total = 0
    for turn in range(TURNS):
        total += turn
    return total


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median time of one run; the first, which warms caches, does not count."""
    work()
    times = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return median(times)


def fresh_index() -> object:
    """The search box's list from the file's text, nothing cached."""
    for cached in (catalog.heads, catalog.entries, catalog._lines):
        cached.cache_clear()
    return catalog.model_index()


def fresh_entry() -> object:
    """One model from the file's text, nothing cached."""
    catalog._lines.cache_clear()
    catalog.load_model.cache_clear()
    return catalog.load_model("Qwen/Qwen3-0.6B")


def parse_everything() -> object:
    """What loading the catalogue would cost without laziness."""
    catalog._lines.cache_clear()
    return [json.loads(line) for line in catalog._lines(catalog.MODELS)]


def rows() -> Iterable[tuple[str, Callable[[], object]]]:
    serving, training = parse({"config": CONFIG}), parse({"config": CONFIG, "task": "training"})
    yield "100-layer model read from its config", lambda: huggingface.read(unseen())
    yield "read and estimated, inference", lambda: estimate(parse({"config": unseen()}))
    yield "read and estimated, training step", lambda: estimate(parse({"config": unseen(), "task": "training"}))
    yield "estimated only, inference", lambda: estimate(serving)
    yield "estimated only, training step", lambda: estimate(training)
    yield "answered as JSON without inverse questions", lambda: answer_to({"config": unseen()}, deep=False)
    yield "catalogue: one entry, from text", fresh_entry
    yield "catalogue: list for the search box, from text", fresh_index
    yield "catalogue: every line parsed (before)", parse_everything


def main() -> None:
    unit = seconds(baseline)
    print(f"baseline: {TURNS:,} additions in {1000 * unit:.2f} ms")
    for name, work in rows():
        took = seconds(work)
        print(f"{name:48s} {took / unit:8.2f} baselines {1000 * took:8.2f} ms")


if __name__ == "__main__":
    main()
