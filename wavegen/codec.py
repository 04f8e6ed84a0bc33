"""Audio to what a model sees and back: mu-law levels for a WaveNet, STFT frames for an LSTM.

A codec is the only place where (channels, samples) becomes (time, features). Encoding and decoding
are steps from an initial state: whole recordings, blocks and live playing give the same numbers.

`MuLaw` is the companding of ITU-T G.711 in its continuous form, as in van den Oord et al. 2016
(arXiv:1609.03499, section 2.2). It adds noise that follows the loudness; digital silence stays
silent. Signal to noise of a 997 Hz sine at 44.1 kHz, by its peak level:

    levels    0 dB (full scale)    -40 dB
       256              38.4 dB   34.9 dB
      1024              48.4 dB   47.0 dB

`STFT` is a tight frame of windows whose overlapping squares add up to one (Princen and Bradley
1986). It adds nothing: decoding gives the signal back from the first sample to the last within
1.2e-7 of full scale, the rounding of float32 (140 dB or more below a full-scale signal).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wavegen.config import Config, WaveNetConfig
from wavegen.errors import UsageError
from wavegen.framing import Shape, checked_channels, checked_frames, checked_signal
from wavegen.stft import STFT, DecodeState, EncodeState

__all__ = ["STFT", "Codec", "DecodeState", "EncodeState", "MuLaw", "codec_of", "snr_db"]


def snr_db(reference: np.ndarray, decoded: np.ndarray) -> float:
    """Returns how far the error of a decoded signal lies below the signal, in dB.

    Args:
        reference: the signal as it was, any shape.
        decoded: the signal as it came back, same shape.

    Returns:
        Ratio of the energies in dB; inf for a perfect copy, -inf where the reference is silent.
    """
    reference = np.asarray(reference, np.float64)
    error = float(np.sum((np.asarray(decoded, np.float64) - reference) ** 2))
    energy = float(np.sum(reference**2))
    if error == 0:
        return math.inf
    return 10 * math.log10(energy / error) if energy else -math.inf


class MuLaw:
    """Samples as one of `levels` classes, fine near silence and coarse near full scale.

    Level `levels // 2` is exactly zero and the outermost levels are exactly -1 and +1. An even
    number of levels therefore has one more below zero than above, as two's complement has, and its
    steps above zero are wider by 2 / levels (0.8 % at 256).

    Attributes:
        levels: number of classes.
        channels: channels of the signal; also the features of a frame.
        values: float32 (levels,), the sample value each level decodes to, strictly increasing.
        edges: float32 (levels - 1,), the thresholds between neighbours, strictly increasing; a
            sample's level is the number of edges not above it. Read-only, as `values` is.
        frame_samples: samples a frame stands for, 1.
        delay_samples: samples by which decoding in steps lags, 0.
    """

    frame_samples = 1
    delay_samples = 0

    def __init__(self, levels: int = 256, channels: int = 1) -> None:
        """Builds the tables.

        Args:
            levels: 4 .. 4096; 256 is 8 bits and audibly noisy, 1024 is close to clean.
            channels: channels of the signal, at least 1.

        Raises:
            UsageError: a value out of range.
        """
        if not 4 <= levels <= 4096:
            raise UsageError(f"levels={levels} must lie in 4 .. 4096")
        self.levels = levels
        self.channels = self.features = checked_channels(channels)
        below, above = levels // 2, levels - 1 - levels // 2

        def expand(index: np.ndarray) -> np.ndarray:
            # Half-integers are the middles of the companded intervals, hence the thresholds.
            companded = np.where(index < 0, index / below, index / above)
            magnitude = np.expm1(np.abs(companded) * math.log(levels)) / (levels - 1)  # mu + 1
            table = (np.sign(companded) * magnitude).astype(np.float32)
            table.flags.writeable = False
            return table

        self.values = expand(np.arange(levels) - below)
        self.edges = expand(np.arange(levels - 1) - below + 0.5)

    def encode_initial(self, batch_shape: Shape = ()) -> tuple:
        """Returns the state of an encoder that has heard nothing: (), a level needs no past."""
        return ()

    def decode_initial(self, batch_shape: Shape = ()) -> tuple:
        """Returns the state of a decoder that has put out nothing: ()."""
        return ()

    def encode_step(self, signal: np.ndarray, state: tuple) -> tuple[np.ndarray, tuple]:
        """Returns the levels of the next samples, and the state.

        Args:
            signal: (..., channels, samples), float in [-1, 1]; beyond, the outermost level.
            state: ().

        Returns:
            int32 (..., samples, channels) in 0 .. levels - 1, and ().

        Raises:
            UsageError: another number of channels.
        """
        signal = checked_signal(signal, self.channels)
        levels = np.searchsorted(self.edges, signal, side="right").astype(np.int32)
        return np.swapaxes(levels, -1, -2), state  # (..., samples, channels)

    def decode_step(self, frames: np.ndarray, state: tuple) -> tuple[np.ndarray, tuple]:
        """Returns the samples the next levels stand for, and the state.

        Args:
            frames: (..., samples, channels), integers in 0 .. levels - 1.
            state: ().

        Returns:
            float32 (..., channels, samples) in [-1, 1], and ().

        Raises:
            UsageError: another number of channels, no integers, or a level out of range.
        """
        frames = checked_frames(frames, self.features)
        if not np.issubdtype(frames.dtype, np.integer):
            raise UsageError(f"mu-law levels of type {frames.dtype} must be integers")
        if frames.size and not (frames.min() >= 0 and frames.max() < self.levels):
            outside = frames.min() if frames.min() < 0 else frames.max()
            raise UsageError(f"mu-law level {outside} must lie in 0 .. {self.levels - 1}")
        return self.values[np.swapaxes(frames, -1, -2)], state  # (..., channels, samples)

    def encode(self, signal: np.ndarray) -> np.ndarray:
        """Returns the levels of a whole signal: `encode_step` from the initial state."""
        return self.encode_step(signal, self.encode_initial())[0]

    def decode(self, frames: np.ndarray) -> np.ndarray:
        """Returns the whole signal of levels: `decode_step` from the initial state."""
        return self.decode_step(frames, self.decode_initial())[0]


Codec = MuLaw | STFT


def codec_of(config: Config) -> Any:
    """Returns the codec, `MuLaw` or `STFT`, between audio and the frames of such a model."""
    if isinstance(config, WaveNetConfig):
        return MuLaw(config.levels, config.channels)
    return STFT(config.n_fft, config.hop_length, config.channels, config.stereo)
