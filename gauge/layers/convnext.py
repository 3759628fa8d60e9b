"""ConvNeXt's layers: a wide depthwise convolution, then norm and MLP over each pixel's channels.

The stream is (batch, channels, height, width) by name and lies with its channels last, so that turning it costs nothing.
Source: transformers 5.23 models/convnext/modeling_convnext.py, models/convnextv2/modeling_convnextv2.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gauge import kernels
from gauge.formats import BFLOAT16
from gauge.layers.convolution import SPACE, Convolution
from gauge.layers.drop_path import drop_path
from gauge.layers.linear import Linear
from gauge.layers.norm import Norm
from gauge.layers.scale import LayerScale
from gauge.tape import Tape, Value, dims
from gauge.tensor import Dim, Tensor

WINDOW, WIDER = 7, 4


def scale(tape: Tape, x: Value, weight: Tensor, label: str) -> Value:
    """The product with a weight vector: backward makes one more tensor of its size before the vector's gradient is summed."""
    out = tape.scale(x, weight, label)
    if weight.trainable and out.grad:
        tape.ops[-1].backward_scratch = (tape.allocate(f"gradient of {weight.name}, not yet summed", x.dims, x.format),)
    return out


def channels_last(tape: Tape, x: Value) -> Value:
    """(batch, height, width, hidden)."""
    channels = [e._replace(dim=Dim.HIDDEN) for e in x.dims if e.dim is Dim.CHANNELS]
    return tape.alias(x, (*(e for e in x.dims if e.dim is not Dim.CHANNELS), *channels))


def channels_first(tape: Tape, x: Value) -> Value:
    """(batch, channels, height, width)."""
    channels = [e._replace(dim=Dim.CHANNELS) for e in x.dims if e.dim is Dim.HIDDEN]
    rest = [e for e in x.dims if e.dim is not Dim.HIDDEN]
    return tape.alias(x, (rest[0], *channels, *rest[1:]))


@dataclass(frozen=True, slots=True)
class PixelNorm:
    """A layer norm over the channels of each pixel."""

    name: str
    channels: int

    @property
    def norm(self) -> Norm:
        """A weight and a bias a channel."""
        return Norm(self.name, self.channels, "layer", bias=True)

    def weights(self) -> Iterator[Tensor]:
        """The norm's."""
        return self.norm.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """The same shape."""
        return channels_first(tape, self.norm(tape, channels_last(tape, x)))


@dataclass(frozen=True, slots=True)
class PooledNorm:
    """The mean over a picture and a layer norm over its channels: (batch, hidden)."""

    channels: int

    @property
    def norm(self) -> Norm:
        """A weight and a bias a channel."""
        return Norm("layernorm", self.channels, "layer", bias=True)

    def weights(self) -> Iterator[Tensor]:
        """The norm's."""
        return self.norm.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """One vector a picture."""
        x = channels_last(tape, x)
        return self.norm(tape, tape.reduce("mean", x, tuple(e for e in x.dims if e.dim not in SPACE), "pooled"))


@dataclass(frozen=True, slots=True)
class ResponseNorm:
    """Global response normalisation: weight × x × its channel's norm over their mean, + bias, + x (arXiv 2301.00808)."""

    inner: int

    def weights(self) -> Iterator[Tensor]:
        """A weight and a bias a channel."""
        for suffix, role in (("weight", "norm"), ("bias", "norm_bias")):
            yield Tensor(f"grn.{suffix}", dims((Dim.FFN, self.inner)), BFLOAT16, role=role)

    def __call__(self, tape: Tape, x: Value) -> Value:
        """Composed, as the model file writes it: keeps `x` and two products of its size."""
        weight, bias = (tape.weight(w) for w in self.weights())
        one = tuple(e._replace(size=1, whole=1) if e.dim in SPACE else e for e in x.dims)
        with tape.hold(x):
            wide = tape.full(x)
            norms = tape.op("norm", (wide,), one, wide.format, label="channel norms", saves=(wide.storage,), saves_output=True)
            mean = tape.reduce("mean", norms, tuple(e for e in one if e.dim is not Dim.FFN), "mean of norms")
            ratio = tape.mul(norms, mean, "relative norms")
            scaled = scale(tape, tape.mul(x, ratio, "responses"), weight, "scaled responses")
            shifted = tape.op("add", (scaled,), scaled.dims, scaled.format, label="shifted responses", weights=(bias,))
            tape.ops[-1].passes, tape.ops[-1].gradients = tape.ops[-1].gradients, ()
            return tape.add(shifted, x, "normalised responses")


@dataclass(frozen=True, slots=True, kw_only=True)
class WideBranch:
    """x + MLP(norm(depthwise convolution(x))), with a learned scale (`scaled`) or a response norm inside (`responds`)."""

    channels: int
    activation: str = "gelu"
    scaled: bool = True
    responds: bool = False
    drop: float = 0.0

    @property
    def spatial(self) -> Convolution:
        """(channels, 1, 49), with a bias."""
        n = self.channels
        return Convolution(name="dwconv", inputs=n, outputs=n, kernel=WINDOW, padding=WINDOW // 2, groups=n, bias=True)

    @property
    def norm(self) -> Norm:
        """Over the channels of a pixel."""
        return Norm("layernorm", self.channels, "layer", bias=True)

    @property
    def up(self) -> Linear:
        """(MLP size, channels)."""
        out = ((Dim.FFN, WIDER * self.channels),)
        return Linear("pwconv1", "mlp_up", out, ((Dim.HIDDEN, self.channels),), bias=True)

    @property
    def down(self) -> Linear:
        """(channels, MLP size)."""
        inner = ((Dim.FFN, WIDER * self.channels),)
        return Linear("pwconv2", "mlp_down", ((Dim.HIDDEN, self.channels),), inner, bias=True)

    @property
    def response(self) -> ResponseNorm:
        """Over the MLP's width."""
        return ResponseNorm(WIDER * self.channels)

    @property
    def scale(self) -> LayerScale:
        """A number a channel."""
        return LayerScale("layer_scale_parameter", self.channels)

    def weights(self) -> Iterator[Tensor]:
        """Convolution, norm, both matrices, scale or response norm."""
        yield from self.spatial.weights()
        yield from self.norm.weights()
        yield from self.up.weights()
        if self.responds:
            yield from self.response.weights()
        yield from self.down.weights()
        if self.scaled:
            yield from self.scale.weights()

    def forward(self, tape: Tape, x: Value) -> Value:
        """The stream after this branch."""
        with tape.hold(x):
            out = self.norm(tape, channels_last(tape, self.spatial.forward(tape, x)))
            out = kernels.activation(tape, self.activation, self.up(tape, out))
            out = self.response(tape, out) if self.responds else out
            out = self.down(tape, out)
            out = scale(tape, out, tape.weight(self.scale.weight), "scaled branch") if self.scaled else out
            out = drop_path(tape, channels_first(tape, out), self.drop)
            return tape.add(x, out, "residual stream")
