"""A config's `quantization_config` → the scheme that its weights are stored in.

Source: transformers 5.23 utils/quantization_config.py; vLLM model_executor/layers/quantization; the config.json files of
the releases that carry one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gauge.errors import shown

NESTED = "text_config"
KEYS = ("quantization_config", "compression_config")
LONGEST_SEARCH = 64
WIDTHS = ("bits", "w_bit", "nbits")
UNREADABLE = -1


def understood(config: Mapping[str, Any]) -> tuple[str, str]:
    """The scheme's id and a sentence; an empty id where there is none or it is not understood."""
    found = _found(config)
    if found is None:
        return "", ""
    method = _word(found.get("quant_method") or found.get("quant_algo"))
    scheme = _scheme(method, found)
    if scheme:
        return scheme, f"The config's quantization_config ({shown(method)}) stores weights as {scheme}."
    said = shown(found.get("quant_method", found.get("quant_algo")))
    bits = next((f", {name} {shown(found[name])}" for name in WIDTHS if name in found), "")
    return "", f"The config's quantization_config ({said}{bits}) is not understood: weights are counted unquantized."


def experts_kept(config: Mapping[str, Any]) -> str:
    """The GGUF type in which files keep a checkpoint's experts, whatever their file type; empty where they are converted.

    Source: ggml-org/llama.cpp convert_hf_to_gguf.py, GptOssModel: MXFP4 blocks are repacked as they are. Published files of
    gpt-oss-20b: Q4_K_M has 11,624,759,488 bytes, F16 13.8 GB, the file of MXFP4_MOE 12.1 GB.
    """
    found = _found(config)
    return "MXFP4" if found is not None and _word(found.get("quant_method")) == "mxfp4" else ""


def _found(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    inner = config.get(NESTED)
    for owner in (config, inner if isinstance(inner, Mapping) else {}):
        for key in KEYS:
            value = owner.get(key)
            if isinstance(value, Mapping) and value:
                return value
    return None


def _word(value: object) -> str:
    return value.lower()[:80] if isinstance(value, str) else ""


def _bits(found: Mapping[str, Any], *names: str, default: int) -> int:
    value = next((found[n] for n in names if n in found), default)
    return value if isinstance(value, int) and not isinstance(value, bool) else UNREADABLE


def _scheme(method: str, found: Mapping[str, Any]) -> str:
    if method == "gptq":
        return {4: "gptq-int4-g128", 8: "gptq-int8-g128"}.get(_bits(found, "bits", default=4), "")
    if method in ("awq", "awq_marlin"):
        return "awq-int4-g128" if _bits(found, "bits", "w_bit", default=4) == 4 else ""
    if method == "bitsandbytes" or "load_in_4bit" in found or "load_in_8bit" in found:
        return _bitsandbytes(found)
    if method in ("fp8", "fbgemm_fp8", "finegrained_fp8"):
        return "fp8"
    if method in ("mxfp4", "nvfp4"):
        return method
    if method in ("compressed-tensors", "sparseml", "quark"):
        return _groups(found)
    if method in ("modelopt", "modelopt_fp4", "modelopt_fp8"):
        return _algorithm(_word(found.get("quant_algo")) or method)
    if method in ("torchao", "hqq", "eetq", "quanto"):
        return _weight_only(method, found)
    return ""


def _bitsandbytes(found: Mapping[str, Any]) -> str:
    if found.get("load_in_8bit") is True:
        return "bnb-int8"
    double = found.get("bnb_4bit_use_double_quant") is True
    return "bnb-nf4-double" if double else "bnb-nf4"


def _groups(found: Mapping[str, Any]) -> str:
    """compressed-tensors: the first group's weights, or the format alone; 4-bit groups where nothing is said."""
    kind = _word(found.get("format"))
    weights = _weights(found)
    bits, floating = _bits(weights, "num_bits", default=0), _word(weights.get("type")) == "float"
    if "nvfp4" in kind or (floating and bits == 4 and _bits(weights, "group_size", default=16) == 16):
        return "nvfp4"
    if "mxfp4" in kind or (floating and bits == 4):
        return "mxfp4"
    if kind.startswith(("float-quantized", "naive-quantized")) or (floating and bits == 8):
        return "fp8"
    if bits == 8 or kind == "int-quantized":
        return "int8"
    return "int4" if bits in (0, 4) else ""


def _weights(found: Mapping[str, Any]) -> Mapping[str, Any]:
    groups = found.get("config_groups")
    for group in list(groups.values())[:LONGEST_SEARCH] if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if isinstance(weights, Mapping):
            return weights
    return {}


def _algorithm(algorithm: str) -> str:
    if "nvfp4" in algorithm or algorithm == "modelopt_fp4":
        return "nvfp4"
    if "fp8" in algorithm:
        return "fp8"
    return "awq-int4-g128" if "w4a16" in algorithm or "awq" in algorithm else ""


def _weight_only(method: str, found: Mapping[str, Any]) -> str:
    """torchao, HQQ, EETQ, quanto: the width stands in a name or a number."""
    words = " ".join(_word(found.get(k)) for k in ("quant_type", "weights")) + _nested_type(found.get("quant_type"))
    if "float8" in words or "fp8" in words:
        return "fp8"
    bits = _bits(found, "nbits", "bits", default=8 if method == "eetq" else 0)
    if "int4" in words or bits == 4:
        return "int4"
    return "int8" if "int8" in words or bits == 8 else ""


def _nested_type(value: object) -> str:
    inner = value.get("default") if isinstance(value, Mapping) else None
    return " " + _word(inner.get("_type")) if isinstance(inner, Mapping) else ""
