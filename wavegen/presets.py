"""The presets: sizes of a model, and how to train it, that go together."""

from __future__ import annotations

import dataclasses
from typing import Any

from wavegen.config import CONFIGS, build
from wavegen.duet_config import PARTS, build_duet
from wavegen.errors import UsageError
from wavegen.fields import nearest
from wavegen.train_settings import TrainSettings, together

RISE = 2.0  # without it codes say only half of what begins
# Seconds. With the 33 samples of older files chance feeds on itself while drawing: noise wanders.
REMEMBERED = 0.02

# family -> preset -> (fields of its Config, fields of TrainSettings). `tiny` is for tests and the
# first minute, `small` for a laptop CPU, `base` for a GPU; `fullband` is the whole audible range,
# drawn faster than real time on one core, in stereo too.
PRESETS: dict[str, dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "wavenet": {
        "tiny": (
            dict(cycles=1, layers_per_cycle=8, residual_channels=16, gate_channels=16)
            | dict(skip_channels=32, post_channels=32, predictor_order=256)
            | dict(scale_memory=REMEMBERED),
            dict(batch=4, window=2048, learning_rate=4e-3, warmup_steps=20, ema=0.99, gain_db=0.0),
        ),
        "small": (dict(scale_memory=REMEMBERED), dict(gain_db=0.0)),
        "fullband": (
            dict(sample_rate=44100, layers_per_cycle=11, post_channels=128, predictor_order=1024)
            | dict(scale_memory=REMEMBERED),
            dict(batch=4, window=8192, gain_db=0.0),
        ),
        "base": (
            dict(sample_rate=22050, cycles=3, residual_channels=64, gate_channels=64)
            | dict(skip_channels=256, scale_memory=REMEMBERED),
            dict(batch=16, window=16384, learning_rate=1e-3, warmup_steps=500, gain_db=0.0),
        ),
    },
    "spectral_lstm": {
        "tiny": (
            dict(channels=1, n_fft=512, hop_length=256, layers=1, units=64)
            | dict(codes=64, bands=48, rise=RISE, renderer_units=64),
            dict(batch=16, window=32, learning_rate=4e-3, warmup_steps=20, ema=0.99, gain_db=0.0),
        ),
        "small": (
            dict(rise=RISE),
            dict(batch=64, window=32, ema=0.995, warmup_steps=50, gain_db=0.0),
        ),
        "fullband": (
            dict(sample_rate=44100, n_fft=2048, hop_length=1024, rise=RISE),
            dict(batch=64, window=32, ema=0.995, warmup_steps=50, gain_db=0.0),
        ),
        "base": (
            dict(sample_rate=44100, n_fft=2048, hop_length=1024, layers=3, units=1024)
            | dict(codes=1024, rise=RISE, renderer_units=1024),
            dict(batch=128, window=64, learning_rate=5e-4, warmup_steps=500, gain_db=0.0),
        ),
    },
}

# Seconds of sound a second on an Intel Xeon: in training on two cores (`benchmarks/training.py
# --presets`), and drawn on one, in one stream of one candidate (`sampling.py`, `frames.py`).
MEASURED: dict[str, dict[str, tuple[float, float]]] = {
    "wavenet": {
        "tiny": (21.3, 40),
        "small": (4.8, 10.7),
        "fullband": (1.4, 3.7),
        "base": (1.4, 2.4),
    },
    "spectral_lstm": {
        "tiny": (425, 289),
        "small": (170, 123),
        "fullband": (124, 96),
        "base": (21.6, 15),
    },
}

# What makes an LSTM and a WaveNet of the same preset fit for a duet.
DUETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tiny": (dict(sample_rate=16000), dict(condition_bands=32)),
    "small": ({}, dict(sample_rate=22050, channels=2, condition_bands=64)),
    "fullband": (
        dict(timbre_seconds=8.0),
        dict(channels=2, condition_bands=64, condition_hop=256),
    ),
    "base": (
        dict(sample_rate=22050, channels=1, n_fft=1024, hop_length=512),
        dict(condition_bands=64),
    ),
}


def begun_with(saved: Any, family: str) -> dict[str, Any]:
    """Returns the fields of a run's model and training, none if it is not of that family.

    What there was not yet when the run began, it has as all had it then, by default.
    """
    if saved is None or saved[1]["family"] != family:
        return {}
    kinds = {"config": CONFIGS[family], "settings": TrainSettings}
    parts = [dataclasses.asdict(build(k, saved[1][name])) for name, k in kinds.items()]
    return parts[0] | parts[1]


def later(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns those of a run's fields that presets got when there were runs of them already.

    Such a run goes on as it began, whatever its preset has become.
    """
    return {name: fields[name] for name in ("rise", "scale_memory") if name in fields}


def likest(composer: dict[str, Any]) -> str:
    """Returns the preset whose duets have a composer most like the one with such fields."""
    if not composer:
        return "small"
    own = {name: dataclasses.asdict(of_duet(name, {}, {})["composer"][0]) for name in DUETS}
    return max(own, key=lambda name: sum(composer.get(k) == v for k, v in own[name].items()))


def of_duet(
    preset: str, overrides: dict[str, Any], begun: dict[str, dict[str, Any]]
) -> dict[str, tuple[Any, TrainSettings]]:
    """Returns (Config, TrainSettings) of both parts of a duet, `{"composer": ..., ...}`.

    Args:
        preset: a key of `DUETS`.
        overrides: fields by name; a field that both parts have is set in both.
        begun: of parts that have begun, the fields that they go on with.

    Raises:
        UsageError: an unknown preset or field, a value out of bounds, or parts that do not fit.
    """
    known = {
        f.name for kind in (*CONFIGS.values(), TrainSettings) for f in dataclasses.fields(kind)
    }
    for name in overrides:
        if name not in known:
            raise UsageError(f"{name!r} is not a setting{nearest(name, known)}")
    if preset not in DUETS:
        raise UsageError(
            f"{preset!r} is not a preset{nearest(preset, DUETS)}; there are {', '.join(DUETS)}"
        )
    found = {}
    for (part, family), own in zip(PARTS.items(), DUETS[preset], strict=True):
        fields = {
            f.name for kind in (CONFIGS[family], TrainSettings) for f in dataclasses.fields(kind)
        }
        asked = {name: value for name, value in overrides.items() if name in fields}
        found[part] = from_preset(family, preset, own | begun.get(part, {}) | asked)
    build_duet({part: dataclasses.asdict(pair[0]) for part, pair in found.items()})
    return found


def from_preset(family: str, preset: str, overrides: dict[str, Any]) -> tuple[Any, TrainSettings]:
    """Returns a checked (Config, TrainSettings) of a preset with some fields set otherwise.

    Args:
        family: a key of `CONFIGS`.
        preset: a key of the family's `PRESETS`.
        overrides: fields of either dataclass by name.

    Raises:
        UsageError: an unknown preset or field, or a value out of bounds.
    """
    if preset not in PRESETS[family]:
        presets = ", ".join(PRESETS[family])
        raise UsageError(
            f"{preset!r} is not a preset{nearest(preset, PRESETS[family])}; there are {presets}"
        )
    model, training = PRESETS[family][preset]
    own = {field.name for field in dataclasses.fields(CONFIGS[family])}
    other = {field.name for field in dataclasses.fields(TrainSettings)}
    for name in overrides:
        if name not in own | other:
            hint = elsewhere(name) or nearest(name, own | other)
            raise UsageError(f"{name!r} is not a setting of {family} or of training{hint}")
    model = model | {name: value for name, value in overrides.items() if name in own}
    training = training | {name: value for name, value in overrides.items() if name in other}
    return together(build(CONFIGS[family], model), build(TrainSettings, training))


def elsewhere(name: str) -> str:
    """Returns a hint at the family that has a setting, "" where none has."""
    for family, kind in CONFIGS.items():
        if name in {field.name for field in dataclasses.fields(kind)}:
            return f"; --arch {family} has it"
    return ""
