"""LitGPT: everything in bfloat16, adapters included; queries, keys and values are one matrix; logits by 128 tokens.

Source: litgpt 0.4 (model.py, lora.py, finetune/lora.py).
"""

from __future__ import annotations

from dataclasses import replace

from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FORMATS
from gauge.runtimes.sharded import USES, Sharded, by_stage, check_sharded
from gauge.tape import How

CHUNK = 128


class Lit(Sharded):
    """One rank of LitGPT."""

    def habits(self, how: How) -> How:
        """Adapters in the model's dtype; the loss over chunks whose logits are all kept."""
        adapters = replace(how.adapters, format=FORMATS[self.plan.dtype]) if how.adapters else None
        loss = "chunked-output" if how.loss == "chunked" else how.loss
        return replace(how, adapters=adapters, loss=loss, loss_chunk=how.loss_chunk or CHUNK)


def lit(case: Case) -> Breakdown:
    """One rank's pools."""
    return by_stage(case, Lit)


def command(case: Case) -> str:
    """`litgpt finetune` with these settings."""
    plan = case.plan
    kind = {"full": "finetune_full", "lora": "finetune_lora", "qlora": "finetune_lora"}[plan.method]
    words = [f"litgpt {kind} {case.model.id} --precision bf16-true --devices {plan.data_parallel}"]
    words.append(f"--train.micro_batch_size {plan.batch_size} --train.max_seq_length {plan.tokens}")
    if plan.method != "full":
        words.append(f"--lora_r {plan.lora_rank}")
    if plan.method == "qlora":
        words.append("--quantize bnb.nf4" if plan.quantization == "bnb-nf4" else "--quantize bnb.nf4-dq")
    return " ".join(words)


RUNTIMES = (
    Runtime(
        id="litgpt",
        label="LitGPT",
        tasks=("training",),
        breakdown=lit,
        check=check_sharded,
        command=command,
        uses=USES,
        defaults={"precision": "pure-16bit", "loss": "chunked"},
        source="litgpt 0.4",
    ),
)
