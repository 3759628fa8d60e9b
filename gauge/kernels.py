"""Composed and fused operators: what one mathematical step costs under the code that really runs it.

`eager` is the operator-by-operator Python of transformers; `fused` stands for kernels that compute the step in one go
and keep only its inputs (Transformer Engine, Apex, Liger); `compiled` for torch.compile, whose partitioner recomputes
elementwise chains from their inputs. A layer says *what* it computes, this file says what that keeps.

Source: transformers 5.23 modelling files; PyTorch 2.13 derivatives.yaml.
"""

from __future__ import annotations

from gauge.formats import BOOL, FLOAT32
from gauge.tape import Dims, Storage, Tape, Value, dims
from gauge.tensor import Dim, Tensor


def without(shape: Dims, *gone: Dim) -> Dims:
    """The dimensions left after a reduction over `gone`."""
    return tuple(e for e in shape if e.dim not in gone)


def is_fused(tape: Tape) -> bool:
    """Whether elementwise chains run as one kernel that keeps only its inputs."""
    return tape.how.kernels != "eager"


def rms_norm(
    tape: Tape,
    x: Value,
    weight: Tensor | None,
    *,
    unit_offset: bool = False,
    over: Dim = Dim.HIDDEN,
    late: bool = False,
    wide_scale: bool = False,
    also: Dim | None = None,
) -> Value:
    """Root-mean-square norm over `over`.

    Composed (LlamaRMSNorm): a float32 copy of the input, the float32 inverse root a token, the normed values in the
    input's dtype. `unit_offset` (Gemma) multiplies by 1 + weight in float32, so the normed values stay float32. `late`
    (T5) scales the input as it came, which is kept besides its copy. `wide_scale` (OLMo 2, GPT-OSS) multiplies by the
    weight before casting back. `also` is a second dimension that the mean runs over.
    """
    row = without(x.dims, over, also or over)
    if is_fused(tape):
        root = tape.allocate("inverse root mean square", row, FLOAT32)
        return _norm_op(tape, "rms_norm", x, weight, (root,))
    wide = tape.cast(x, FLOAT32)
    with tape.hold(wide):
        square = tape.pointwise32("pow", wide, label="squares")
        mean = tape.reduce("mean", square, row, "mean square")
        root_value = tape.pointwise32("rsqrt", mean, keeps="output", label="inverse root mean square")
        normed = tape.mul(x if late else wide, root_value, label="normed input")
    if weight is None:
        return tape.cast(normed, x.format)
    trained = tape.weight(weight)
    if wide_scale:
        return tape.cast(tape.scale(normed, trained, label="scaled input"), x.format, "norm output")
    if not unit_offset:
        return tape.scale(tape.cast(normed, x.format, "normed input, cast"), trained, label="norm output")
    shift = tape.allocate("1 + norm weight", dims((over, trained.size_of(over))), FLOAT32)
    scaled = tape.op(
        "mul",
        (normed,),
        normed.dims,
        FLOAT32,
        label="scaled input",
        saves=(shift, *((normed.storage,) if trained.trainable else ())),
        weights=(trained,),
    )
    return tape.cast(scaled, x.format, "norm output")


def layer_norm(tape: Tape, x: Value, weight: Tensor | None, bias: Tensor | None) -> Value:
    """Layer norm: keeps its input and two float32 statistics a token; autocast runs it in float32."""
    x = tape.full(x)
    row = without(x.dims, Dim.HIDDEN)
    statistics = tape.allocate("mean and inverse deviation", (*row, *dims((Dim.COPIES, 2))), FLOAT32)
    return _norm_op(tape, "layer_norm", x, weight, (statistics,), bias)


def wide_layer_norm(tape: Tape, x: Value, weight: Tensor | None, over: Dim) -> Value:
    """Layer norm written out in float32 (CohereLayerNorm): the centred input is made twice, for the deviation and for the
    result, and both are kept, as is the normed input for the weight's gradient."""
    if is_fused(tape):
        return layer_norm(tape, x, weight, None)
    row = without(x.dims, over)
    wide = tape.cast(x, FLOAT32)
    with tape.hold(wide):
        mean = tape.reduce("mean", wide, row, "mean")
        square = tape.pointwise32("pow", tape.add(wide, mean, "centred input, for its deviation"), label="squares")
        root = tape.pointwise32("rsqrt", tape.reduce("mean", square, row, "variance"), keeps="output", label="inverse deviation")
        normed = tape.mul(tape.add(wide, mean, "centred input"), root, label="normed input")
    if weight is None:
        return tape.cast(normed, x.format)
    return tape.cast(tape.scale(normed, tape.weight(weight), label="scaled input"), x.format, "norm output")


def _norm_op(
    tape: Tape, name: str, x: Value, weight: Tensor | None, extra: tuple[Storage, ...], bias: Tensor | None = None
) -> Value:
    weights = tuple(tape.weight(w) for w in (weight, bias) if w is not None)
    return tape.op(name, (x,), x.dims, x.format, label="norm output", saves=(x.storage, *extra), weights=weights)


ACTIVATION_ALIASES = {
    "gelu_new": "gelu_composed",
    "gelu_fast": "gelu_composed",
    "gelu_pytorch_tanh": "gelu",
    "gelu_python": "gelu",
    "quick_gelu": "quick_gelu",
    "swish": "silu",
}


PARTS_OF_SLOPE = 4
"""Tensors that BLOOM's own backward of GELU has at once besides its result: tanh, x / 2, 1 - tanh², and a product of x²."""


def activation(tape: Tape, name: str, x: Value) -> Value:
    """The nonlinearity called `name` in a config (`hidden_act`)."""
    kind = ACTIVATION_ALIASES.get(name, name)
    if kind == "gelu_composed" and not is_fused(tape) and not tape.how.fused_gelu:
        return _composed_gelu(tape, x)
    if kind == "quick_gelu" and not is_fused(tape):
        gate = tape.unary("sigmoid", tape.op("mul", (x,), x.dims, x.format, label="scaled"), keeps="output", label="gate")
        return tape.mul(x, gate, label="activated")
    if kind == "gelu_by_hand" and not is_fused(tape):
        parts = [tape.allocate("part of the slope", x.dims, x.format) for _ in range(PARTS_OF_SLOPE)]
        return tape.op("gelu", (x,), x.dims, x.format, label="activated", saves=(x.storage,), backward_scratch=parts)
    if kind == "relu2" and not is_fused(tape):
        return tape.pointwise32("pow", tape.unary("relu", x, keeps="output", label="relu"), label="activated")
    keeps = "output" if kind in ("relu", "tanh", "sigmoid") else "input"
    return tape.unary(kind, x, keeps=keeps, label="activated")


def _composed_gelu(tape: Tape, x: Value) -> Value:
    """GELU's tanh form written out operator by operator (NewGELUActivation): keeps five tensors of the MLP's width."""
    with tape.hold(x):
        half = tape.op("mul", (x,), x.dims, x.format, label="half input")
        cube = tape.pointwise32("pow", x, label="cube")
        inner = tape.add(x, tape.op("mul", (cube,), cube.dims, cube.format, label="scaled cube"), label="inner")
        inner = tape.op("mul", (inner,), inner.dims, inner.format, label="scaled inner")
        tanh = tape.pointwise32("tanh", inner, keeps="output", label="tanh")
        shifted = tape.op("add", (tanh,), tanh.dims, tanh.format, label="1 + tanh")
        return tape.mul(half, shifted, label="activated")


def trained_activation(tape: Tape, name: str, x: Value, numbers: Tensor) -> Value:
    """A nonlinearity with trained numbers of its own: one kernel keeps its input.

    Composed (XIELUActivation): two parabolas joined by an exponential keep four tensors of the MLP's width and a one-byte
    mask, a fifth where the numbers are trained.
    """
    if is_fused(tape) or name != "xielu":
        return tape.op(name, (x,), x.dims, x.format, label="activated", saves=(x.storage,), weights=(numbers,))
    trained = tape.how.grad and numbers.trainable
    with tape.hold(x):
        where = tape.allocate("where the input is positive", x.dims, BOOL)
        steep = tape.op("mul", (x,), x.dims, x.format, label="steep input", saves=(x.storage,) if trained else ())
        right = tape.add(tape.mul(steep, x, "square"), _scaled(tape, x), "right branch")
        power = tape.unary(
            "expm1", tape.unary("minimum", x, label="input below zero"), keeps="output", label="exponential less 1"
        )
        rest = tape.add(power, x, "exponential less the input")
        saves = (rest.storage,) if trained else ()
        scaled = tape.op("mul", (rest,), x.dims, x.format, label="scaled", saves=saves, weights=(numbers,))
        left = tape.add(scaled, _scaled(tape, x), "left branch")
        return tape.op("where", (right, left), x.dims, x.format, label="activated", saves=(where,))


def _scaled(tape: Tape, x: Value) -> Value:
    """A product with a number that is no parameter: keeps nothing."""
    return tape.op("mul", (x,), x.dims, x.format, label="scaled input")


def _clamped_gate(tape: Tape, gate: Value, up: Value) -> Value:
    """(up + 1) × gate × sigmoid(α gate), both clamped first: keeps seven tensors of the MLP's width (GPT-OSS)."""
    gate, up = tape.unary("clamp", gate, label="clamped gate"), tape.unary("clamp", up, label="clamped up")
    with tape.hold(gate, up):
        scaled = tape.op("mul", (gate,), gate.dims, gate.format, label="scaled gate")
        glu = tape.mul(gate, tape.unary("sigmoid", scaled, keeps="output", label="open gate"), label="gated")
        shifted = tape.op("add", (up,), up.dims, up.format, label="up + 1")
        return tape.mul(shifted, glu, label="gated product")


def gated(tape: Tape, name: str, gate: Value, up: Value) -> Value:
    """activation(gate) × up: composed it keeps gate, activation and up; fused only gate and up."""
    if is_fused(tape):
        return tape.op(
            f"{name}_gated", (gate, up), gate.dims, gate.format, label="gated product", saves=(gate.storage, up.storage)
        )
    if name == "swiglu_clamped":
        return _clamped_gate(tape, gate, up)
    return tape.mul(activation(tape, name, gate), up, label="gated product")


def rotary(tape: Tape, x: Value, table: tuple[Value, Value], label: str) -> Value:
    """Rotary embedding: keeps only the shared cosine and sine tables."""
    cos, sin = table
    if is_fused(tape):
        return tape.op("rotary", (x,), x.dims, x.format, label=label, saves=(cos.storage, sin.storage))
    with tape.hold(x):
        left = tape.mul(x, cos, label=f"{label} × cos")
        negated = tape.op("neg", (x,), _half(x.dims), x.format, label=f"{label}, second half negated")
        turned = tape.concat((negated, x), x.dims, f"{label}, halves swapped")
        right = tape.mul(turned, sin, label=f"{label} × sin")
        return tape.add(left, right, label=label)


def _half(shape: Dims) -> Dims:
    last = shape[-1]
    return (*shape[:-1], last._replace(size=last.size // 2, whole=last.whole // 2))


def rotary_table(tape: Tape, batch: int, tokens: int, size: int, format_name: str = "") -> tuple[Value, Value]:
    """The cosine and sine tables of one rotary embedding, made once and shared by all layers."""
    shape = dims((Dim.TOKENS, tokens), (Dim.HEAD, size))
    format = tape.how.compute if not tape.how.autocast else FLOAT32
    suffix = f" ({format_name})" if format_name else ""
    return (
        tape.shared(f"rotary cosines{suffix}", shape, format),
        tape.shared(f"rotary sines{suffix}", shape, format),
    )
