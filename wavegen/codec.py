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
from wavegen.framing import (
    DecodeState,
    EncodeState,
    Shape,
    checked_channels,
    checked_frames,
    checked_signal,
    is_turned,
    left_and_right,
    mean_and_difference,
)
from wavegen.stft import STFT

__all__ = ["STFT", "Codec", "DecodeState", "EncodeState", "MuLaw", "PCM16", "codec_of", "snr_db"]


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


class Levels:
    """Samples as one of several levels: what the codecs of a WaveNet have in common.

    Attributes:
        levels: number of levels; `levels // 2` is exactly zero.
        channels: channels of the signal; also the features of a frame.
        values: float32 (levels,), the sample value each level decodes to, strictly increasing.
        edges: float32 (levels - 1,), the thresholds between neighbours, strictly increasing; a
            sample's level is the number of edges not above it. Read-only, as `values` is.
        classes: int32 (levels,), which of some hundreds of classes each level counts to.
        turned: whether what is coded is not left and right but their mean and left less right: of
            most music the second is soft, and stays so while it is drawn. It is cut beyond +-1.
        width_bits: float32 (levels,), logarithm of how many 16-bit levels lie in each: what it
            takes to say which of them it was; below 0 where levels are finer than 16 bits.
        fine: levels in a step of 16 bits, where a mixture draws them.
        frame_samples: samples a frame stands for, 1.
        delay_samples: samples by which decoding in steps lags, 0.
    """

    frame_samples = 1
    delay_samples = 0
    fine = 1

    def __init__(
        self, channels: int, stereo: str, values: np.ndarray, edges: np.ndarray, classes: Any
    ) -> None:
        """Keeps the tables, read-only."""
        self.levels = len(values)
        self.channels = self.features = checked_channels(channels)
        self.turned = is_turned(channels, stereo)
        self.values, self.edges = values.astype(np.float32), edges.astype(np.float32)
        self.classes = np.asarray(classes, np.int32)
        width = np.diff(np.concatenate([[-1.0], self.edges.astype(np.float64), [1.0]]))
        self.width_bits = np.log2(width * 32768.0).astype(np.float32)
        for table in (self.values, self.edges, self.classes, self.width_bits):
            table.flags.writeable = False

    def nearest(self, signal: np.ndarray) -> np.ndarray:
        """Returns the int32 level of every sample."""
        return np.searchsorted(self.edges, signal, side="right").astype(np.int32)

    def encode_initial(self, batch_shape: Shape = (), frame: Any = 0, past: Any = None) -> tuple:
        """Returns the state of an encoder, (): a level needs no past."""
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
        if self.turned:
            signal = mean_and_difference(signal)
        return np.swapaxes(self.nearest(signal), -1, -2), state  # (..., samples, channels)

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
            raise UsageError(f"levels of type {frames.dtype} must be integers")
        if frames.size and not (frames.min() >= 0 and frames.max() < self.levels):
            outside = frames.min() if frames.min() < 0 else frames.max()
            raise UsageError(f"level {outside} must lie in 0 .. {self.levels - 1}")
        return self.sound(np.swapaxes(frames, -1, -2)), state  # (..., channels, samples)

    def sound(self, levels: np.ndarray) -> np.ndarray:
        """Returns the samples `(..., channels, samples)` that levels of that shape stand for."""
        found = self.values[levels]
        if self.turned:
            found = np.clip(left_and_right(found), -1.0, 1.0).astype("float32")
        return found

    def encode(self, signal: np.ndarray) -> np.ndarray:
        """Returns the levels of a whole signal: `encode_step` from the initial state."""
        return self.encode_step(signal, self.encode_initial())[0]

    def decode(self, frames: np.ndarray) -> np.ndarray:
        """Returns the whole signal of levels: `decode_step` from the initial state."""
        return self.decode_step(frames, self.decode_initial())[0]


class MuLaw(Levels):
    """Levels that are fine near silence and coarse near full scale.

    The outermost levels are exactly -1 and +1. An even number of levels has one more below zero
    than above, as two's complement has, and its steps are a touch wider above zero.
    """

    def __init__(self, levels: int = 256, channels: int = 1, stereo: str = "left_right") -> None:
        """Builds the tables.

        Args:
            levels: 4 .. 4096; 256 is 8 bits and audibly noisy, 1024 is close to clean.
            channels: channels of the signal, at least 1.
            stereo: how two channels are turned, "mid_side" or "left_right".

        Raises:
            UsageError: a value out of range.
        """
        if not 4 <= levels <= 4096:
            raise UsageError(f"levels={levels} must lie in 4 .. 4096")
        below, above = levels // 2, levels - 1 - levels // 2

        def expand(index: np.ndarray) -> np.ndarray:
            # Half-integers are the middles of the companded intervals, hence the thresholds.
            companded = np.where(index < 0, index / below, index / above)
            magnitude = np.expm1(np.abs(companded) * math.log(levels)) / (levels - 1)  # mu + 1
            return np.sign(companded) * magnitude

        number = np.arange(levels)
        values, edges = expand(number - below), expand(number[:-1] - below + 0.5)
        super().__init__(channels, stereo, values, edges, number)


class PCM16(Levels):
    """The 65536 levels of a 16-bit WAV, evenly spaced: -1 is the lowest, +1 just out of reach.

    Its classes are those of `MuLaw(256)`. A 16-bit WAV comes back bit for bit, turned or not.
    """

    def __init__(self, channels: int = 1, stereo: str = "left_right") -> None:
        """Builds the tables."""
        values = np.arange(-32768, 32768) / 32768.0
        edges = np.arange(-32767.5, 32767) / 32768.0
        super().__init__(channels, stereo, values, edges, MuLaw(256).nearest(values))
        self.width_bits = np.zeros(len(values), np.float32)

    def nearest(self, signal: np.ndarray) -> np.ndarray:
        """Returns the int32 level of every sample."""
        scaled = np.floor(np.asarray(signal, np.float64) * 32768.0 + 32768.5)
        return np.clip(scaled, 0, 65535).astype(np.int32)

    def sound(self, levels: np.ndarray) -> np.ndarray:
        """Returns the samples that levels stand for."""
        found = super().sound(levels)
        if self.turned:  # a mean was rounded up where the difference is odd
            odd = np.float32(2.0**-16) * (levels[..., 1:, :] & 1)
            found = np.maximum(found - odd, np.float32(-1.0))
        return found


class PCM24:
    """Levels 256 times as fine as those of `PCM16`, for what a WaveNet hears of its own sound.

    It learns on 16 bits, and is heard in 16; but what is rounded while it draws comes again by its
    predictor, and rings where that rings.
    """

    fine = 256  # levels in a step of 16 bits

    def __init__(self, channels: int = 1, stereo: str = "left_right") -> None:
        """Takes channels, and how two are turned."""
        self.turned, self.half = is_turned(channels, stereo), 32768 * self.fine

    def encode(self, signal: np.ndarray) -> np.ndarray:
        """Returns int32 `(..., samples, channels)` of a signal `(..., channels, samples)`."""
        signal = np.asarray(signal, np.float64)
        if self.turned:
            signal = mean_and_difference(signal)
        scaled = np.floor(np.swapaxes(signal, -1, -2) * self.half + (self.half + 0.5))
        return np.clip(scaled, 0, 2 * self.half - 1).astype(np.int32)

    def decode(self, frames: np.ndarray) -> np.ndarray:
        """Returns float32 `(..., channels, samples)` in [-1, 1] of frames."""
        found = np.swapaxes((frames - self.half) / self.half, -1, -2)
        if self.turned:
            found = left_and_right(found)
        return np.clip(found, -1.0, 1.0).astype("float32")


Codec = MuLaw | PCM16 | STFT


def codec_of(config: Config) -> Any:
    """Returns the codec between audio and the frames of such a model."""
    if isinstance(config, WaveNetConfig):
        if config.head == "logistic":
            return PCM16(config.channels, config.stereo)
        return MuLaw(config.levels, config.channels, config.stereo)
    labels = int(config.head == "codes")
    return STFT(config.n_fft, config.hop_length, config.channels, config.stereo, labels)
