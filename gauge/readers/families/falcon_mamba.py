"""Falcon Mamba: Mamba 1 with norms without weight on step, B and C.

Source: transformers 5.23 models/falcon_mamba/modeling_falcon_mamba.py.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import mamba


def read(config: Config) -> Model:
    """A Falcon Mamba decoder from its config."""
    return mamba.read(config)
