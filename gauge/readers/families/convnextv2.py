"""ConvNeXt V2: ConvNeXt with a response norm inside each MLP instead of a learned scale behind it.

Source: transformers 5.23 models/convnextv2/modeling_convnextv2.py; arXiv 2301.00808.
"""

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import convnext


def read(config: Config) -> Model:
    """A ConvNeXt V2 from its config."""
    return convnext.net(config, scaled=False, responds=True)
