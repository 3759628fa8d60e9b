"""The transformer block that nearly every tower is made of, and a tower around its blocks."""

from __future__ import annotations

from collections.abc import Iterable

from gauge.errors import RequestError
from gauge.layers.attention import Attention
from gauge.layers.block import Block, Residual, Stage
from gauge.layers.convolution import Chain
from gauge.layers.embedding import Entry
from gauge.layers.mlp import MLP
from gauge.layers.norm import Kind, Norm
from gauge.layers.projector import Projector, Step
from gauge.layers.scale import LayerScale
from gauge.model import Part


def encoder_block(
    *,
    hidden: int,
    heads: int,
    inner: int,
    head: int | None = None,
    norm: Kind = "layer",
    bias: bool = True,
    out_bias: bool = True,
    mlp_bias: bool = True,
    gated: bool = False,
    activation: str = "gelu",
    fused: bool = False,
    rotary: bool = False,
    qk_norm: bool = False,
    wide_norm: bool = False,
    post_norms: bool = False,
    scale: int = 0,
    dropout: float = 0.0,
) -> Block:
    """Norm, bidirectional attention, norm, MLP. `scale`: learned factors on each branch, one or one a channel."""
    if head is None:
        if hidden % heads:
            raise RequestError("config", f"{heads} heads do not divide width {hidden}", f"choose a divisor of {hidden}")
        head = hidden // heads
    attention = Attention(
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head=head,
        qkv_bias=bias,
        out_bias=out_bias,
        fused=fused,
        rotary=head if rotary else 0,
        rotary_scope="vision tower",
        norms="head" if qk_norm else "full" if wide_norm else "",
        causal=False,
        caches=False,
        dropout=dropout,
    )
    mlp = MLP(hidden=hidden, inner=inner, gated=gated, bias=mlp_bias, activation=activation, names=NAMES[gated])
    return Block(
        (
            Residual(attention, _norm("norm1", hidden, norm), _after("1", hidden, norm, post_norms, scale)),
            Residual(mlp, _norm("norm2", hidden, norm), _after("2", hidden, norm, post_norms, scale)),
        ),
        kind="tower block",
    )


NAMES = {True: ("gate_proj", "up_proj", "down_proj"), False: ("", "fc1", "fc2")}


def _norm(name: str, hidden: int, kind: Kind) -> Norm:
    return Norm(name, hidden, kind, bias=kind == "layer")


def _after(which: str, hidden: int, kind: Kind, post_norms: bool, scale: int) -> Norm | LayerScale | None:
    if post_norms:
        return _norm(f"post_norm{which}", hidden, kind)
    return LayerScale(f"scale{which}", scale) if scale else None


def tower_part(entry: Entry, blocks: Iterable[Stage], side: int, norm: Norm | None = None, tail: tuple[Step, ...] = ()) -> Part:
    """An optional part: it runs when the request has an image. `tail` are the tower's own steps behind its blocks."""
    behind: tuple[Step, ...] = ((norm,) if norm else ()) + tail
    stages = (*blocks, *((Chain((Projector(behind),), "tower output"),) if behind else ()))
    return Part("vision tower", stages, entry, sequence="image", length=side, feeds=False, optional=True)


def layer_norm(name: str, size: int) -> Norm:
    """Layer norm with a bias."""
    return Norm(name, size, "layer", bias=True)
