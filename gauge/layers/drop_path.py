"""Stochastic depth: in training, whole branches of single pictures are left out.

Source: arXiv 1603.09382; transformers 5.23 models/swin/modeling_swin.py (SwinDropPath).
"""

from __future__ import annotations

from gauge.tape import Tape, Value


def drop_path(tape: Tape, x: Value, rate: float) -> Value:
    """`x` over the share that stays, times a zero or a one for each picture: nothing of its size is kept.

    At rate 0 or without gradients it is not there; an override of the model's dropout rates covers it.
    """
    rate = rate if tape.how.dropout is None else tape.how.dropout
    if rate <= 0 or not tape.how.grad:
        return x
    with tape.hold(x):
        grown = tape.op("div", (x,), x.dims, x.format, label="branch over its chance")
        return tape.op("mul", (grown,), x.dims, x.format, label="branch, dropped out")
