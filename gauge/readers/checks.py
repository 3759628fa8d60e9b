"""What no family's adapter would notice in a config: nested values of the wrong kind, names that nobody knows.

What transformers would refuse is refused, with key, value and remedy; what only surprises becomes a note.
Source: transformers 5.23 configuration_utils.py (ALLOWED_LAYER_TYPES), activations.py (ACT2CLS).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gauge.errors import RequestError, listed, shown
from gauge.readers.config import Config

ATTENDING = (
    *("full_attention", "sliding_attention", "chunked_attention", "window_attention", "indexed_attention"),
    *("compressed_sparse_attention", "heavily_compressed_attention", "minimax_m3_sparse", "reference_sliding_attention"),
    *("linear_attention", "conv", "moe", "hybrid", "hybrid_sliding", "attention", "mamba", "deepseek_sparse_attention"),
    *("qwen_sparse_attention", "recurrent", "mlp"),
)
FEEDING = ("dense", "sparse", "moe", "hash_moe")
KINDS = {
    "layer_types": (*ATTENDING, *FEEDING),
    "layers_block_type": ATTENDING,
    "mlp_layer_types": FEEDING,
    "indexer_types": ("full", "shared"),
}
DTYPES = ("bfloat16", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2", "auto", "half", "float", "int8", "uint8")
ACTIVATIONS = (
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_python_tanh", "gelu_pytorch_tanh"),
    *("hardswish", "laplace", "leaky_relu", "linear", "mish", "prelu", "quick_gelu", "relu", "relu2", "relu6", "sigmoid"),
    *("silu", "sqrtsoftplus", "swish", "tanh", "xielu", "situ", "swigluoai", "hard_swish", "swiglu", "geglu", "glu", "elu"),
    *("selu", "softplus", "hswish", "squared_relu", "gegelu", "fastgelu"),
)
ACTIVATION_KEYS = ("hidden_act", "hidden_activation", "activation_function", "mlp_hidden_act", "dense_act_fn")
OBJECTS = ("quantization_config", "compression_config", "rope_scaling", "rope_parameters")
NESTED = ("_config", "encoder", "decoder")
DEEPEST = 4


def notes(config: Config) -> tuple[str, ...]:
    """Notes on a config and those nested in it. Raises RequestError."""
    return tuple(_notes(config, 0))


def _notes(config: Config, depth: int) -> Iterator[str]:
    _objects(config)
    _dtype(config)
    _architectures(config)
    yield from _kinds(config)
    yield from _activations(config)
    for name, value in config.keys.items():
        nested = isinstance(value, Mapping) and name.endswith(NESTED) and name not in OBJECTS
        if nested and depth < DEEPEST:
            yield from _notes(config.inner(name), depth + 1)


def _objects(config: Config) -> None:
    """Keys that hold an object or nothing."""
    for name in OBJECTS:
        value = config.keys.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise RequestError(f"{config.path}.{name}", f"{shown(value)} is no object", f"give an object, or remove {name}")


def _dtype(config: Config) -> None:
    for name in ("torch_dtype", "dtype"):
        value = config.keys.get(name)
        if value is not None and not (isinstance(value, str) and value.removeprefix("torch.") in DTYPES):
            raise RequestError(f"{config.path}.{name}", f"{shown(value)} is no number format", f"give {listed(DTYPES[:3])}")


def _architectures(config: Config) -> None:
    names = config.keys.get("architectures")
    if isinstance(names, list) and not all(isinstance(name, str) for name in names):
        raise RequestError(f"{config.path}.architectures", f"{shown(names)} lists no names", "list the name of a class")


def _kinds(config: Config) -> Iterator[str]:
    """Lists with a kind for each layer: known names, and as many as there are layers."""
    layers = config.keys.get("num_hidden_layers")
    for key, known in KINDS.items():
        kinds = config.keys.get(key)
        if not isinstance(kinds, list):
            continue
        for index, kind in enumerate(kinds[:10_000]):
            if kind not in known:
                field = f"{config.path}.{key}"
                usual = known[:2]
                raise RequestError(field, f"{shown(kind)} (layer {index}) is no kind of layer", f"give {listed(usual)}")
        if isinstance(layers, int) and len(kinds) > layers:
            yield f"{config.path}.{key} names {len(kinds)} layers, num_hidden_layers {layers}: the first {layers} count."


def _activations(config: Config) -> Iterator[str]:
    for key in ACTIVATION_KEYS:
        name = config.keys.get(key)
        if isinstance(name, str) and name and name not in ACTIVATIONS:
            yield f"{config.path}.{key}: {shown(name)} is not known; it is taken for a function that keeps its input, like silu."


def active(config: Config, key: str, chosen: Any, count: int) -> int:
    """How many experts a token visits. Raises RequestError where there are fewer."""
    if chosen > count:
        raise RequestError(f"{config.path}.{key}", f"{chosen} of {count} experts", f"give at most {count}")
    return int(chosen)
