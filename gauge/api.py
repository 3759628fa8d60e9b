"""The doors into the engine: keyword arguments, or one JSON text in and one out."""

from __future__ import annotations

import json
from typing import Any

from gauge import estimation as engine
from gauge import report
from gauge.errors import RequestError, RequestErrors, shown
from gauge.fields import read_json
from gauge.request import parse

LONGEST_REQUEST = 4_000_000
OUR_FAULT = "the engine failed on it"


class Estimate(engine.Estimate):
    """An estimate with its answer: as data, printed as a table, and as a breakdown in a notebook."""

    def answer(self, deep: bool = True) -> dict[str, Any]:
        """The answer of the contract; without `deep`, the inverse questions are left open."""
        return report.answer(self, deep)

    def __str__(self) -> str:
        from gauge.view import plain

        return plain.table(plain.read(self.answer()))

    def _repr_html_(self) -> str:
        from gauge.view.notebook import notebook

        return notebook(self.answer(deep=False))


def estimate(**request: Any) -> Estimate:
    """The estimate of a request given as keyword arguments. Raises RequestErrors."""
    try:
        found = engine.estimate(parse(request))
        return Estimate(found.case, found.breakdown)
    except RequestError as error:
        raise RequestErrors([error]) from None


def answer(request_json: str) -> str:
    """One JSON request in, one JSON answer out. Never raises."""
    return json.dumps(answer_text(request_json), allow_nan=False)


def answer_text(request_json: str, deep: bool = True) -> dict[str, Any]:
    """The answer to a request in JSON text. Never raises."""
    if len(request_json) > LONGEST_REQUEST:
        return refused("request", f"it is longer than {LONGEST_REQUEST:,} characters", "make it smaller")
    try:
        request, twice, deeper = read_json(request_json)
    except (ValueError, RecursionError):
        return refused("request", "it is not readable as JSON", "send one JSON object")
    found = _twice(twice, deeper) if twice or deeper else _never_raises(request, deep)
    if isinstance(request, dict) and "id" in request:
        found["id"] = request["id"]
    return found


def answer_to(request: Any, deep: bool = True) -> dict[str, Any]:
    """The answer to a request object; whatever a request can do wrong is data."""
    try:
        if not isinstance(request, dict):
            raise RequestError("request", "it is no JSON object", "send an object of fields")
        return estimate(**{str(k): v for k, v in request.items()}).answer(deep)
    except RequestErrors as found:
        return report.failure(found.errors)
    except RequestError as error:
        return report.failure([error])
    except (RecursionError, MemoryError, OverflowError) as why:
        return refused("request", f"it is too large or too deep ({type(why).__name__})", "make it smaller")


def _never_raises(request: Any, deep: bool) -> dict[str, Any]:
    """The last line of defence: a fault of ours is an error answer too, and says that it is ours."""
    try:
        return answer_to(request, deep)
    except Exception as why:
        return refused("request", f"{OUR_FAULT} ({type(why).__name__}: {why})", "report it with this request")


def _twice(outer: list[str], inner: list[str]) -> dict[str, Any]:
    errors = [given_twice(name) for name in outer]
    if inner:
        errors.append(RequestError("request", f"it gives {inner[0][:40]!r} twice in one object", "keep one of them"))
    return report.failure(errors)


def given_twice(name: str) -> RequestError:
    """The error of a field that a request gives more than once."""
    return RequestError(name[:80] or "request", f"{shown(name, 40)} is given twice", "keep one of them")


def refused(field: str, message: str, remedy: str) -> dict[str, Any]:
    """The answer to what is no request at all."""
    return report.failure([RequestError(field, message, remedy)])
