"""EXAONE 3: Llama under other key names.

Source: the modelling code of LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct.
"""

from __future__ import annotations

from gauge.model import Model
from gauge.readers.config import Config
from gauge.readers.families import llama


def read(config: Config) -> Model:
    """An EXAONE 3 decoder from its config."""
    return llama.read(renamed(config, num_layers="num_hidden_layers", activation_function="hidden_act"))


def renamed(config: Config, **names: str) -> Config:
    """The config with keys under the names that other families use; keys that have those names already win."""
    found = {new: config.keys[old] for old, new in names.items() if old in config}
    return Config(found | dict(config.keys), config.path)
