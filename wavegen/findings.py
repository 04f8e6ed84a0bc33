"""What a recording is like: level, clipping, offset, silence, phase and how far up it truly goes.

One pass over the sound, second by second, so that any length fits. Arrays in, findings out; which
of them matter to training, `recording` decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from wavegen.bandwidth import Spectrum
from wavegen.errors import AudioError
from wavegen.fingerprint import Fingerprinter
from wavegen.levels import QUIET, Meter
from wavegen.recording import CLIPPED, OFFSET, OVERSHOOT

WINDOWS = 50  # a second: what is told apart as sound or silence
SILENCE = 1e-3  # of the loudest sample: 60 dB below it nothing is heard beside it
OPPOSED = -0.5  # correlation of two channels below which one of them is upside down
LONG_SILENCE = 0.2  # share of a recording from which on it is worth a word
LONG_PAUSE = 2.0  # seconds at either end that are
FAINT = 0.01  # -40 dB: a peak below wastes the bits of a recording


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in one recording.

    Attributes:
        sample_rate: Hz.
        channels: how many.
        seconds: how long it lasts.
        peak: greatest magnitude, full scale is 1.
        swing: greatest magnitude of any channel without its offset.
        rms: root of the mean square over all channels without their offsets.
        dc_offset: mean of each channel, full scale is 1.
        clipped: share of the samples that stand at full scale, 0 .. 1.
        silent: share of the time that is silent (60 dB below the loudest sample or below -80 dB).
        silent_start: seconds before the first sound.
        silent_end: seconds after the last sound.
        bandwidth_hz: frequency above which there is nothing.
        cut: it ends there as if cut off, below what the sample rate can hold: the recording was
            resampled from a lower rate or was an MP3.
        correlation: of the first two channels, -1 .. 1; None where there is one or one is silent.
        fingerprint: uint32 a frame, see `fingerprint`.
    """

    sample_rate: int
    channels: int
    seconds: float
    peak: float
    swing: float
    rms: float
    dc_offset: tuple[float, ...]
    clipped: float
    silent: float
    silent_start: float
    silent_end: float
    bandwidth_hz: float
    cut: bool
    correlation: float | None
    fingerprint: np.ndarray = field(repr=False, compare=False)

    @property
    def peak_db(self) -> float | None:
        """The peak in dB of full scale; None where every sample is 0."""
        return decibels(self.peak)

    @property
    def rms_db(self) -> float | None:
        """The root of the mean square in dB of full scale; None where nothing moves."""
        return decibels(self.rms)

    @property
    def opposed(self) -> bool:
        """Whether one of two channels is upside down."""
        return self.correlation is not None and self.correlation < OPPOSED


def examine(seconds: Iterable[np.ndarray], sample_rate: int, channels: int) -> Findings:
    """Returns what is found in a sound.

    Args:
        seconds: the sound, float32 `(channels, sample_rate)` a second, the last one shorter.
        sample_rate: Hz.
        channels: of the sound.

    Raises:
        AudioError: there is none.
    """
    meter, spectrum = Meter(channels), Spectrum(sample_rate)
    fingerprinter, products = Fingerprinter(sample_rate), np.zeros(3)
    lows, highs, counts = [], [], []
    for second in seconds:
        meter.add(second)
        spectrum.add(second)
        fingerprinter.add(second)
        if channels > 1:
            left, right = second[:2]
            products += left @ left, right @ right, left @ right
        length = second.shape[1]
        windows = max(1, WINDOWS * length // sample_rate)
        starts = np.arange(windows) * length // windows
        lows.append(np.minimum.reduceat(second, starts, axis=1))  # (channels, windows)
        highs.append(np.maximum.reduceat(second, starts, axis=1))
        counts.append(np.diff(np.append(starts, length)))
    levels = meter.levels()
    if not levels.samples:
        raise AudioError("contains no audio; record or export it again")
    # Half of what lies between the extremes: an offset is no sound, wherever it comes from.
    swing = (np.concatenate(highs, axis=1) - np.concatenate(lows, axis=1)).max(axis=0) / 2
    heard = swing >= max(QUIET, SILENCE * swing.max())  # (windows,)
    samples = np.concatenate(counts)
    first, last = (int(heard.argmax()), int(heard[::-1].argmax())) if heard.any() else (0, 0)
    bandwidth, cut = spectrum.bandwidth()
    means = np.array(levels.means)
    power = levels.rms**2 - float(np.mean(means**2))
    return Findings(
        sample_rate=sample_rate,
        channels=channels,
        seconds=levels.samples / sample_rate,
        peak=levels.peak,
        swing=float(max((levels.highs - means).max(), (means - levels.lows).max())),
        rms=max(power, 0.0) ** 0.5,
        dc_offset=levels.means,
        clipped=levels.clipped,
        silent=float(samples[~heard].sum() / levels.samples),
        silent_start=float(samples[:first].sum() / sample_rate),
        silent_end=float(samples[len(samples) - last :].sum() / sample_rate),
        bandwidth_hz=bandwidth,
        cut=cut,
        correlation=_correlation(products / levels.samples, means),
        fingerprint=fingerprinter.finish(),
    )


def decibels(magnitude: float) -> float | None:
    """Returns a magnitude in dB of full scale, None for 0."""
    return float(20 * np.log10(magnitude)) if magnitude > 0 else None


def _correlation(products: np.ndarray, means: np.ndarray) -> float | None:
    """Returns the correlation given the means of left^2, right^2 and left right."""
    if len(means) == 1:
        return None
    left, right = np.maximum(products[:2] - means[:2] ** 2, 0)
    power = np.sqrt(left * right)
    if not power > 1e-4 * max(left, right):  # one of them is silent
        return None
    return float(np.clip((products[2] - means[0] * means[1]) / power, -1, 1))


def remarks(found: Findings) -> dict[str, str]:
    """Returns what is doubtful about a recording, in a line each, by what it is about."""
    said: dict[str, str] = {}
    if found.opposed:
        said["phase"] = (
            f"its channels are out of phase (correlation {found.correlation:.2f}): one is upside "
            "down and they cancel in mono"
        )
    offset = max(found.dc_offset, key=abs)
    if abs(offset) > OFFSET:
        said["offset"] = f"DC offset of {offset:.2f}"
    if found.clipped >= CLIPPED:
        said["clipped"] = f"clipped ({found.clipped:.1%} of its samples)"
    if found.peak > OVERSHOOT:
        said["peak"] = f"peaks {found.peak_db:.1f} dB beyond full scale"
    if QUIET < found.peak < FAINT:
        said["faint"] = f"very quiet (peak {found.peak_db:.0f} dB)"
    if found.cut:
        said["cut"] = (
            f"nothing above {found.bandwidth_hz / 1000:.1f} kHz, of the "
            f"{found.sample_rate / 2000:.4g} that {found.sample_rate} Hz could hold: an MP3, or "
            "resampled from a lower rate"
        )
    ends = [("begins", found.silent_start), ("ends", found.silent_end)]
    pauses = [f"{verb} with {length:.1f} s" for verb, length in ends if length >= LONG_PAUSE]
    if pauses:
        said["ends"] = f"{' and '.join(pauses)} of silence"
    if found.silent >= LONG_SILENCE:
        said["silent"] = f"silent for {found.silent:.0%} of its time"
    return said
