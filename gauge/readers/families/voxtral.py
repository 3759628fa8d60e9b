"""Voxtral and Qwen2-Audio: Whisper's encoder over sound, a projector, a language model. Qwen2.5-Omni's thinker: sound and
pictures in front of a Qwen2.

Source: transformers 5.23 models/voxtral, models/qwen2_audio, models/qwen2_5_omni.
"""

from __future__ import annotations

from collections.abc import Mapping

from gauge.model import Model, Part
from gauge.readers.config import Config
from gauge.readers.families import whisper
from gauge.readers.vision_language import joined, standing_by, text_model, vision_part

NOTE = "The sound tower's weights count; its pass over a recording is left out. sequence_length includes the recording's tokens."
SPEECH = "The talker and the decoder that make speech are not counted: this is the part that reads and writes text."
Shapes = tuple[tuple[str, tuple[int, ...]], ...]


def read(config: Config) -> Model:
    """A model that hears, from its config."""
    kind = config.text("model_type")
    if kind == "qwen2_5_omni":
        model = _thinker(config.inner("thinker_config"))
        return model.edited(family=kind, notes=(*model.notes, SPEECH))
    if kind == "qwen2_5_omni_thinker":
        return _thinker(config)
    untied = Config({**config.keys, "tie_word_embeddings": False}, config.path)  # these classes tie nothing
    text = text_model(untied, "qwen2" if kind == "qwen2_audio" else "llama")
    audio = config.inner("audio_config")
    sound = whisper.encoder(_sized(audio))
    return _with_sound(config, text, sound, _projector(kind, audio, text.hidden))


def _projector(kind: str, audio: Config, width: int) -> Shapes:
    if kind == "qwen2_audio":
        return (("projector.weight", (width, audio.integer("d_model", default=1280))), ("projector.bias", (width,)))
    wide = audio.integer("intermediate_size", default=5120)
    return (("projector.linear_1.weight", (width, wide)), ("projector.linear_2.weight", (width, width)))


def _thinker(config: Config) -> Model:
    """Computed positions, a table of two marks, one matrix to the language model's width."""
    text, audio = text_model(config, "qwen2"), _sized(config.inner("audio_config"))
    hidden, out = audio.integer("d_model"), audio.integer("output_dim", default=3584)
    tail: Shapes = (("audio_bos_eos_token", (2, out)), ("proj.weight", (out, hidden)), ("proj.bias", (out,)))
    heard = _with_sound(config, text, whisper.encoder(audio), tail, computed=True)
    if not isinstance(config.keys.get("vision_config"), Mapping):
        return heard
    return joined(config, heard, vision_part(config, "qwen2_5_vl"))


def _sized(audio: Config) -> Config:
    """Whisper's keys with the sizes of its large encoder where they are absent."""
    usual = {"d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "num_mel_bins": 128}
    renamed = {
        "d_model": "hidden_size",
        "encoder_layers": "num_hidden_layers",
        "encoder_attention_heads": "num_attention_heads",
        "encoder_ffn_dim": "intermediate_size",
    }
    keys = dict(audio.keys)
    for name, value in usual.items():
        if keys.get(name) is None:
            keys[name] = keys.get(renamed.get(name, ""), value) or value
    return Config(keys, audio.path)


def _with_sound(config: Config, text: Model, sound: Part, tail: Shapes, computed: bool = False) -> Model:
    """The tower's weights beside the language model."""
    shapes = [
        (tensor.name, tuple(e.size for e in tensor.dims))
        for tensor, count in sound.weights()
        for _ in range(count)
        if not (computed and tensor.role == "position_embedding")
    ]
    part = standing_by("sound tower", *shapes, *tail)
    return text.edited(family=config.text("model_type"), parts=(part, *text.parts), notes=(*text.notes, NOTE))
