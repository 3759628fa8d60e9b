"""Vision and sound towers of multimodal models: `tower(config)` finds the builder of a `vision_config`."""

from __future__ import annotations

from collections.abc import Callable

from gauge.model import Part
from gauge.readers.config import Config
from gauge.readers.towers import clip, gemma, internvl, kimi, llama, pixtral, qwen, step

Builder = Callable[[Config], Part]

BUILDERS: dict[str, Builder] = {
    "clip_vision_model": clip.clip,
    "siglip_vision_model": clip.siglip_with_head,
    "idefics3_vision": clip.siglip,
    "smolvlm_vision": clip.siglip,
    "internvl_vision": internvl.internvl,
    "qwen2_5_omni_vision_encoder": qwen.qwen2_5,
    "pixtral": pixtral.pixtral,
    "qwen2_vl": qwen.qwen2,
    "qwen2_5_vl": qwen.qwen2_5,
    "qwen3_vl": qwen.qwen3,
    "qwen3_vl_moe": qwen.qwen3,
    "qwen3_5": qwen.qwen3,
    "qwen3_5_moe": qwen.qwen3,
    "glm4v_vision": qwen.glm4v,
    "glm5_next_vision": qwen.glm4v,
    "ernie4_5_vl_moe_vision": qwen.ernie,
    "mllama_vision_model": llama.mllama,
    "llama4_vision_model": llama.llama4,
    "gemma4_vision": gemma.vision,
    "moonvit": kimi.moonvit,
    "kimi_k25_vision": kimi.moonvit,
    "step3p5_vision": step.step,
}


def tower(config: Config, default: str = "") -> Part | None:
    """The tower that a `vision_config` describes, or None where its kind is not known."""
    kind = config.text("model_type", default=default) or default
    builder = BUILDERS.get(kind) or BUILDERS.get(default)
    return builder(config) if builder else None
