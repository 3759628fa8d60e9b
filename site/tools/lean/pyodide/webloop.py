"""Pyodide's event loop, left out: the calculator never waits. The imports are those that Pyodide's own start expects."""

from pyodide_js._api import scheduleCallback  # noqa: F401


def _initialize_event_loop():
    from pyodide_js._api import config  # noqa: F401
