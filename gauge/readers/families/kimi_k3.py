"""Kimi K3: MoonViT without biases, merged patches, two matrices and a norm, a Kimi Linear language model.

Source: the config.json of moonshotai/Kimi-K3; transformers 5.23 models/kimi_k25 and models/kimi_linear.
"""

from __future__ import annotations

from gauge.layers.norm import Norm
from gauge.layers.projector import Activate, Merge, linear
from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.vision_language import joined, text_model, vision_part


def read(config: Config) -> Model:
    """A Kimi K3 model from its config."""
    text, vision = text_model(config, "kimi_linear"), config.inner("vision_config")
    width = vision.integer("mm_hidden_size", "vt_hidden_size", default=1024)
    kernel = vision.integers("merge_kernel_size", default=[2, 2])
    wide = width * kernel[0] * kernel[-1]
    steps = (
        Merge(kernel[0] * kernel[-1]),
        linear("mm_projector.in_proj", wide, wide, False),
        Activate(vision.text("projector_hidden_act", default="gelu")),
        linear("mm_projector.out_proj", wide, text.hidden, False),
        Norm("mm_projector.post_norm", text.hidden),
    )
    return joined(config, text, vision_part(config, "moonvit"), *steps)
