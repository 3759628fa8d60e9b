"""One file a runtime: an engine's or trainer's allocation policy, found by listing this folder; nothing registers."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules

from gauge.case import Runtime
from gauge.errors import RequestError, shown


@lru_cache(maxsize=1)
def runtimes() -> dict[str, tuple[Runtime, ...]]:
    """Every runtime by id; an id may have one profile for each task."""
    found: dict[str, tuple[Runtime, ...]] = {}
    for module in sorted(m.name for m in iter_modules(__path__)):
        for runtime in getattr(import_module(f"{__name__}.{module}"), "RUNTIMES", ()):
            found[runtime.id] = (*found.get(runtime.id, ()), runtime)
    return found


def runtime(id: str, task: str) -> Runtime:
    """The profile of a runtime for a task. Raises RequestError."""
    known = runtimes().get(id)
    if known is None:
        raise RequestError("runtime", f"{shown(id)} is not known", f"choose one of {', '.join(of_task(task))}")
    for profile in known:
        if task in profile.tasks:
            return profile
    raise RequestError("runtime", f"{id} does not do {task}", f"choose one of {', '.join(of_task(task))}")


def of_task(task: str) -> list[str]:
    """Ids of the runtimes that do a task, `transformers` first."""
    ids = [id for id, profiles in runtimes().items() if any(task in p.tasks for p in profiles)]
    return sorted(ids, key=lambda id: (id != "transformers", id == "textbook", id))
