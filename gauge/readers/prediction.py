"""Multi-token-prediction layers, which a checkpoint holds beside its model: a joint in front of one more of the model's last
blocks, and a norm behind it. Embedding and head are the model's own, though some checkpoints store copies of them.

Source: DeepSeek-V3, arXiv 2412.19437, section 2.2; the published totals that count such layers (gauge/data/models.jsonl).
"""

from __future__ import annotations

from gauge.layers.block import Stage
from gauge.layers.norm import Norm
from gauge.layers.predictor import Joint
from gauge.model import Part
from gauge.readers.config import Config
from gauge.units import format_count

COUNTS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")
MOST = 64
DEEPSEEK = ("enorm", "hnorm", "eh_proj", "shared_head.norm")
QWEN = ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "fc", "norm")
MIMO = ("token_layernorm", "hidden_layernorm", "input_proj", "final_layernorm")
NEMOTRON = ("enorm", "hnorm", "eh_proj", "final_layernorm")
NAMES = {"mimo": MIMO, "nemotron_h": NEMOTRON}
OTHERS = frozenset({"step3p5", "step3p7_text"})


def predicts(config: Config) -> int:
    """How many such layers the config names."""
    found: int = config.integer(*COUNTS, default=0, least=0, most=MOST)
    return found


def predictors(config: Config, hidden: int, *blocks: Stage) -> tuple[Part, ...]:
    """A part for each layer that the config names; a family whose layers are built otherwise (Step) gets none."""
    kind = config.text("model_type")
    count = predicts(config)
    if not count or kind in OTHERS:
        return ()
    *joint, last = NAMES.get(kind, QWEN if kind.startswith("qwen3") else DEEPSEEK)
    extras = (Joint(hidden, (joint[0], joint[1], joint[2])),)
    part = Part("predictor", blocks, None, Norm(last, hidden), extras, sequence="idle", feeds=False)
    return (part,) * count


def said(parts: tuple[Part, ...]) -> tuple[str, ...]:
    """A note on what the layers would add."""
    if not parts:
        return ()
    size = format_count(sum(tensor.elements * count for part in parts for tensor, count in part.weights()))
    layers = "1 multi-token-prediction layer" if len(parts) == 1 else f"{len(parts)} multi-token-prediction layers"
    return (
        f"A checkpoint may also hold {layers} ({size} parameters); they are not counted, since they load only for "
        "speculative decoding.",
    )
