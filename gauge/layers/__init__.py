"""One file per kind of layer. Each knows its shapes and answers three questions and no others.

`weights()` are the tensors it owns; `forward(tape, x)` is its pass, from which follow its output, what backward keeps
and its scratch; `state(sequence)` is what inference keeps between steps. Policy (kernels, splitting, paging) is not
known here.
"""
