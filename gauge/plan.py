"""What the user decides: one frozen `Plan`, each field with the words and choices that every door shows.

Form, link, command line, JSON and documentation are derived from these declarations; a new field is one declaration.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, cast

from gauge.formats import CACHE_DTYPES, DTYPES
from gauge.tensor import Axis, Mesh

Kind = Literal["model", "device", "text", "config", "map", "count", "tokens", "bytes", "fraction", "flag", "choice"]
BOTH = ("inference", "training")
INFERENCE = ("inference",)
TRAINING = ("training",)
ATTENTION_CHOICES = (
    ("sdpa", "PyTorch's choice (SDPA)"),
    ("flash", "FlashAttention"),
    ("eager", "composed (eager)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """How one field is read and shown.

    `choices` is a table of (value, label), or the name of a table that `gauge.fields` looks up (`runtimes`,
    `optimizers`, `quantizations`). A count is at least `least`; a fraction may be 0 unless it must be `positive`; a
    text that does not match `pattern` is not `wanted`, and `example` says what to give instead.
    """

    kind: Kind
    label: str
    help: str
    group: str
    tasks: tuple[str, ...] = BOTH
    choices: tuple[tuple[str, str], ...] | str = ()
    unit: str = ""
    prominent: bool = False
    placeholder: str = ""
    least: int = 1
    positive: bool = False
    pattern: str = ""
    wanted: str = ""
    example: str = ""


GROUPS = (
    ("model", "Model"),
    ("task", "Task"),
    ("size", "Size"),
    ("hardware", "Hardware"),
    ("precision", "Precision"),
    ("cache", "Cache and serving"),
    ("method", "Method and optimizer"),
    ("recompute", "Activations and loss"),
    ("parallel", "Parallelism"),
)


def knob(default: Any, kind: Kind, label: str, help: str, group: str, **more: Any) -> Any:
    """A field of the plan with its metadata."""
    return field(default=default, metadata={"knob": Knob(kind=kind, label=label, help=help, group=group, **more)})


def _plain(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One question. None means "the model's own" or "the runtime's own"; `gauge.request` fills in what it can."""

    model: str | None = knob(
        "meta-llama/Llama-3.1-8B",
        "model",
        "Model",
        "A model from the catalogue, by its Hugging Face id or a short name.",
        "model",
        prominent=True,
    )
    config: dict[str, Any] | None = knob(
        None,
        "config",
        "config.json",
        "The contents of a Hugging Face config.json, instead of a model or as edits on top.",
        "model",
    )
    parameters: int | None = knob(
        None, "count", "Parameters", "Only where neither model nor config is known: a generic architecture is derived.", "model"
    )
    gguf_types: dict[str, int] | None = knob(
        None, "map", "GGUF tensor types", "Elements of each tensor type, as a GGUF file's header lists them.", "model"
    )
    task: str = knob(
        "inference",
        "choice",
        "Task",
        "Run the model, or train it.",
        "task",
        choices=(("inference", "Inference"), ("training", "Training")),
        prominent=True,
    )
    runtime: str = knob(
        "transformers", "choice", "Runtime", "Whose allocation policy applies.", "task", choices="runtimes", prominent=True
    )
    runtime_version: str = knob(
        "",
        "text",
        "Runtime version",
        "Picks between known policies of one runtime: a release, a build or a date.",
        "task",
        pattern=r"\d|^(main|master|nightly|latest|dev|stable)$",
        wanted="a version",
        example="a release, a build or a date, such as 0.19.0, b5353 or 2025-07",
    )
    batch_size: int = knob(
        1,
        "count",
        "Batch size",
        "Sequences in flight; for training the micro-batch of one data-parallel rank.",
        "size",
        prominent=True,
    )
    sequence_length: int | None = knob(
        None,
        "tokens",
        "Sequence length",
        "Tokens of a sequence; for inference prompt and generated together.",
        "size",
        unit="tokens",
        prominent=True,
    )
    prompt_length: int | None = knob(
        None, "tokens", "Prompt length", "Tokens of the longest single prefill.", "size", tasks=INFERENCE, unit="tokens"
    )
    target_length: int | None = knob(
        None, "tokens", "Target length", "Decoder tokens of an encoder-decoder model.", "size", unit="tokens"
    )
    image_size: int | None = knob(None, "count", "Image size", "Pixels on one side, for vision models.", "size", unit="pixels")
    device: str | None = knob(
        None, "device", "Device", "The fit is judged against the memory that its driver reports.", "hardware", prominent=True
    )
    devices: int | None = knob(
        None, "count", "Devices", "How many; the product of the degrees where left out, 0 for none.", "hardware", least=0
    )
    device_memory: int | None = knob(
        None, "bytes", "Device memory", "Overrides the catalogue's figure.", "hardware", unit="bytes", least=2**20
    )
    dtype: str = knob(
        "bfloat16",
        "choice",
        "Data type",
        "What unquantized weights are held and computed in.",
        "precision",
        choices=_plain(*DTYPES),
    )
    quantization: str = knob(
        "none",
        "choice",
        "Quantization",
        "How the weights are stored; left out, as the checkpoint's own config says.",
        "precision",
        choices="quantizations",
    )
    sparsity: str = knob(
        "none", "text", "Sparsity", "Pruned weights: 2:4, or the fraction removed.", "precision", placeholder="none, 2:4 or 0.5"
    )
    attention: str = knob(
        "sdpa", "choice", "Attention kernel", "sdpa is what PyTorch would pick.", "precision", choices=ATTENTION_CHOICES
    )
    kv_cache_dtype: str | None = knob(
        None,
        "choice",
        "Cache data type",
        "Of keys, and of values unless those differ.",
        "cache",
        tasks=INFERENCE,
        choices=_plain(*CACHE_DTYPES),
    )
    v_cache_dtype: str | None = knob(
        None,
        "choice",
        "Value cache data type",
        "Where values are stored differently from keys.",
        "cache",
        tasks=INFERENCE,
        choices=_plain(*CACHE_DTYPES),
    )
    logits: str | None = knob(
        None,
        "choice",
        "Logits kept",
        "Which prompt positions get logits.",
        "cache",
        tasks=INFERENCE,
        choices=(("last", "last position"), ("all", "all positions")),
    )
    gpu_memory_utilization: float | None = knob(
        None,
        "fraction",
        "Memory share reserved",
        "Share of the device that the engine takes at start.",
        "cache",
        tasks=INFERENCE,
        positive=True,
    )
    max_num_seqs: int | None = knob(
        None, "count", "Most sequences", "Sequences that the engine schedules at once.", "cache", tasks=INFERENCE
    )
    max_num_batched_tokens: int | None = knob(
        None,
        "tokens",
        "Token budget a step",
        "Tokens that the engine computes in one step.",
        "cache",
        tasks=INFERENCE,
        unit="tokens",
    )
    enforce_eager: bool = knob(False, "flag", "No CUDA graphs", "Run without captured graphs.", "cache", tasks=INFERENCE)
    gpu_layers: int | None = knob(
        None, "count", "Layers on the GPU", "Layers offloaded to the GPU; all where left out.", "cache", tasks=INFERENCE, least=0
    )
    ubatch_size: int | None = knob(
        None, "tokens", "Micro-batch tokens", "Tokens that one graph computes.", "cache", tasks=INFERENCE, unit="tokens"
    )
    parallel_slots: int | None = knob(
        None, "count", "Slots", "A cache for each of N slots; left out, the server's unified slots.", "cache", tasks=INFERENCE
    )
    cpu_moe_layers: int | None = knob(
        None, "count", "Expert layers on the CPU", "Layers whose experts stay in host memory.", "cache", tasks=INFERENCE, least=0
    )
    method: str = knob(
        "full",
        "choice",
        "Method",
        "All weights, or low-rank adapters over frozen ones.",
        "method",
        tasks=TRAINING,
        choices=(("full", "Full fine-tuning"), ("lora", "LoRA"), ("qlora", "QLoRA")),
        prominent=True,
    )
    lora_rank: int = knob(16, "count", "LoRA rank", "Inner size of each adapter.", "method", tasks=TRAINING)
    lora_targets: str = knob(
        "attention", "text", "LoRA targets", "attention, all-linear, or names such as q_proj,v_proj.", "method", tasks=TRAINING
    )
    lora_dropout: float = knob(0.0, "fraction", "LoRA dropout", "On the adapters' input.", "method", tasks=TRAINING)
    lora_dtype: str = knob(
        "float32", "choice", "Adapter data type", "What adapters are held in.", "method", tasks=TRAINING, choices=_plain(*DTYPES)
    )
    upcast_frozen: bool = knob(
        False, "flag", "Upcast frozen parts", "Norms, embeddings and head in float32.", "method", tasks=TRAINING
    )
    trainable_fraction: float = knob(
        1.0,
        "fraction",
        "Trainable share",
        "Share of the layers that is trained, from the end.",
        "method",
        tasks=TRAINING,
        positive=True,
        example="a share above 0; to train no weight but adapters, method=lora",
    )
    optimizer: str = knob(
        "adamw",
        "choice",
        "Optimizer",
        "Decides states and step temporaries.",
        "method",
        tasks=TRAINING,
        choices="optimizers",
        prominent=True,
    )
    optimizer_in_backward: bool = knob(
        False, "flag", "Step inside backward", "Each gradient is used and freed as it appears.", "method", tasks=TRAINING
    )
    precision: str = knob(
        "mixed",
        "choice",
        "Precision scheme",
        "Which copies of weights and gradients exist.",
        "precision",
        tasks=TRAINING,
        choices=(
            ("mixed", "Mixed: float32 weights, 16-bit autocast"),
            ("float32", "float32 throughout"),
            ("pure-16bit", "16-bit throughout"),
            ("master", "16-bit weights, float32 master and gradients"),
        ),
    )
    gradient_checkpointing: str = knob(
        "none",
        "choice",
        "Checkpointing",
        "What is recomputed in backward instead of kept.",
        "recompute",
        tasks=TRAINING,
        choices=_plain("none", "selective", "full"),
        prominent=True,
    )
    gradient_accumulation: int = knob(
        1, "count", "Accumulation steps", "Micro-batches before an optimizer step.", "recompute", tasks=TRAINING
    )
    loss: str = knob(
        "standard",
        "choice",
        "Loss",
        "How logits and cross-entropy are held.",
        "recompute",
        tasks=TRAINING,
        choices=_plain("standard", "chunked", "fused", "compiled", "vocab-parallel"),
    )
    loss_chunk_tokens: int | None = knob(
        None, "tokens", "Loss chunk", "Tokens a chunk of the chunked loss.", "recompute", tasks=TRAINING, unit="tokens"
    )
    activation_offload: bool = knob(
        False, "flag", "Offload activations", "Saved activations wait in host memory.", "recompute", tasks=TRAINING
    )
    compile: bool = knob(False, "flag", "torch.compile", "Elementwise chains are fused.", "recompute", tasks=TRAINING)
    dropout: float | None = knob(None, "fraction", "Dropout", "Overrides the model's rates.", "recompute", tasks=TRAINING)
    tensor_parallel: int = knob(1, "count", "Tensor parallel", "Each matrix split over so many devices.", "parallel")
    pipeline_parallel: int = knob(1, "count", "Pipeline parallel", "Layers split into so many stages.", "parallel")
    data_parallel: int = knob(1, "count", "Data parallel", "Replicas, or shards of the model states.", "parallel")
    context_parallel: int = knob(1, "count", "Context parallel", "Each sequence split over so many devices.", "parallel")
    expert_parallel: int = knob(1, "count", "Expert parallel", "Experts spread over so many devices.", "parallel")
    expert_tensor_parallel: int | None = knob(
        None,
        "count",
        "Expert tensor parallel",
        "Each expert's matrices split over so many devices; as the other matrices where left out.",
        "parallel",
        tasks=TRAINING,
    )
    shard_degree: int | None = knob(
        None,
        "count",
        "Shard within",
        "Ranks that sharded model states are split over, with replicas beyond (hybrid sharding); all where left out.",
        "parallel",
        tasks=TRAINING,
    )
    sequence_parallel: bool = knob(
        False, "flag", "Sequence parallel", "Norms and residuals split with tensor parallelism.", "parallel"
    )
    virtual_pipeline: int = knob(
        1, "count", "Virtual stages", "Chunks of layers on each pipeline stage.", "parallel", tasks=TRAINING
    )
    microbatches: int | None = knob(
        None, "count", "Micro-batches", "In one pipeline schedule; the degree where left out.", "parallel", tasks=TRAINING
    )
    zero_stage: int = knob(
        0,
        "choice",
        "ZeRO stage",
        "Which model states are sharded over data-parallel ranks.",
        "parallel",
        tasks=TRAINING,
        choices=(("0", "0: none"), ("1", "1: optimizer"), ("2", "2: and gradients"), ("3", "3: and weights")),
    )
    cpu_offload: str = knob(
        "none",
        "choice",
        "CPU offload",
        "What waits in host memory.",
        "parallel",
        tasks=TRAINING,
        choices=_plain("none", "optimizer", "all"),
    )
    timeline: bool = knob(False, "flag", "Timeline", "The answer carries the course of the step or request.", "task")

    @property
    def training(self) -> bool:
        """Whether the task is training."""
        return self.task == "training"

    @property
    def mesh(self) -> Mesh:
        """Degrees by axis."""
        return {
            Axis.TENSOR: self.tensor_parallel,
            Axis.CONTEXT: self.context_parallel,
            Axis.EXPERT: self.expert_parallel,
            Axis.DATA: self.data_parallel,
            Axis.PIPELINE: self.pipeline_parallel,
        }

    @property
    def world(self) -> int:
        """Devices that the degrees multiply to (expert-parallel ranks are taken from the others)."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel * self.context_parallel

    @property
    def tokens(self) -> int:
        """Tokens of a sequence; known after `gauge.request` has filled in the model's own."""
        return self.sequence_length or 0

    def edited(self, **changes: Any) -> Plan:
        """A copy with some fields changed."""
        return replace(self, **changes)


KNOBS: dict[str, Knob] = {f.name: cast(Knob, f.metadata["knob"]) for f in fields(Plan)}
DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(Plan)}
