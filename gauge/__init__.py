"""Compute Gauge: how much memory a neural network needs, to run or to train, on what, and why."""

__version__ = "0.1.0"

from typing import Any


def estimate(**request: Any) -> Any:
    """The memory that a request needs: `gauge.estimate(model="meta-llama/Llama-3.1-8B", task="training")`.

    Takes the request's fields as keyword arguments; gives an `Estimate`. Raises `gauge.request.RequestErrors`.
    """
    from gauge.api import estimate as answer

    return answer(**request)


__all__ = ["__version__", "estimate"]
