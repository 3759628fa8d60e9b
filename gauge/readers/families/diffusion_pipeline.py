"""Diffusion pipelines: components with their published parameter counts; weights are exact, the pass is not followed.

The config is a form of our own: a map of components with `_class_name`, `parameters` and `config`.
"""

from __future__ import annotations

from gauge.errors import RequestError
from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.vision_language import standing_by

NOTE = (
    "A diffusion pipeline: the weights of its components are counted; activations of the denoising steps and of the "
    "picture's decoding are not followed."
)
MOST = 10**12
LABELS = {"unet": "denoiser", "transformer": "denoiser", "vae": "picture decoder"}


def read(config: Config) -> Model:
    """A pipeline from its components."""
    components = config.inner("components")
    if not components.keys:
        raise RequestError(f"{config.path}.components", "the pipeline lists no components", "list them")
    parts: list[Part] = []
    for name in components.keys:
        count = components.inner(name).integer("parameters", most=MOST)
        parts.append(standing_by(LABELS.get(name, name.replace("_", " ")), (name, (count,))))
    return Model(
        id="",
        family=config.text("model_type"),
        parts=tuple(parts),
        head=None,
        max_length=1,
        hidden=1,
        vocab=0,
        notes=(NOTE,),
    )
