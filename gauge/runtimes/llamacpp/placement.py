"""Which block runs where: the last `gpu_layers` of them on devices, split evenly; experts of the first ones at home.

The input embedding always stays in host memory; a tied one is stored on the device of the output head as well.
Source: ggml-org/llama.cpp src/llama-model.cpp (load_tensors).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from gauge.breakdown import Item, item
from gauge.case import Case
from gauge.formats import FORMATS, Format
from gauge.gguf.file_types import stored_types, traits_of
from gauge.gguf.tensors import Stored, file_tensors
from gauge.memory.collect import stacked
from gauge.memory.overhead import platform
from gauge.memory.roles import component_of, label_of
from gauge.model import Model
from gauge.plan import Plan
from gauge.readers.gguf_places import unpacked
from gauge.readers.quantization_config import experts_kept
from gauge.runtimes.llamacpp.policies import policy_of
from gauge.tensor import Dim, Extent, Tensor, tensor

HOST = -1
INPUTS = ("token_embd", "position_embd", "token_types", "token_embd_norm")
# What a processor with AVX2 repacks: matrices of the layers in these types get a second copy.
REPACKED = frozenset({"Q4_0", "Q4_K", "MXFP4", "IQ4_NL"})
DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}
SAME = {"mxfp4": "MXFP4_MOE"}
WHY = "Every tensor of the file is resident, in the type that the file's rule gives it."
SOURCE = "tensors and types of the GGUF file: ggml-org/llama.cpp, converter and quantizer"


WHY_HEADER = "Counted in the header of the file."
HEADER = "the file's own header"
LARGEST_VECTOR = 2**20  # a head has more numbers, norms and rotary factors fewer


class Weight(NamedTuple):
    """One tensor of the file in its type."""

    stored: Stored
    format: Format

    @property
    def tensor(self) -> Tensor:
        """The tensor in that type."""
        return self.stored.tensor.stored_as(self.format)


@dataclass(frozen=True)
class Placement:
    """The file's tensors by device: `blocks[i]` is the device of block i, `output` that of the head, HOST = -1."""

    weights: tuple[Weight, ...]
    blocks: tuple[int, ...]
    output: int
    devices: int
    host_experts: int
    tied: bool

    def device_of(self, one: Stored) -> int:
        """Where a tensor is stored."""
        if one.block >= 0:
            kept = one.name.endswith("_exps") and one.block < self.host_experts
            return HOST if kept else self.blocks[one.block]
        return HOST if one.name in INPUTS or one.name.startswith("token_embd") else self.output

    def on(self, device: int) -> Iterator[Weight]:
        """The tensors of a device; a tied embedding appears where the output head runs as well."""
        for one in self.weights:
            shared = self.tied and one.stored.name == "token_embd" and device == self.output
            if shared or self.device_of(one.stored) == device:
                yield one

    def blocks_on(self, device: int) -> list[int]:
        """The blocks of a device."""
        return [index for index, where in enumerate(self.blocks) if where == device]

    @property
    def waits(self) -> bool:
        """Whether a part of any block stays in host memory."""
        return HOST in self.blocks or self.host_experts > 0

    @property
    def largest_at_home(self) -> Tensor | None:
        """The largest matrix of a block that waits in host memory while there is a device to compute it."""
        waiting = [w for w in self.weights if w.stored.block >= 0 and self.device_of(w.stored) == HOST]
        return max((w.tensor for w in waiting), key=lambda t: t.bytes, default=None) if self.devices else None


def file_type_of(plan: Plan) -> str:
    """The file type that a plan means: its quantization, or its dtype where there is none."""
    if plan.quantization == "none":
        return DTYPES[plan.dtype]
    return SAME.get(plan.quantization, plan.quantization)


def accelerators(case: Case) -> int:
    """Devices that layers can be offloaded to: none where the device is a processor or a phone, which computes itself."""
    return 0 if platform(case.cluster.device) == "host" else case.plan.devices or 0


def placement_of(case: Case) -> Placement:
    """Where every tensor of the case's file goes."""
    model, plan = case.model, case.plan
    weights = file_weights(model, plan)
    count = max((w.stored.block for w in weights), default=-1) + 1
    devices = accelerators(case)
    offloaded = 0 if not devices else count + 1 if plan.gpu_layers is None else min(plan.gpu_layers, count + 1)
    output_first = policy_of(plan.runtime_version).output_first
    first = count + 1 - offloaded if output_first or offloaded > count else count - offloaded
    blocks = tuple(_device(i, first, offloaded, devices) for i in range(count))
    return Placement(
        weights=weights,
        blocks=blocks,
        output=devices - 1 if offloaded > count or (offloaded and output_first) else HOST,
        devices=devices,
        host_experts=plan.cpu_moe_layers or 0 if devices else 0,
        tied=not any(w.stored.name == "output" for w in weights) and model.head is not None,
    )


def _device(index: int, first: int, offloaded: int, devices: int) -> int:
    """Equal devices take equal shares of the offloaded layers, of which the output head is one."""
    return HOST if index < first else min((index - first) * devices // offloaded, devices - 1)


def file_weights(model: Model, plan: Plan) -> tuple[Weight, ...]:
    """The file's tensors in their types."""
    policy = policy_of(plan.runtime_version)
    tensors = file_tensors(model, policy.latent)
    traits = traits_of(model, policy.rewritten, policy.latent, policy.predicting)
    return tuple(Weight(s, f) for s, f in stored_types(tensors, file_type_of(plan), traits, experts_kept(model.config)))


# ------------------------------------------------------------------------------------------------ items
def weight_items(weights: Iterable[Weight]) -> tuple[Item, ...]:
    """One item for each kind of tensor and type."""
    named = ((w.tensor.named(_label(w)), 1) for w in weights)
    return tuple(item(f"weights.{component_of(one.role)}", _by_layers(one), why=WHY, source=SOURCE) for one in stacked(named))


def _label(weight: Weight) -> str:
    one = weight.stored.tensor
    return f"{label_of(one.role, one.name)}, {weight.format.id}"


def _by_layers(one: Tensor) -> Tensor:
    first = one.dims[0] if one.dims else None
    if first is None or first.dim is not Dim.COPIES:
        return one
    return replace(one, dims=(Extent(Dim.LAYERS, first.size, first.whole), *one.dims[1:]))


def repacked_in_header(types: dict[str, int], placement: Placement) -> int | None:
    """The same by a header that says where its tensors lie; None where it does not."""
    places = [(k.upper(), p, n) for k, p, n in unpacked(types) if p not in ("in", "out") and HOST in _devices(p, placement, True)]
    if not any(True for _ in unpacked(types)):
        return None
    return sum(n // FORMATS[kind].values * FORMATS[kind].bytes for kind, _, n in places if kind in REPACKED)


def repacked_bytes(weights: Iterable[Weight]) -> int:
    """What a processor with AVX2 copies into its own order."""
    return sum(w.tensor.bytes for w in weights if w.stored.block >= 0 and w.stored.matrix and w.format.id in REPACKED)


def header_items(types: dict[str, int], placement: Placement, device: int) -> tuple[Item, ...]:
    """Exact weights of a dropped file by type, where its header says in which blocks they lie; else shared out by rule."""
    places = tuple(unpacked(types))
    return _placed(places, placement, device) if places else _shared(types, placement, device)


def _placed(places: Iterable[tuple[str, str, int]], placement: Placement, device: int) -> tuple[Item, ...]:
    """Elements of each type in the blocks, tables and head of one device."""
    places = tuple(places)
    separate = any(place == "out" and elements > LARGEST_VECTOR for _, place, elements in places)
    counts: dict[str, int] = {}
    for kind, place, elements in places:
        if device in _devices(place, placement, separate):
            counts[kind.upper()] = counts.get(kind.upper(), 0) + elements
    return tuple(
        item("weights", tensor(f"tensors in {kind}", FORMATS[kind], (Dim.ELEMENTS, count)), why=WHY_HEADER, source=HEADER)
        for kind, count in counts.items()
    )


def _devices(place: str, placement: Placement, separate: bool) -> tuple[int, ...]:
    """Where what lies at a place of the file is stored; tables of a file without a head of its own serve as that too."""
    if place == "in":
        return (HOST,) if separate or not placement.tied or placement.output == HOST else (HOST, placement.output)
    if place == "out":
        return (placement.output,)
    block = int(place.removesuffix("x"))
    if place.endswith("x") and block < placement.host_experts:
        return (HOST,)
    return (placement.blocks[block] if block < len(placement.blocks) else placement.output,)


def _shared(types: dict[str, int], placement: Placement, device: int) -> tuple[Item, ...]:
    """Which tensor lies where is shared out as the file type's rule would."""
    whole: dict[str, int] = {}
    here: dict[str, int] = {}
    for weight in placement.weights:
        whole[weight.format.id] = whole.get(weight.format.id, 0) + weight.tensor.elements
    for weight in placement.on(device):
        here[weight.format.id] = here.get(weight.format.id, 0) + weight.tensor.elements
    total, part = sum(whole.values()), sum(here.values())
    found = []
    for name, elements in types.items():
        form = FORMATS[name.upper()]
        share, of = (here.get(form.id, 0), whole[form.id]) if form.id in whole else (part, total)
        count = elements if share == of else elements * share // max(of, 1) // form.values * form.values
        if count:
            one = tensor(f"tensors in {form.id}", form, (Dim.ELEMENTS, count))
            found.append(item("weights", one, why=WHY_HEADER, source=HEADER))
    return tuple(found)
