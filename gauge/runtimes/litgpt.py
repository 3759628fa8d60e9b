"""LitGPT: everything in bfloat16, adapters included; queries, keys and values are one matrix; logits by 128 tokens.

Two habits are read off its published tables and stand in `data/overheads/litgpt.json` with their ranges: the input of the
MLP's second product is kept though the matrix is frozen, and every product with a quantized matrix keeps a copy of its
input (16-bit in 2023, float32 since 0.4).

Source: litgpt 0.4 (model.py, lora.py, finetune/lora.py).
"""

from __future__ import annotations

from dataclasses import replace

from gauge.case import Breakdown, Case, Runtime
from gauge.formats import FLOAT32, FORMATS
from gauge.how import How
from gauge.overheads import overhead
from gauge.quantization import Scheme, scheme_of
from gauge.runtimes.sharded import USES, Sharded, by_stage, check_sharded
from gauge.versions import numbers

ROLES = {
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "attention_output",
    "gate_proj": "mlp_gate",
    "up_proj": "mlp_up",
    "down_proj": "mlp_down",
}


FLOAT32_COPIES = {"date": (2024,), "version": (0, 4)}


def before_copies(version: str) -> bool:
    """Whether a run is older than float32 copies of the inputs of quantized products."""
    have = numbers(version)
    return bool(have) and have < FLOAT32_COPIES["date" if have[0] >= 2000 else "version"]


class Lit(Sharded):
    """One rank of LitGPT."""

    @property
    def wide_tables(self) -> bool:
        """Nothing makes an exception of embeddings."""
        return False

    @property
    def scheme(self) -> Scheme:
        """`bnb.nf4` and `bnb.nf4-dq` are two choices here; QLoRA without one takes the second."""
        asked = scheme_of(self.plan.quantization)
        return super().scheme if asked.id == "none" else asked

    def habits(self, how: How) -> How:
        """Adapters in the model's dtype; the loss over chunks whose logits are all kept."""
        asked = {word.strip() for word in self.plan.lora_targets.split(",")}
        roles = frozenset(role for name, role in ROLES.items() if name in asked)
        adapters = replace(how.adapters, format=FORMATS[self.plan.dtype], roles=roles) if how.adapters else None
        loss = "listed" if how.loss in ("chunked", "standard") else how.loss
        kept = frozenset({"mlp_down"}) if how.frozen and overhead("litgpt", "kept_inputs").value else how.keeps_inputs
        wide = overhead("litgpt", "copies_2023" if before_copies(how.version) else "copies").value
        copies = FLOAT32 if wide == FLOAT32.bytes else how.compute
        how = replace(how, fused_gelu=True, fused_qkv=True, spread_heads=True, keeps_inputs=kept, packed_copies=copies)
        return replace(how, adapters=adapters, loss=loss)


def lit(case: Case) -> Breakdown:
    """One rank's pools."""
    return by_stage(case, Lit)


ADAPTED = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "projection", "gate_proj": "mlp"}


def command(case: Case) -> str:
    """`litgpt finetune` with these settings."""
    plan = case.plan
    kind = "finetune_full" if plan.method == "full" else "finetune_lora"
    words = [f"litgpt {kind} {case.model.id} --precision bf16-true --devices {plan.data_parallel}"]
    words.append(f"--train.micro_batch_size {plan.batch_size} --train.max_seq_length {plan.tokens}")
    if plan.method != "full":
        words.append(f"--lora_r {plan.lora_rank} --lora_dropout {plan.lora_dropout}")
        asked = {word.strip() for word in plan.lora_targets.split(",")}
        every = "all-linear" in asked
        attention = asked & {"attention"}
        for name, part in ADAPTED.items():
            on = every or name in asked or (bool(attention) and part != "mlp")
            words.append(f"--lora_{part} {str(on).lower()}")
    kinds = {"bnb-nf4": "bnb.nf4", "bnb-nf4-double": "bnb.nf4-dq", "bnb-int8": "bnb.int8-training"}
    stored = kinds.get(plan.quantization, "bnb.nf4-dq" if plan.method == "qlora" else "")
    return " ".join((*words, f"--quantize {stored}")) if stored else " ".join(words)


RUNTIMES = (
    Runtime(
        id="litgpt",
        label="LitGPT",
        tasks=("training",),
        newest=("0.4",),
        breakdown=lit,
        check=check_sharded,
        command=command,
        uses=USES,
        defaults={"zero_stage": 3, "precision": "pure-16bit", "loss": "chunked", "lora_dropout": 0.05},
        source="litgpt 0.4",
    ),
)
