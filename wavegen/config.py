"""What a model and a training run are made of: plain frozen dataclasses, read without Keras.

The command line turns every field into a flag, the model file carries them whole, and `build`
checks each value against hard bounds before anything is allocated.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any

from wavegen.errors import UsageError


def bounded(default: Any, low: float, high: float, help: str, choices: tuple = ()) -> Any:
    """Returns a dataclass field with a default, inclusive bounds and a help text with its unit."""
    metadata = {"low": low, "high": high, "help": help, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class WaveNetConfig:
    """A dilated causal CNN over mu-law samples (van den Oord et al. 2016, arXiv:1609.03499)."""

    sample_rate: int = bounded(16000, 1000, 192000, "samples a second, Hz")
    channels: int = bounded(1, 1, 2, "1 mono, 2 stereo (right is drawn given left)")
    levels: int = bounded(256, 4, 4096, "mu-law levels; 256 is 8 bits, 1024 is cleaner")
    cycles: int = bounded(3, 1, 16, "how often the dilations 1, 2, 4, ... start again")
    layers_per_cycle: int = bounded(10, 1, 14, "dilations of one cycle: 1 .. 2^(n-1) samples")
    kernel_size: int = bounded(2, 2, 8, "taps of each dilated convolution")
    residual_channels: int = bounded(32, 1, 4096, "width of the residual path")
    gate_channels: int = bounded(32, 1, 4096, "width of tanh and of sigmoid in a block")
    skip_channels: int = bounded(128, 1, 8192, "width of the skip sum")
    post_channels: int = bounded(256, 1, 8192, "width between the two 1x1 output layers")
    predictor_order: int = bounded(
        32, 0, 256, "taps of the linear predictor the logits are added to; 0 is a plain WaveNet"
    )

    @property
    def dilations(self) -> tuple[int, ...]:
        """Distance between taps in samples, layer after layer."""
        return tuple(2**layer for _ in range(self.cycles) for layer in range(self.layers_per_cycle))

    @property
    def receptive_field(self) -> int:
        """Samples of the past that one prediction can see."""
        return (self.kernel_size - 1) * sum(self.dilations) + 1

    @property
    def frame_samples(self) -> int:
        """Samples in one frame: a WaveNet draws one at a time."""
        return 1


@dataclass(frozen=True)
class SpectralLSTMConfig:
    """A stateful LSTM over real/imaginary STFT frames."""

    sample_rate: int = bounded(22050, 1000, 192000, "samples a second, Hz")
    channels: int = bounded(2, 1, 2, "1 mono, 2 stereo")
    n_fft: int = bounded(1024, 16, 65536, "samples in a frame; 1024 are 46 ms at 22.05 kHz")
    hop_length: int = bounded(512, 1, 65536, "samples from frame to frame")
    stereo: str = bounded("mid_side", 0, 0, "how two channels are turned", ("mid_side", "left_right"))
    layers: int = bounded(2, 1, 16, "LSTM layers")
    units: int = bounded(256, 1, 8192, "width of each LSTM layer")
    head: str = bounded(
        "student_t",
        0,
        0,
        "student_t draws from a heavy-tailed density; mse repeats its mean (the baseline that hums)",
        ("student_t", "mse"),
    )

    @property
    def receptive_field(self) -> int:
        """Samples of seed worth priming on: four seconds; the memory itself has no limit."""
        return 4 * self.sample_rate

    @property
    def frame_samples(self) -> int:
        """Samples in one frame of the model's clock: one hop."""
        return self.hop_length


Config = WaveNetConfig | SpectralLSTMConfig
CONFIGS: dict[str, type] = {"wavenet": WaveNetConfig, "spectral_lstm": SpectralLSTMConfig}
ALIASES = {"lstm": "spectral_lstm"}


def nearest(name: str, names: Any) -> str:
    """Returns " (did you mean X?)" for the closest of names, or an empty string."""
    close = difflib.get_close_matches(name, list(names), 1, 0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def family_name(name: str) -> str:
    """Returns the full name of a family given its name or alias.

    Raises:
        UsageError: no such family.
    """
    name = ALIASES.get(name, name).replace("-", "_")
    if name not in CONFIGS:
        known = ", ".join([*CONFIGS, *ALIASES])
        raise UsageError(f"{name!r} is not a model family{nearest(name, CONFIGS)}; there are {known}")
    return name


def build(kind: type, values: dict[str, Any]) -> Any:
    """Returns `kind(**values)` after checking names, types, choices and bounds of every field.

    Args:
        kind: a dataclass whose fields were made by `bounded`.
        values: field name to value; fields left out keep their defaults.

    Raises:
        UsageError: an unknown name (the nearest known one is named), a wrong type, or a value
            outside its bounds.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in fields:
            raise UsageError(f"{name!r} is not a setting of {kind.__name__}{nearest(name, fields)}")
        check(fields[name], value)
    config = kind(**values)
    if isinstance(config, SpectralLSTMConfig):
        if config.n_fft % 2:
            raise UsageError(f"n_fft={config.n_fft} must be even")
        if config.hop_length > config.n_fft:
            raise UsageError(f"hop_length={config.hop_length} must not exceed n_fft={config.n_fft}")
    return config


def check(field: dataclasses.Field, value: Any) -> None:
    """Raises UsageError unless the value has the field's type and lies within its bounds."""
    meta, wanted = field.metadata, type(field.default)
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise UsageError(f"{field.name}={value!r} must be of type {wanted.__name__}")
    if meta["choices"] and value not in meta["choices"]:
        allowed = ", ".join(map(str, meta["choices"]))
        raise UsageError(f"{field.name}={value!r} must be one of {allowed}")
    if wanted in (int, float) and not meta["low"] <= value <= meta["high"]:
        raise UsageError(f"{field.name}={value} must lie in {meta['low']:g} .. {meta['high']:g}")
