"""The playground's side in Python, run by PyScript in its worker: executes a snippet and describes what it shows."""

import ast
import contextlib
import io
import json
import traceback
from typing import Any

from pyscript import sync

import gauge
import gauge.api

ROWS = 500
TEXT = 200_000


def run(code: str) -> str:
    """Run a snippet; JSON of {"printed", "shown", "error"}. The value of a last expression is shown, as in a notebook."""
    printed = io.StringIO()
    shown: dict[str, Any] | None = None
    error = ""
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            value = execute(code)
        shown = None if value is None else described(value)
    except SystemExit:
        pass
    except BaseException as problem:
        error = told(problem)
    return json.dumps({"printed": printed.getvalue()[:TEXT], "shown": shown, "error": error})


def execute(code: str) -> Any:
    """The value of the last statement when it is an expression, else None."""
    tree = ast.parse(code, "snippet")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    names: dict[str, Any] = {"__name__": "__main__", "gauge": gauge}
    exec(compile(tree, "snippet", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "snippet", "eval"), names)


def described(value: Any) -> dict[str, Any]:
    """How the page shows a value: a picture, a table of rows, or text. Never markup: the page builds the elements."""
    if isinstance(value, str) and value.lstrip().startswith("<svg"):
        return {"kind": "svg", "svg": value}
    if picture := getattr(value, "_repr_svg_", None):
        return {"kind": "svg", "svg": str(picture())}
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        columns = list(dict.fromkeys(str(key) for row in value for key in row))
        rows = [[str(row.get(column, "")) for column in columns] for row in value[:ROWS]]
        return {"kind": "table", "columns": columns, "rows": rows}
    text = value if isinstance(value, str) else repr(value)
    return {"kind": "text", "text": text[:TEXT]}


def told(problem: BaseException) -> str:
    """The traceback from the snippet's own first line on."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = next((number for number, frame in enumerate(frames) if frame.filename == "snippet"), len(frames))
    lines = [f"line {frame.lineno}, in {frame.name}\n" for frame in frames[own:] if frame.filename == "snippet"]
    return "".join(lines) + "".join(traceback.format_exception_only(problem))


sync.run = run
sync.answer = gauge.api.answer
