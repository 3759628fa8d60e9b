"""MiMo 7B: Qwen 2 with a head size of its own.

Source: the config of XiaomiMiMo/MiMo-7B-Base, whose model class derives from Qwen 2.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import qwen2


def read(config: Config) -> Model:
    """A MiMo decoder from its config."""
    return qwen2.windowed(config, qkv_bias=config.flag("attention_bias", default=True), out_bias=False)
