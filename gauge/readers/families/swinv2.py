"""Swin V2: Swin with cosine attention, biases out of a small MLP, and norms behind the branches.

Source: transformers 5.23 models/swinv2/modeling_swinv2.py; arXiv 2111.09883.
"""

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import swin


def read(config: Config) -> Model:
    """A Swin V2 transformer from its config."""
    return swin.net(config, second=True)
