"""torchtune: 16-bit throughout, adapters and states included; the loss by chunks over kept logits; FSDP2 on several GPUs.

Its RMSNorm, attention and MLP are written operator by operator. Source: torchtune 0.4 (modules/, recipes/).
"""

from __future__ import annotations

from dataclasses import replace

from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FORMATS
from gauge.how import How
from gauge.runtimes.sharded import USES, Sharded, by_stage, check_sharded
from gauge.tensor import Tensor


class Tune(Sharded):
    """One rank of torchtune."""

    @property
    def wide_tables(self) -> bool:
        """Nothing makes an exception of embeddings."""
        return False

    def habits(self, how: How) -> How:
        """Adapters in the model's dtype; key heads repeated; the chunked loss keeps the logits, the other one makes
        them float32 first."""
        adapters = replace(how.adapters, format=FORMATS[self.plan.dtype]) if how.adapters else None
        loss = "chunked-output" if how.loss == "chunked" else how.loss
        loss = "held-compiled" if loss == "standard" and self.plan.compile else loss
        return replace(how, adapters=adapters, loss=loss, spread_heads=True)

    @property
    def root_moments(self) -> tuple[str, ...]:
        """While the head works."""
        return ("loss", "loss_backward")

    @property
    def head_alone(self) -> bool:
        """Recipes for full fine-tuning make token table and head units of their own (`custom_sharded_layers`), those for
        adapters leave both to the root unit."""
        return self.how.adapters is None and not self.case.model.tied

    def root(self) -> list[Tensor]:
        """What works with the head."""
        found = super().root()
        return [t for t in found if t.role != "token_embedding"] if self.head_alone else found

    @property
    def fetches_beside_head(self) -> tuple[str, ...]:
        """A unit fetches the one that ran before it in forward; for a head that ran once a chunk that is itself, up to
        its first chunk, the last one in backward."""
        return ("loss",) if self.head_alone and self.how.loss == "chunked-output" else super().fetches_beside_head


def tune(case: Case) -> Breakdown:
    """One rank's pools."""
    return by_stage(case, Tune)


LOSSES = {"chunked": "CEWithChunkedOutputLoss", "fused": "LinearCrossEntropyLoss"}


def command(case: Case) -> str:
    """`tune run` with these settings over a configuration of one's own."""
    plan = case.plan
    spread = plan.data_parallel > 1
    kind = {"full": "full_finetune", "lora": "lora_finetune", "qlora": "lora_finetune"}[plan.method]
    place = "distributed" if spread else "single_device"
    start = f"tune run --nproc_per_node {plan.data_parallel} " if spread else "tune run "
    words = [f"{start}{kind}_{place} --config my_config.yaml", f"batch_size={plan.batch_size}"]
    words.append(f"tokenizer.max_seq_len={plan.tokens} dtype={'bf16' if plan.dtype == 'bfloat16' else 'fp32'}")
    words.append(f"gradient_accumulation_steps={plan.gradient_accumulation}")
    words.append(f"enable_activation_checkpointing={plan.gradient_checkpointing == 'full'} compile={plan.compile}")
    if plan.loss in LOSSES:
        words.append(f"loss=torchtune.modules.loss.{LOSSES[plan.loss]}")
    if plan.method != "full":
        words.append(f"model.lora_rank={plan.lora_rank}")
    if plan.optimizer_in_backward:
        words.append("optimizer_in_bwd=True")
    if plan.activation_offload:
        words.append("enable_activation_offloading=True")
    if plan.cpu_offload != "none":
        words.append("fsdp_cpu_offload=True")
    return " ".join(words)


RUNTIMES = (
    Runtime(
        id="torchtune",
        label="torchtune",
        tasks=("training",),
        newest=("0.6",),
        breakdown=tune,
        check=check_sharded,
        command=command,
        uses=USES,
        defaults={"zero_stage": 3, "precision": "pure-16bit", "loss": "chunked"},
        source="torchtune 0.4",
    ),
)
