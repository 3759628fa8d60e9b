"""One adapter a family, in a file named after its `model_type`; `SAME` lists types that share another's adapter.

An adapter is a function `read(config) -> Model`. It is found by its file name; nothing is registered.
"""

SAME = {
    "mllama_text_model": "mllama",
    "clip_vision_model": "clip",
    "clip_text_model": "clip",
    "siglip_vision_model": "siglip",
    "llava_next": "llava",
    "llava_next_video": "llava",
    "llava_onevision": "llava",
    "vipllava": "llava",
    "qwen2_5_vl": "qwen2_vl",
    "qwen3_vl": "qwen2_vl",
    "qwen3_vl_moe": "qwen2_vl",
    "qwen3_5": "qwen2_vl",
    "qwen3_5_moe": "qwen2_vl",
    "glm4v": "qwen2_vl",
    "smolvlm": "idefics3",
    "kimi_vl": "kimi_k25",
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen3_vl_text": "qwen3",
    "qwen3_vl_moe_text": "qwen3_moe",
    "gemma4_unified_text": "gemma4_text",
    "glm4v_text": "glm4",
    "ministral3": "llama",
    "kimi_k2": "deepseek_v3",
    "mistral": "llama",
    "roberta": "bert",
    "xlm-roberta": "bert",
    "mt5": "t5",
}
