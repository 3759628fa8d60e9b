"""Convolutions with their norms and activations, and the stages of convolutional nets.

Values are (batch, channels, height, width); one-dimensional ones (sound) are (batch, channels, width).
Source: PyTorch 2.13 derivatives.yaml (convolution, native_batch_norm, max_pool2d_with_indices, constant_pad_nd).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gauge import kernels
from gauge.formats import BFLOAT16, FLOAT32, INT64
from gauge.layers.block import Layer, Residual
from gauge.record import Op
from gauge.sequence import Sequence
from gauge.tape import Dims, Storage, Tape, Value, dims
from gauge.tensor import Dim, Tensor, tensor
from gauge.units import ceil_div

SPACE = (Dim.HEIGHT, Dim.WIDTH)


def channels_of(x: Value) -> int:
    """Channels of a value."""
    return next(e.size for e in x.dims if e.dim is Dim.CHANNELS)


def resized(shape: Dims, channels: int, kernel: int, stride: int, padding: int) -> Dims:
    """The shape after a window of `kernel` has slid over it."""
    return tuple(
        e._replace(size=channels, whole=channels)
        if e.dim is Dim.CHANNELS
        else e._replace(size=_slid(e.size, kernel, stride, padding), whole=_slid(e.whole, kernel, stride, padding))
        if e.dim in SPACE
        else e
        for e in shape
    )


def _slid(size: int, kernel: int, stride: int, padding: int) -> int:
    return max(1, (size + 2 * padding - kernel) // stride + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """`inputs` channels → `outputs` channels through a window of `kernel` pixels a side.

    `same`: the input is padded by a separate operator to outputs of size ÷ stride (TensorFlow's SAME), which copies it
    even where nothing is added; `padded`: a separate operator adds so many pixels in all along each side. `axes` is 1
    for sound, 2 for images.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = False
    same: bool = False
    padded: int = 0
    axes: int = 2
    role: str = "convolution"

    @property
    def weight(self) -> Tensor:
        """(output channels, input channels a group, kernel area)."""
        shape = (
            (Dim.CHANNELS, self.outputs),
            (Dim.IN_CHANNELS, self.inputs // self.groups),
            (Dim.KERNEL, self.kernel**self.axes),
        )
        return Tensor(f"{self.name}.weight", dims(*shape), BFLOAT16, role=self.role)

    def weights(self) -> Iterator[Tensor]:
        """The kernel and, where there is one, the bias."""
        yield self.weight
        if self.bias:
            yield Tensor(f"{self.name}.bias", dims((Dim.CHANNELS, self.outputs)), BFLOAT16, role=f"{self.role}_bias")

    def forward(self, tape: Tape, x: Value) -> Value:
        """The input is kept where the kernel is trained; autocast's copy of the kernel where it is used."""
        padding = self.padding
        if self.same or self.padded:
            x, padding = self._padded(tape, x), 0
        x = tape.low(x)
        weight, *bias = (tape.weight(t) for t in self.weights())
        saves = [x.storage] if weight.trainable else []
        copy = tape.weight_copy(weight)
        scratch: tuple[Storage, ...] = ()
        if copy is not None:
            saves.append(copy)
            scratch = (tape.allocate(f"gradient of {copy.tensor.name}", weight.dims, tape.how.compute),)
        return tape.op(
            "convolution",
            (x,),
            resized(x.dims, self.outputs, self.kernel, self.stride, padding),
            tape.how.compute,
            label="convolved",
            saves=saves,
            weights=(weight, *bias),
            backward_scratch=scratch if weight.trainable else (),
        )

    def _padded(self, tape: Tape, x: Value) -> Value:
        def wide(size: int) -> int:
            if self.padded:
                return size + self.padded
            return (ceil_div(size, self.stride) - 1) * self.stride + self.kernel

        shape = tuple(
            e._replace(size=max(e.size, wide(e.size)), whole=max(e.whole, wide(e.whole))) if e.dim in SPACE else e for e in x.dims
        )
        return tape.op("pad", (x,), shape, x.format, label="padded input")


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Normalises each channel over the batch; keeps its input and two float32 statistics a channel."""

    name: str
    channels: int

    def weights(self) -> Iterator[Tensor]:
        """A weight and a bias a channel."""
        for suffix, role in (("weight", "norm"), ("bias", "norm_bias")):
            yield Tensor(f"{self.name}.{suffix}", dims((Dim.CHANNELS, self.channels)), BFLOAT16, role=role)

    def buffers(self) -> Iterator[Tensor]:
        """Running mean and variance, and the count of batches: held, but no parameters."""
        yield Tensor(f"{self.name}.running_mean", dims((Dim.CHANNELS, self.channels)), BFLOAT16, role="statistics")
        yield Tensor(f"{self.name}.running_var", dims((Dim.CHANNELS, self.channels)), BFLOAT16, role="statistics")
        yield tensor(f"{self.name}.num_batches_tracked", INT64)

    def forward(self, tape: Tape, x: Value) -> Value:
        """The same shape and dtype: autocast leaves it alone."""
        statistics = tape.allocate(
            "batch mean and inverse deviation", dims((Dim.CHANNELS, self.channels), (Dim.COPIES, 2)), FLOAT32
        )
        return tape.op(
            "batch_norm",
            (x,),
            x.dims,
            x.format,
            label="norm output",
            saves=(x.storage, statistics),
            weights=tuple(tape.weight(w) for w in self.weights()),
        )


@dataclass(frozen=True, slots=True)
class ConvNorm:
    """Convolution, batch norm, activation: the brick of every net here. Empty `activation` for none."""

    convolution: Convolution
    norm: BatchNorm | None
    activation: str = "relu"

    def weights(self) -> Iterator[Tensor]:
        """The kernel's and the norm's."""
        yield from self.convolution.weights()
        if self.norm:
            yield from self.norm.weights()

    def buffers(self) -> Iterator[Tensor]:
        """The norm's running statistics."""
        if self.norm:
            yield from self.norm.buffers()

    def forward(self, tape: Tape, x: Value) -> Value:
        """Convolve, normalise, activate."""
        x = self.convolution.forward(tape, x)
        if self.norm:
            x = self.norm.forward(tape, x)
        return kernels.activation(tape, self.activation, x) if self.activation else x


def conv_norm(name: str, inputs: int, outputs: int, activation: str = "relu", **shape: object) -> ConvNorm:
    """A convolution without bias, its batch norm and activation."""
    convolution = Convolution(name=f"{name}.convolution", inputs=inputs, outputs=outputs, **shape)  # type: ignore[arg-type]
    return ConvNorm(convolution, BatchNorm(f"{name}.normalization", outputs), activation)


@dataclass(frozen=True, slots=True)
class Pool:
    """`max` over windows (keeps its input and an int64 index an output) or `mean` over the whole picture."""

    mode: Literal["max", "mean"]
    kernel: int = 0
    stride: int = 1
    padding: int = 0

    def weights(self) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def forward(self, tape: Tape, x: Value) -> Value:
        """Fewer pixels, or one vector a picture."""
        if self.mode == "mean":
            shape = tuple(e for e in x.dims if e.dim not in SPACE)
            return tape.reduce("mean", x, shape, "pooled")
        shape = resized(x.dims, channels_of(x), self.kernel, self.stride, self.padding)
        index = tape.allocate("indices of maxima", shape, INT64)
        return tape.op("max_pool", (x,), shape, x.format, label="pooled", saves=(x.storage, index))


@dataclass(frozen=True, slots=True)
class Dropped:
    """Dropout as a layer of its own."""

    rate: float

    def weights(self) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def forward(self, tape: Tape, x: Value) -> Value:
        """The input with some numbers set to zero."""
        return tape.dropout(x, self.rate)


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """Scales channels by a gate computed from their means: pool, reduce, activate, expand, gate, multiply."""

    name: str
    channels: int
    reduced: int
    activation: str = "silu"
    gate: str = "sigmoid"

    @property
    def parts(self) -> tuple[Convolution, Convolution]:
        """(reduced, channels) and (channels, reduced), with biases."""
        down = Convolution(name=f"{self.name}.reduce", inputs=self.channels, outputs=self.reduced, bias=True)
        up = Convolution(name=f"{self.name}.expand", inputs=self.reduced, outputs=self.channels, bias=True)
        return down, up

    def weights(self) -> Iterator[Tensor]:
        """Two 1×1 convolutions with biases."""
        for part in self.parts:
            yield from part.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """The input times its gate."""
        down, up = self.parts
        with tape.hold(x):
            one = tuple(e._replace(size=1, whole=1) if e.dim in SPACE else e for e in x.dims)
            pooled = tape.reduce("mean", x, one, "channel means")
            small = kernels.activation(tape, self.activation, down.forward(tape, pooled))
            gate = kernels.activation(tape, self.gate, up.forward(tape, small))
            return tape.mul(x, gate, "gated channels")


@dataclass(frozen=True, slots=True)
class Branch:
    """layers(x) + shortcut(x): `shortcut` None adds x itself, and `adds` false adds nothing.

    `in_place`: the sum is written over the branch's own output.
    """

    layers: tuple[Layer, ...]
    shortcut: Layer | None = None
    adds: bool = True
    in_place: bool = False
    activation: str = ""

    def weights(self) -> Iterator[Tensor]:
        """Of all its layers, and of the shortcut."""
        for layer in (*self.layers, *((self.shortcut,) if self.shortcut else ())):
            yield from layer.weights()

    def buffers(self) -> Iterator[Tensor]:
        """Running statistics of all norms inside."""
        for layer in (*self.layers, *((self.shortcut,) if self.shortcut else ())):
            yield from buffers_of(layer)

    def forward(self, tape: Tape, x: Value) -> Value:
        """Through the layers, then the sum, then the activation."""
        with tape.hold(x):
            out = x
            for layer in self.layers:
                out = layer.forward(tape, out)
            if self.adds:
                rest = self.shortcut.forward(tape, x) if self.shortcut else x
                out = add_in_place(tape, out, rest) if self.in_place else tape.add(rest, out, "residual stream")
        return kernels.activation(tape, self.activation, out) if self.activation else out


def add_in_place(tape: Tape, target: Value, other: Value) -> Value:
    """target += other: no new memory; the gradient goes to both as it is."""
    out = Value(target.storage, target.dims, target.format, target.grad or other.grad)
    passes = tuple(v for v in (target, other) if v.grad)
    tape.ops.append(Op("add_", (target, other), (out,), passes=passes))
    return out


@dataclass(frozen=True, slots=True)
class Chain:
    """A stretch of a net as one step of its part: layers one after the other."""

    parts: tuple[Layer, ...]
    kind: str = "stage"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in order."""
        return self.parts

    @property
    def steps(self) -> tuple[Residual, ...]:
        """The layers, without norms of their own."""
        return tuple(Residual(part) for part in self.parts)

    def weights(self) -> Iterator[Tensor]:
        """All tensors."""
        for part in self.parts:
            yield from part.weights()

    def buffers(self) -> Iterator[Tensor]:
        """Running statistics of all norms inside."""
        for part in self.parts:
            yield from buffers_of(part)

    def state(self, sequence: Sequence) -> Iterator[Tensor]:
        """Nothing is kept between pictures."""
        return iter(())

    def forward(self, tape: Tape, x: Value, source: Value | None = None) -> Value:
        """Through all layers."""
        for part in self.parts:
            x = part.forward(tape, x)
        return x


def buffers_of(layer: object) -> Iterator[Tensor]:
    """The buffers of a layer that has some."""
    found = getattr(layer, "buffers", None)
    return iter(()) if found is None else found()


@dataclass(frozen=True, slots=True)
class Pictures:
    """A net's entry: pixel values, then its first layers."""

    stem: tuple[Layer, ...]
    channels: int = 3

    def weights(self) -> Iterator[Tensor]:
        """The stem's."""
        for layer in self.stem:
            yield from layer.weights()

    def buffers(self) -> Iterator[Tensor]:
        """The stem's running statistics."""
        for layer in self.stem:
            yield from buffers_of(layer)

    def forward(self, tape: Tape, tokens: Dims) -> Value:
        """The stream over pictures of (batch, height, width)."""
        x = pixels(tape, tokens, self.channels)
        for layer in self.stem:
            x = layer.forward(tape, x)
        return x


def pixels(tape: Tape, tokens: Dims, channels: int) -> Value:
    """Pixel values: the caller holds them as long as the step lasts."""
    batch, *space = tokens
    return tape.shared("pixel values", (batch, *dims((Dim.CHANNELS, channels)), *space), tape.how.stored)
