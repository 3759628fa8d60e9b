"""DeiT: a vision transformer with a second learned token, for distillation.

Source: transformers 5.23 models/deit/modeling_deit.py; arXiv 2012.12877.
"""

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import vit


def read(config: Config) -> Model:
    """A DeiT from its config."""
    return vit.net(config, special=2)
