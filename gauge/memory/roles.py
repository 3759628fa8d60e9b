"""What weights are called for readers: the role of a tensor → the component it belongs to and its label."""

from __future__ import annotations

ROLES: dict[str, tuple[str, str]] = {
    "token_embedding": ("embedding", "token embedding"),
    "position_embedding": ("embedding", "position embedding"),
    "type_embedding": ("embedding", "token type embedding"),
    "patch_embedding": ("embedding", "patch embedding"),
    "head": ("head", "output head"),
    "query": ("attention", "query projection"),
    "key": ("attention", "key projection"),
    "value": ("attention", "value projection"),
    "qkv": ("attention", "query, key and value projection"),
    "attention_output": ("attention", "attention output projection"),
    "relative_bias": ("attention", "relative position bias"),
    "sinks": ("attention", "attention sinks"),
    "mlp_gate": ("mlp", "MLP gate"),
    "mlp_up": ("mlp", "MLP up"),
    "mlp_down": ("mlp", "MLP down"),
    "norm": ("norm", "norm weights"),
    "norm_bias": ("norm", "norm biases"),
    "router": ("experts", "router"),
}


def component_of(role: str) -> str:
    """The component's finer split, e.g. `attention`; other roles are their own first word."""
    known = ROLES.get(role) or ROLES.get(role.removesuffix("_bias").removesuffix("_scale"))
    return known[0] if known else role.partition("_")[0] or "other"


def label_of(role: str, name: str) -> str:
    """How a reader is told what the tensor is."""
    if role in ROLES:
        return ROLES[role][1]
    for suffix, word in (("_bias", "bias"), ("_scale", "scales")):
        base = ROLES.get(role.removesuffix(suffix))
        if role.endswith(suffix) and base:
            return f"{base[1]}, {word}"
    return role.replace("_", " ") or name
