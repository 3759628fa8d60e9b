"""How a vocabulary's logits and their cross-entropy are held: one function a kind of loss.

T tokens, V vocabulary, e bytes of the compute dtype. Bytes a logit at the end of forward and at the worst of backward:
`standard` e + 8, then 12; `compiled` e, then e + 4 + e; `vocab_parallel` e + 4, then 4 + 2 e; `chunked` and `fused`
hold a chunk of tokens at a time and keep the gradients of the head's input and matrix instead.

Source: transformers 5.23 loss/loss_utils.py; Liger-Kernel ops/fused_linear_cross_entropy.py; Megatron-LM
core/tensor_parallel/cross_entropy.py; torchtune modules/loss/ce_chunked_output_loss.py.
"""

from __future__ import annotations

from gauge.formats import FLOAT32
from gauge.layers.linear import Linear
from gauge.record import Op
from gauge.tape import Dims, Storage, Tape, Value, dims
from gauge.tensor import Dim
from gauge.units import ceil_div
from gauge.versions import before

DEFAULT_CHUNKS = 8


def tokens_of(x: Value) -> int:
    """Positions that get logits: batch × tokens."""
    total = 1
    for e in x.dims:
        total *= 1 if e.dim is Dim.HIDDEN else e.size
    return total


def chunk_of(tape: Tape, x: Value) -> int:
    """Tokens of one chunk of the loss."""
    tokens = tokens_of(x)
    return min(tokens, tape.how.loss_chunk or ceil_div(tokens, DEFAULT_CHUNKS))


def standard(tape: Tape, logits: Value, upcast: bool) -> Value:
    """Cross-entropy over all logits at once, on a float32 copy of them where the family's code makes one.

    transformers 4 shifted the logits against the labels by a copy; before 4.46 the 16-bit logits were gone by then.
    """
    if not upcast:
        with tape.hold(logits):
            return cross_entropy(tape, logits)
    old = before(tape.how.version, 5)
    held = () if before(tape.how.version, 4, 46) else (logits,)
    with tape.hold(*held):
        wide = tape.cast(logits, FLOAT32, "logits in float32")
        with tape.hold(wide):
            shifted = tape.contiguous(wide, "shifted logits") if old else wide
            with tape.hold(shifted):
                return cross_entropy(tape, shifted)


def cross_entropy(tape: Tape, logits: Value) -> Value:
    """Log-softmax keeps its result; the negative log-likelihood needs a full-size gradient of it."""
    log_probabilities = tape.op(
        "log_softmax",
        (logits,),
        logits.dims,
        FLOAT32 if tape.how.autocast else logits.format,
        label="log-probabilities",
        saves_output=True,
    )
    wide = tape.full(log_probabilities)
    return tape.op("nll_loss", (wide,), (), wide.format, label="loss")


def compiled(tape: Tape, logits: Value) -> Value:
    """One kernel keeps the 16-bit logits and a float32 normaliser a token; backward makes a float32 gradient first."""
    normaliser = tape.allocate("log-sum-exp of the logits", logits.dims[:-1], FLOAT32)
    wide = (tape.allocate("gradient of logits in float32", logits.dims, FLOAT32),) if logits.format.bytes < 4 else ()
    saves = (logits.storage, normaliser)
    with tape.hold(logits):
        return tape.op("cross_entropy", (logits,), (), FLOAT32, label="loss", saves=saves, backward_scratch=wide)


def vocab_parallel(tape: Tape, logits: Value) -> Value:
    """A float32 copy becomes the probabilities in place; in backward it becomes the gradient in place."""
    with tape.hold(logits):
        probabilities = tape.allocate("probabilities in float32", logits.dims, FLOAT32)
        return tape.op("vocab_parallel_cross_entropy", (logits,), (), FLOAT32, label="loss", saves=(probabilities,))


def by_chunks(tape: Tape, x: Value, head: Linear, chunk: int, copies32: int) -> Value:
    """Logits of one chunk of tokens at a time, forward and backward at once: only gradients are left.

    The chunk costs its logits in the compute dtype and `copies32` float32 tensors of that shape. The gradients of the
    head's input (tokens, hidden) and of its matrix are made in forward and handed on in backward.
    """
    weight = tape.weight(head.weight)
    shape = dims((Dim.TOKENS, chunk), *head.out)
    scratch: list[Storage] = [tape.allocate("logits of a chunk", shape, tape.how.compute)]
    scratch += [tape.allocate("logits of a chunk in float32", shape, FLOAT32) for _ in range(copies32)]
    if x.grad:
        scratch.append(tape.allocate("gradient of the head's input", x.dims, x.format))
    if weight.trainable and tape.how.grad:
        scratch.append(tape.allocate(f"gradient of {head.name}, made in forward", weight.dims, weight.format))
    copy = tape.weight_copy(weight)
    saves = (copy,) if copy is not None else ()
    return tape.op("linear_cross_entropy", (x,), (), FLOAT32, label="loss", saves=saves, scratch=scratch, weights=(weight,))


def fused_chunk(tokens: int, vocab: int, hidden: int) -> int:
    """Tokens a chunk of Liger's fused loss: so many chunks as the vocabulary is wider than the stream."""
    size = ceil_div(tokens, ceil_div(vocab, hidden))
    return min(tokens, 1 << (size - 1).bit_length())


def chunked_output(tape: Tape, x: Value, head: Linear, chunk: int) -> Value:
    """All logits are made, by chunks, and kept; the loss takes them chunk by chunk (torchtune).

    Compiled, the loss keeps the logits themselves; composed, a float32 log-softmax of each. Backward runs through the
    loss of every chunk before it comes to the first matrix product: autograd takes what was made last. By then all
    logits have become their gradients. The matrix' gradients of the last two chunks are added into a third tensor,
    further ones to it in place.
    """
    weight = tape.weight(head.weight)
    ahead = tuple(e for e in x.dims if e.dim is not Dim.HIDDEN)
    whole = (*ahead, *dims(*head.out))
    logits = tape.allocate("logits", whole, tape.how.compute)
    rest = min(2 * chunk, tokens_of(x)) if tokens_of(x) > chunk else 0
    last = _logits_of(tape, logits, x, head, rest)
    first = _logits_of(tape, logits, x, head, tokens_of(x) - rest)
    trained = (weight,) if weight.trainable and tape.how.grad else ()
    name = f"gradient of {weight.name} from one chunk"
    sums = tuple(tape.allocate(name, weight.dims, weight.format) for _ in range(2)) if rest and trained else ()
    saved = (x.storage,) if trained else ()
    into = (x,) if x.grad else ()
    tape.ops.append(Op("linear", (x,), first, saved, (), into, (), trained, sums, sums=bool(sums)))
    if last:
        tape.ops.append(Op("linear", (x,), last))
    pieces = Value(logits, whole, tape.how.compute, bool(trained) or x.grad)
    made = (*first, *last)
    tape.ops.append(Op("chunks", made, (pieces,), gradients=tuple(v for v in made if v.grad)))
    return _loss_of_chunks(tape, pieces, dims((Dim.TOKENS, chunk), *head.out))


def _logits_of(tape: Tape, logits: Storage, x: Value, head: Linear, tokens: int) -> tuple[Value, ...]:
    """A view of the logits of some of the tokens; nothing of none."""
    grad = tape.how.grad and (x.grad or tape.weight(head.weight).trainable)
    return (Value(logits, dims((Dim.TOKENS, tokens), *head.out), tape.how.compute, grad),) if tokens else ()


def _loss_of_chunks(tape: Tape, pieces: Value, part: Dims) -> Value:
    """The loss of all chunks, one after the other; backward makes one chunk's gradient while all else is still there."""
    wide = [tape.allocate("logits of a chunk in float32", part, FLOAT32) for _ in range(2)]
    if tape.how.kernels == "eager":
        kept, forward, back = tape.allocate("log-probabilities", pieces.dims, FLOAT32), wide[:1], wide
    else:
        back = [tape.allocate("gradient of the logits of a chunk", part, tape.how.compute)]
        kept, forward = pieces.storage, []
    with tape.hold(pieces):
        out = tape.op(
            "chunked_cross_entropy",
            (pieces,),
            (),
            FLOAT32,
            label="loss",
            saves=(kept,),
            scratch=forward,
            gradients=(),
            backward_scratch=back,
        )
    tape.ops[-1].passes = (pieces,) if pieces.grad else ()
    return out


def listed(tape: Tape, logits: Value) -> Value:
    """Logits made by chunks, all kept in a list; in backward the gradients of all chunks stand beside them (LitGPT)."""
    with tape.hold(logits):
        return tape.op("listed_cross_entropy", (logits,), (), FLOAT32, label="loss", saves=(logits.storage,))


def held_compiled(tape: Tape, logits: Value) -> Value:
    """A loss compiled by itself: the model's logits stay with the hooks of sharded units, a float32 copy is kept."""
    wide = tape.allocate("logits in float32", logits.dims, FLOAT32)
    gradient = tape.allocate("gradient of logits in float32", logits.dims, FLOAT32)
    with tape.hold(logits):
        saves = (logits.storage, wide)
        return tape.op("cross_entropy", (logits,), (), FLOAT32, label="loss", saves=saves, backward_scratch=(gradient,))


def composed(tape: Tape, logits: Value) -> Value:
    """Operator by operator on a float32 copy, while the caller still has the logits; it drops them before backward."""
    with tape.hold(logits):
        wide = tape.cast(logits, FLOAT32, "logits in float32")
        with tape.hold(wide):
            return cross_entropy(tape, wide)


def composed_parallel(tape: Tape, logits: Value) -> Value:
    """The same over a split vocabulary (PyTorch's `loss_parallel`): forward shifts the logits and exponentiates them;
    backward makes the whole gradient at the likelihood, from the exponentials and a sum. 14 B a logit, then 16.

    Source: torch/distributed/tensor/parallel/loss.py, PyTorch 2.13.
    """
    with tape.hold(logits):
        wide = tape.cast(logits, FLOAT32, "logits in float32")
        with tape.hold(wide):
            shifted = tape.op("sub", (wide,), wide.dims, FLOAT32, label="logits below their maximum", gradients=())
            exponentials = tape.allocate("exponentials", wide.dims, FLOAT32)
            tape.op("sum", (shifted,), (), FLOAT32, label="sum of exponentials", scratch=(exponentials,), gradients=())
            rest = tape.op("sub", (shifted,), wide.dims, FLOAT32, label="log-probabilities", saves_output=True, gradients=())
            tape.ops[-1].passes = (wide,) if wide.grad else ()
            made = [tape.allocate(name, wide.dims, FLOAT32) for name in ("exponentials", "exponentials less the hits")]
            return tape.op("nll_loss", (rest,), (), FLOAT32, label="loss", backward_scratch=made)
