"""A decoded recording, judged: what it needs before it is learned from, and whether it can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavegen.entry import Entry
from wavegen.errors import AudioError, shown
from wavegen.levels import QUIET

OFFSET = 0.01  # a mean further from zero is taken off
OVERSHOOT = 1.06  # peaks up to half a dB over are what resampling and MP3 do: no warning
CLIPPED = 0.001  # share of samples at full scale from which on there is one


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that can be used.

    Attributes:
        path: where it was found.
        entry: its decoded samples.
        offsets: DC offset to take off each channel, or () for none.
        scale: factor that brings it within full scale, 1 where it is already.
        peak: greatest magnitude after that, at most 1.
        warnings: what was changed or is doubtful, without the recording's name.
    """

    path: Path
    entry: Entry
    offsets: tuple[float, ...]
    scale: float
    peak: float
    warnings: tuple[str, ...]

    @property
    def samples(self) -> int:
        """Samples in each channel."""
        return self.entry.samples

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.entry.samples / self.entry.sample_rate

    def read(self, start: int, stop: int) -> np.ndarray:
        """Returns samples start .. stop as float32 `(channels, stop - start)` within -1 .. 1."""
        signal = self.entry.read(start, stop)
        if self.offsets:
            signal -= np.array(self.offsets, np.float32)[:, None]
        if self.scale != 1:
            signal *= np.float32(self.scale)
            np.clip(signal, -1, 1, out=signal)  # what rounding adds
        return signal


def judge(path: Path, entry: Entry, minimum_seconds: float) -> Recording:
    """Returns an entry as a recording of a dataset.

    Args:
        path: where it was found.
        entry: its decoded samples.
        minimum_seconds: how long it must be.

    Raises:
        AudioError: it is too short or silent.
    """
    check_length(path, entry.samples, entry.sample_rate, minimum_seconds)
    levels = entry.levels
    offsets = levels.means if max(map(abs, levels.means)) > OFFSET else ()
    shifts = offsets or (0.0,) * entry.channels
    extremes = zip(levels.lows, levels.highs, shifts, strict=True)
    peak = max(max(high - shift, shift - low) for low, high, shift in extremes)
    if peak < QUIET:
        raise AudioError(f"{shown(path)}: silent (peak below -80 dB)")
    return Recording(
        path=path,
        entry=entry,
        offsets=offsets,
        scale=1 / max(peak, 1.0),
        peak=min(peak, 1.0),
        warnings=(*entry.warnings, *_warnings(entry, max(offsets, key=abs, default=0.0), peak)),
    )


def check_length(path: Path, samples: int, sample_rate: int, minimum_seconds: float) -> None:
    """Raises AudioError where a recording of so many samples is too short."""
    if samples < minimum_seconds * sample_rate:
        seconds = math.floor(10 * samples / sample_rate) / 10
        reason = f"too short ({seconds:.1f} s; need {minimum_seconds:g} s)"
        raise AudioError(f"{shown(path)}: {reason}")


def _warnings(entry: Entry, offset: float, peak: float) -> list[str]:
    warnings = []
    if entry.antiphase:
        warnings.append("its channels cancel each other in mono; only the left one is used")
    if offset:
        warnings.append(f"DC offset of {offset:.2f} taken off")
    if entry.levels.clipped >= CLIPPED:
        warnings.append(f"clipped ({entry.levels.clipped:.1%} of its samples)")
    if peak > OVERSHOOT:
        warnings.append(f"peaks at {peak:.3g}, beyond full scale; scaled down to 1")
    if entry.source_sample_rate < entry.sample_rate:
        rate = entry.source_sample_rate
        warnings.append(f"recorded at {rate} Hz: it has nothing above {rate // 2} Hz")
    return warnings
