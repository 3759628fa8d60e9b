"""What weights are called for readers: the role of a tensor → the component it belongs to and its label."""

from __future__ import annotations

ROLES: dict[str, tuple[str, str]] = {
    "token_embedding": ("embedding", "token embedding"),
    "position_embedding": ("embedding", "position embedding"),
    "type_embedding": ("embedding", "token type embedding"),
    "patch_embedding": ("embedding", "patch embedding"),
    "class_token": ("embedding", "class token"),
    "mask_token": ("embedding", "mask token"),
    "convolution": ("convolution", "convolution kernels"),
    "projector": ("projector", "projector"),
    "statistics": ("statistics", "running means and variances"),
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
    "router_correction": ("experts", "router's choice bias"),
    "expert_gate": ("experts", "routed experts, gate"),
    "expert_up": ("experts", "routed experts, up"),
    "expert_down": ("experts", "routed experts, down"),
    "expert_scale": ("experts", "factor of each expert"),
    "expert_latent_down": ("experts", "projection into the experts' narrow stream"),
    "expert_latent_up": ("experts", "projection out of the experts' narrow stream"),
    "shared_expert_gate": ("experts", "shared expert, gate"),
    "shared_expert_up": ("experts", "shared expert, up"),
    "shared_expert_down": ("experts", "shared expert, down"),
    "shared_expert_router": ("experts", "shared expert's own gate"),
    "latent_query_down": ("attention", "query compression"),
    "latent_query_up": ("attention", "query expansion"),
    "latent_kv_down": ("attention", "key/value compression"),
    "latent_kv_up": ("attention", "key/value expansion"),
    "attention_gate": ("attention", "attention output gate"),
    "attention_output_down": ("attention", "attention output compression"),
    "position_key": ("attention", "position key projection"),
    "position_query": ("attention", "position query projection"),
    "indexer_query": ("attention", "indexer's queries"),
    "indexer_key": ("attention", "indexer's key"),
    "indexer_weights": ("attention", "indexer's head weights"),
    "indexer_position": ("attention", "indexer's position table"),
    "indexer_gate": ("attention", "indexer's pooling gate"),
    "compressor": ("attention", "key compressor"),
    "ssm_in": ("recurrent", "state space input projection"),
    "ssm_conv": ("recurrent", "short convolution"),
    "ssm_x": ("recurrent", "selection of step, B and C"),
    "ssm_dt": ("recurrent", "step projection"),
    "ssm_a": ("recurrent", "state decay"),
    "ssm_d": ("recurrent", "state skip"),
    "ssm_out": ("recurrent", "state space output projection"),
    "linear_query": ("recurrent", "linear attention query"),
    "linear_key": ("recurrent", "linear attention key"),
    "linear_value": ("recurrent", "linear attention value"),
    "linear_qkv": ("recurrent", "linear attention query, key and value"),
    "linear_qkvz": ("recurrent", "linear attention query, key, value and gate"),
    "linear_a": ("recurrent", "linear attention decay"),
    "linear_b": ("recurrent", "linear attention step"),
    "linear_ba": ("recurrent", "linear attention step and decay"),
    "linear_gate": ("recurrent", "linear attention gate"),
    "linear_gate_down": ("recurrent", "linear attention gate, compression"),
    "linear_gate_up": ("recurrent", "linear attention gate, expansion"),
    "linear_decay": ("recurrent", "linear attention decay"),
    "linear_decay_down": ("recurrent", "linear attention decay, compression"),
    "linear_decay_up": ("recurrent", "linear attention decay, expansion"),
    "linear_first": ("recurrent", "weight of the newest token"),
    "linear_mix": ("recurrent", "mix with the token before"),
    "linear_out": ("recurrent", "linear attention output projection"),
    "conv_in": ("recurrent", "short convolution input projection"),
    "conv_filter": ("recurrent", "short convolution filter"),
    "conv_out": ("recurrent", "short convolution output projection"),
    "mlp_activation": ("mlp", "numbers of the nonlinearity"),
    "per_layer_embedding": ("embedding", "per-layer token embedding"),
    "per_layer_projection": ("embedding", "projection to per-layer embeddings"),
    "per_layer_gate": ("embedding", "per-layer embedding gate"),
    "per_layer_up": ("embedding", "per-layer embedding projection"),
    "embedding_projection": ("embedding", "embedding projection"),
    "hyper_connection": ("residual", "mix of residual copies"),
    "altup": ("residual", "prediction of stream copies"),
    "altup_projection": ("residual", "maps between stream copies"),
    "laurel_down": ("residual", "low-rank path, down"),
    "laurel_up": ("residual", "low-rank path, up"),
    "head_transform": ("head", "dense layer before the head"),
    "pooler": ("head", "pooler"),
    "classifier": ("head", "classifier"),
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
