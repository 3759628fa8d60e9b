"""The doors into the engine: keyword arguments, or one JSON text in and one out."""

from __future__ import annotations

import json
from typing import Any

from gauge import estimation as engine
from gauge import report
from gauge.errors import RequestError
from gauge.request import RequestErrors, parse

LONGEST_REQUEST = 4_000_000
OUR_FAULT = "the engine failed on it"


class Estimate(engine.Estimate):
    """An estimate with its answer: as data, and as a breakdown in a notebook."""

    def answer(self, deep: bool = True) -> dict[str, Any]:
        """The answer of the contract; without `deep`, the inverse questions are left open."""
        return report.answer(self, deep)

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


def answer_to(request: Any, deep: bool = True) -> dict[str, Any]:
    """The answer to a request object; every failure is data."""
    try:
        if not isinstance(request, dict):
            raise RequestError("request", "it is no JSON object", "send an object of fields")
        return estimate(**{str(k): v for k, v in request.items()}).answer(deep)
    except RequestErrors as found:
        return report.failure(found.errors)
    except RequestError as error:
        return report.failure([error])
    except (RecursionError, MemoryError, OverflowError) as why:
        return report.failure(
            [RequestError("request", f"it is too large or too deep ({type(why).__name__})", "make it smaller")]
        )


def answer(request_json: str) -> str:
    """One JSON request in, one JSON answer out. Never raises."""
    return json.dumps(answer_text(request_json), allow_nan=False)


def answer_text(request_json: str, deep: bool = True) -> dict[str, Any]:
    """The answer to a request in JSON text."""
    if len(request_json) > LONGEST_REQUEST:
        return report.failure(
            [RequestError("request", f"it is longer than {LONGEST_REQUEST:,} characters", "make it smaller")]
        )
    try:
        request = json.loads(request_json, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return report.failure([RequestError("request", "it is not readable as JSON", "send one JSON object")])
    found = _never_raises(request, deep)
    if isinstance(request, dict) and "id" in request:
        found["id"] = request["id"]
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _never_raises(request: Any, deep: bool) -> dict[str, Any]:
    """The last line of defence: a fault of ours is an error answer too, and says that it is ours."""
    try:
        return answer_to(request, deep)
    except Exception as why:
        fault = RequestError("request", f"{OUR_FAULT} ({type(why).__name__}: {why})", "report it with this request")
        return report.failure([fault])
