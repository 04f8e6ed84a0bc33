"""How loud a recording is, gathered page by page while it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

QUIET = 1e-4  # -80 dB of full scale: below it there is nothing to learn from
FULL_SCALE = (0.999, 1.001)  # a sample between these counts as clipped; floats may go beyond


@dataclass(frozen=True, slots=True)
class Levels:
    """What a meter shows after a whole signal.

    Attributes:
        samples: samples in each channel.
        lows: least sample of each channel.
        highs: greatest sample of each channel.
        means: the DC offset of each channel.
        rms: root of the mean square over all channels.
        clipped: share of the samples that stand at full scale, 0 .. 1.
        silent: share of the time in which no channel reaches -80 dB, 0 .. 1.
    """

    samples: int
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    means: tuple[float, ...]
    rms: float
    clipped: float
    silent: float

    @property
    def peak(self) -> float:
        """Greatest magnitude of any channel, 1 is full scale."""
        return max(map(abs, (*self.lows, *self.highs)))


class Meter:
    """Adds up the levels of a signal given in pieces."""

    def __init__(self, channels: int) -> None:
        """Starts at nothing.

        Args:
            channels: of the signal, >= 1.
        """
        self._samples = self._clipped = self._silent = 0
        self._lows, self._highs = np.full(channels, np.inf), np.full(channels, -np.inf)
        self._sums, self._energy = np.zeros(channels), 0.0

    def add(self, signal: np.ndarray) -> None:
        """Takes the next samples in, float32 `(channels, samples >= 1)`."""
        signal = np.ascontiguousarray(signal)  # numpy is slow along a strided axis
        samples = signal.shape[1]
        self._samples += samples
        self._lows = np.minimum(self._lows, signal.min(1))
        self._highs = np.maximum(self._highs, signal.max(1))
        magnitudes = np.abs(signal)
        loudest = magnitudes.max(0)
        self._silent += int(np.count_nonzero(loudest < QUIET))
        if not loudest.any():
            return
        self._sums += signal.sum(1, dtype=np.float64)
        self._energy += float(np.square(signal, dtype=np.float64).sum())
        low, high = FULL_SCALE
        self._clipped += int(np.count_nonzero((magnitudes >= low) & (magnitudes <= high)))

    def levels(self) -> Levels:
        """Returns the levels of everything so far; all zero when that is nothing."""
        count, channels = max(self._samples, 1), len(self._sums)
        lows, highs = (self._lows, self._highs) if self._samples else (np.zeros(channels),) * 2
        return Levels(
            samples=self._samples,
            lows=tuple(lows.tolist()),
            highs=tuple(highs.tolist()),
            means=tuple((self._sums / count).tolist()),
            rms=float(np.sqrt(self._energy / (count * channels))),
            clipped=self._clipped / (count * channels),
            silent=self._silent / count,
        )
