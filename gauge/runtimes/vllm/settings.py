"""What vLLM decides from plan, device and release before it allocates anything.

Source: vLLM engine/arg_utils.py, config/compilation.py, quantization/mxfp4.py (release 0.19).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from gauge.case import Case
from gauge.formats import FORMATS, Format
from gauge.memory.engine_pass import ForwardPeak
from gauge.memory.engine_pictures import Pictures
from gauge.memory.overhead import fuses_all_reduce, hopper, platform
from gauge.plan import Plan
from gauge.runtimes.release import Release, release
from gauge.runtimes.serving import captures, padded_experts
from gauge.tensor import Tensor
from gauge.units import GIB

SOURCE = "https://github.com/vllm-project/vllm, release 0.19"
UTILIZATION = 0.90
V1_DEFAULT, V0_GONE = ((0, 8), (2025, 3)), ((0, 11), (2025, 10))
LARGE_DEVICE = 70 * GIB
GRAPH_SIZES = (1, 2, 4)
LARGEST_GRAPH = 512
TILES_TRITON, TILES_MARLIN, TILES_WIDE = (64, 1), (128, 256), (256, 256)  # (inner, hidden) multiples of MXFP4 kernels


@dataclass(frozen=True)
class Settings:
    """What the engine decides from plan, device and release."""

    case: Case

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.case.plan

    @cached_property
    def pictured(self) -> dict[int, Pictures | None]:
        """The profile's pictures of a stage, once traced."""
        return {}

    @cached_property
    def peaks(self) -> dict[int, ForwardPeak]:
        """The forward pass of a stage, once traced."""
        return {}

    @cached_property
    def release(self) -> Release:
        """The release that is meant."""
        return release(self.plan.runtime_version)

    @cached_property
    def old(self) -> bool:
        """Whether it is the first engine (V0): before 0.8, and on GPUs before Ampere as long as there was one.

        Source: vLLM engine/arg_utils.py, _is_v1_supported_oracle (releases 0.8 to 0.10).
        """
        if self.release.says("V0") or self.release.says("V1"):
            return self.release.says("V0")
        device = self.case.cluster.device
        small = device is not None and device.capability is not None and device.capability < (8, 0)
        return self.release.before(*V0_GONE if small else V1_DEFAULT)

    @property
    def roomy(self) -> bool:
        """Whether the device is of the class (70 GiB and more, no A100) that gets the larger defaults."""
        device, total = self.case.cluster.device, self.case.cluster.capacity
        return total is not None and total >= LARGE_DEVICE and not (device and "A100" in device.title)

    @property
    def subtracts_graphs(self) -> bool:
        """Whether the pool is what an estimate of the graphs leaves, too."""
        return not self.old and not self.release.before((0, 21), (2026, 5))

    @property
    def pad(self) -> Callable[[Tensor], Tensor] | None:
        """How MXFP4 experts are filled up, as the tiles of the device's kernels want it: Triton's on Hopper, FlashInfer's on
        Blackwell, AITER's under ROCm, Marlin's elsewhere.

        Source: vLLM model_executor/layers/quantization/mxfp4.py, create_weights.
        """
        device = self.case.cluster.device
        if self.plan.quantization != "mxfp4":
            return None
        wide = fuses_all_reduce(device) or platform(device) == "rocm"
        return padded_experts(self.plan, *(TILES_TRITON if hopper(device) else TILES_WIDE if wide else TILES_MARLIN))

    @property
    def sorts(self) -> bool:
        """Whether sampling sorts whole rows of the vocabulary."""
        return self.old or self.release.before((0, 17), (2026, 2))

    @property
    def joins_late(self) -> bool:
        """Whether communicators come up after the first look at the memory (pull request 25359)."""
        return self.old or self.release.before((0, 11), (2025, 10))

    @property
    def captures_whole(self) -> bool:
        """Whether whole decoding steps are captured beside the pieces between attention layers."""
        return not self.old and not self.release.before((0, 11), (2025, 10))

    @property
    def tokens(self) -> int:
        """Tokens that one step computes at most. The first engine profiles one prompt of the full length."""
        asked = self.plan.max_num_batched_tokens
        if asked is not None:
            return asked
        if self.old:
            return max(self.plan.tokens, 2048)
        return 8192 if self.roomy else 2048

    @property
    def most(self) -> int:
        """Sequences that run at once."""
        asked = self.plan.max_num_seqs
        return asked if asked is not None else 256 if self.old or not self.roomy else 1024

    @property
    def rows(self) -> int:
        """Sequences that the sampler's profile has."""
        return min(self.most, self.tokens)

    @property
    def dtype(self) -> Format:
        """The dtype of unquantized weights and activations."""
        return FORMATS[self.plan.dtype]

    @property
    def share(self) -> int | None:
        """Bytes of one device that the engine may take."""
        total = self.case.cluster.capacity
        if total is None:
            return None
        asked = self.plan.gpu_memory_utilization
        return int(total * (UTILIZATION if asked is None else asked))

    @property
    def captured(self) -> int:
        """CUDA graphs that are captured: piecewise ones for each batch size, whole ones for those that sequences can reach.

        Source: vLLM v1/cudagraph_dispatcher.py, initialize_cudagraph_keys.
        """
        if self.plan.enforce_eager or not captures(self.case.cluster.device):
            return 0
        largest = min(self.rows, 256) if self.old else min(2 * self.rows, LARGEST_GRAPH)
        step = 8 if self.old or self.release.before((0, 12), (2025, 12)) else 16
        sizes = {n for n in (*GRAPH_SIZES, *range(8, 256, 8), *range(256, LARGEST_GRAPH + 1, step)) if n <= largest}
        return len(sizes) + (sum(n <= self.most for n in sizes) if self.captures_whole else 0)
