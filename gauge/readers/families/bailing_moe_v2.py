"""Ling 2.0 and Ling-1T.

Source: the modelling code of inclusionAI/Ling-mini-2.0.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import bailing_moe


def read(config: Config) -> Model:
    """A Ling 2.0 decoder from its config."""
    return bailing_moe.ling(config, scores="sigmoid", correction=True)
