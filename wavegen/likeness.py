"""How a drawn sound compares with the recordings it should resemble: arrays in, numbers out.

Spectra are mel bands up to 8 kHz in dB, cut off 80 dB below the loudest, of sounds brought to one
level: a measure that counts inaudible bands misleads. Texture is the Fréchet distance of Heusel et
al. 2017 (arXiv:1706.08500); a loop is found as YIN finds a pitch (JASA 111:1917), in the spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.fft import rfft
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks, get_window

from wavegen.errors import UsageError

SEGMENT_SECONDS = 15.0  # music is measured in stretches of this length
HOP_SECONDS = 0.016  # of a frame, four hops long
ONSET_DB = 1.0  # where something begins, the mean rise of all bands stands out by this
STILL_DB = 2.0  # bands that change by less within 0.5 s stand still: noise 1.3, music 3 and more
QUIET = 1e-3  # of the sound's mean power is silence
HIGH_HZ = 4000.0  # what is from here on may be hiss
WHITE = 0.6  # `flatness` of noise, whatever its colour

LIMITS = {  # of a clean sound's `Likeness`; calibrated on held-out piano, guitar and drums
    "level_db": (-6.0, 6.0),
    "flux": (0.6, 1.6),
    "onsets": (0.6, 1.6),
    "motion": (0.6, 1.6),
    "spread": (0.6, 1.6),
    "frozen_seconds": (-np.inf, 4.0),
    "loop": (0.0, 0.86),  # tabla and drum machines reach 0.84, a snippet repeated 0.87 and more
    "noise": (0.0, 0.5),
    "dead_air_seconds": (-np.inf, 2.0),
}


@dataclass(frozen=True)
class Measures:
    """What a sound does."""

    rms_db: float  # under full scale; -200 is silence
    flux: float  # mean rise of a band from frame to frame, loud bands counting more, dB
    onsets_per_second: float
    motion: float  # mean change within 0.5 s of a band smoothed over 0.25 s, dB
    spread_db: float  # standard deviation of a band over time, mean of all
    flatness: float  # of neighbouring frequencies: 0 is tones, 0.6 noise
    loop: float  # 1 repeats exactly every 0.05 .. 1 s for some seconds, 0 not at all
    longest_still_seconds: float
    longest_silence_seconds: float
    highs_db: float  # energy from 4 kHz on over that of all, -120 at least
    side_db: float | None  # energy of left minus right over left plus right; None if not stereo
    correlation: float | None  # of left and right
    mean_db: np.ndarray = field(repr=False, compare=False)  # (bands,)
    covariance: np.ndarray = field(repr=False, compare=False)  # (bands, bands), dB²


@dataclass(frozen=True)
class Likeness:
    """A sound beside the music."""

    level_db: float  # louder than the music
    flux: float  # this and the next three are ratios to the music's
    onsets: float
    motion: float
    spread: float
    frozen_seconds: float  # longest it stands still, less the music's longest
    loop: float  # as measured
    noise: float  # 0 is the music's flatness, 1 that of noise
    dead_air_seconds: float  # longest silence, less the music's longest
    texture_db: float  # Fréchet distance of the bands
    highs_db: float  # brighter than the music where it is brightest, or darker than anywhere
    side_db: float | None  # wider than the music; None if either is not stereo

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with it, in a word each, as level or dead air."""
        wrong = [n for n, (low, high) in LIMITS.items() if not low <= getattr(self, n) <= high]
        words = [name.removesuffix("_db").removesuffix("_seconds") for name in wrong]
        return tuple(word.replace("_", " ") for word in words)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.faults


def segments(signal: np.ndarray, sample_rate: int) -> list[np.ndarray]:
    """Returns a recording `(channels, samples)` in stretches of 15 s, evenly spread over it."""
    size = round(SEGMENT_SECONDS * sample_rate)
    last = max(0, signal.shape[1] - size)
    starts = np.linspace(0, last, 1 + -(-last // size)).astype(int)
    return [signal[:, start : start + size] for start in starts]


def measure(signal: np.ndarray, sample_rate: int) -> Measures:
    """Returns what a sound does.

    Args:
        signal: (channels, samples), 0.75 s or more.
        sample_rate: 8000 Hz or more; sounds to be compared share one, for bands end at its half.

    Raises:
        UsageError: one of these rules is broken, or not all values are numbers.
    """
    if signal.ndim != 2 or signal.shape[1] < 0.75 * sample_rate or sample_rate < 8000:
        raise UsageError(
            f"a sound of shape {signal.shape} at {sample_rate} Hz cannot be measured: it must be "
            "(channels, samples), last 0.75 s and have 8000 Hz or more"
        )
    if not np.isfinite(signal).all():
        raise UsageError("a sound that holds values that are no numbers cannot be measured")
    rms = max(float(np.sqrt(np.mean(np.square(signal, dtype=np.float64)))), 1e-10)
    signal = signal / rms
    hop = round(HOP_SECONDS * sample_rate)
    spectra = spectrogram(signal, 4 * hop, hop)
    mel = mel_of(spectra, sample_rate, 64)
    bands, weight, power = decibels(mel), np.sqrt(mel.mean(axis=1)) + 1e-9, mel.sum(axis=0)
    rise = np.maximum(np.diff(bands), 0)
    onsets, _ = find_peaks(rise.mean(axis=0), prominence=ONSET_DB, distance=4)
    smooth, apart = decibels(uniform_filter1d(mel, 16)), round(0.5 / HOP_SECONDS)  # 0.25 s
    change = np.abs(smooth[:, apart:] - smooth[:, :-apart]).mean(axis=0)  # (frames,)
    lines = spectra.sum(axis=(0, 1), dtype=np.float64)
    highs = lines[round(HIGH_HZ * 4 * hop / sample_rate) :].sum() / (lines.sum() + 1e-9)
    side_db = correlation = None
    if len(signal) == 2:
        (left, both), (_, right) = signal @ signal.T + 1e-9 * np.eye(2)
        ratio = (left + right - 2 * both) / (left + right + 2 * both)
        side_db = float(np.clip(10 * np.log10(np.maximum(ratio, 1e-9)), -60, 60))
        correlation = float(both / np.sqrt(left * right))
    return Measures(
        rms_db=float(20 * np.log10(rms)),
        flux=float(weight @ rise.mean(axis=1) / weight.sum()),
        onsets_per_second=len(onsets) * sample_rate / signal.shape[1],
        motion=float(change.mean()),
        spread_db=float(bands.std(axis=1).mean()),
        flatness=flatness(signal, sample_rate),
        loop=loop(signal, sample_rate),
        longest_still_seconds=longest(change < STILL_DB) * HOP_SECONDS,
        longest_silence_seconds=longest(power <= QUIET * power.mean()) * HOP_SECONDS,
        highs_db=float(10 * np.log10(highs + 1e-12)),
        side_db=side_db,
        correlation=correlation,
        mean_db=bands.mean(axis=1),
        covariance=np.cov(bands),
    )


def compare(
    generated: Measures, music: Sequence[Measures], near: Sequence[Measures] = ()
) -> Likeness:
    """Returns how a sound compares with the mean of what the music does.

    Level and onsets are compared with the nearest that it does: soft and busy passages are music.

    Args:
        generated: of the sound.
        music: of the `segments` of the recording it continues.
        near: of what comes before and after the place it continues from, for the level; by
            default that may be any that the recording has.
    """

    def each(name: str, parts: Sequence[Measures] = music) -> np.ndarray:
        return np.array([getattr(part, name) for part in parts])

    def nearest(name: str, parts: Sequence[Measures] = music) -> float:
        return np.clip(getattr(generated, name), each(name, parts).min(), each(name, parts).max())

    def ratio(name: str, to: float) -> float:
        return float((getattr(generated, name) + 1e-6) / (to + 1e-6))

    def beyond(name: str) -> float:
        return float(getattr(generated, name) - each(name).max())

    sides = [part.side_db for part in (generated, *music) if part.side_db is not None]
    return Likeness(
        level_db=float(generated.rms_db - nearest("rms_db", near or music)),
        flux=ratio("flux", each("flux").mean()),
        onsets=ratio("onsets_per_second", nearest("onsets_per_second")),
        motion=ratio("motion", each("motion").mean()),
        spread=ratio("spread_db", each("spread_db").mean()),
        frozen_seconds=beyond("longest_still_seconds"),
        loop=generated.loop,
        noise=max(0.0, beyond("flatness")) / max(WHITE - each("flatness").max(), 0.02),
        dead_air_seconds=beyond("longest_silence_seconds"),
        highs_db=float(generated.highs_db - nearest("highs_db", [*music, *near])),
        texture_db=frechet(generated, each("mean_db"), each("covariance").mean(axis=0)),
        side_db=float(sides[0] - np.mean(sides[1:])) if len(sides) > len(music) else None,
    )


def frechet(generated: Measures, means: np.ndarray, covariance: np.ndarray) -> float:
    """Returns the distance of two Gaussians, dB a band; one of stretches with these means."""
    covariance = covariance + np.cov(means.T, bias=True)
    mixed = np.linalg.eigvals(generated.covariance @ covariance).real
    square = np.square(generated.mean_db - means.mean(axis=0)).sum()
    square += np.trace(generated.covariance + covariance) - 2 * np.sqrt(np.maximum(mixed, 0)).sum()
    return float(np.sqrt(max(square, 0) / len(covariance)))


def mel_power(signal: np.ndarray, sample_rate: int, hop_seconds: float, count: int) -> np.ndarray:
    """Returns the power `(count, frames)` of mel bands of frames four hops long, as `mel_of`."""
    hop = round(hop_seconds * sample_rate)
    return mel_of(spectrogram(signal, 4 * hop, hop), sample_rate, count)


def mel_of(power: np.ndarray, sample_rate: int, count: int) -> np.ndarray:
    """Returns the power `(count, frames)` of mel bands up to 8 kHz, mean of all channels.

    Args:
        power: of `spectrogram`.
        sample_rate: Hz.
        count: of bands.
    """
    from librosa.filters import mel  # librosa's own spectra take half a minute to compile, once

    n_fft, top = 2 * (power.shape[2] - 1), min(8000.0, sample_rate / 2)
    weights = mel(sr=sample_rate, n_fft=n_fft, n_mels=count, fmax=top)
    return np.einsum("bk,ctk->bt", weights, power, dtype=np.float64, optimize=True) / len(power)


def spectrogram(signal: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Returns the power float32 `(channels, frames, n_fft // 2 + 1)` of whole frames."""
    frames = np.lib.stride_tricks.sliding_window_view(signal.astype("float32"), n_fft, axis=-1)
    window = get_window("hann", n_fft).astype("float32")
    spectrum = rfft(frames[:, ::hop_length] * window)
    return np.square(spectrum.real) + np.square(spectrum.imag)


def decibels(power: np.ndarray) -> np.ndarray:
    """Returns dB, cut off 80 dB below the greatest."""
    db = 10 * np.log10(np.maximum(power, 1e-20))
    return np.maximum(db, db.max() - 80)


def longest(here: np.ndarray) -> int:
    """Returns the length of the longest run of true values."""
    return int(np.diff(np.flatnonzero(np.concatenate([[True], ~here, [True]]))).max()) - 1


def flatness(signal: np.ndarray, sample_rate: int) -> float:
    """Returns geometric over arithmetic mean of the power of 16 neighbouring frequencies.

    Their 125 Hz are too few for the colour of noise to matter; loud ones count more. Each channel
    is one sound: the mean power of two whose noise differs is flatter than that of either.
    """
    size = round(0.128 * sample_rate) // 32 * 32
    power = np.swapaxes(spectrogram(signal, size, size // 4), 1, 2)[:, 1:] + 1e-12
    groups = power.reshape(-1, 16, power.shape[2])  # (channels * groups, 16, frames)
    mean = groups.mean(axis=1)
    weight = np.sqrt(np.maximum(mean - 1e-11, 0))
    ratio = np.exp(np.log(groups).mean(axis=1)) / mean
    return float((ratio * weight).sum() / (weight.sum() + 1e-9))


def loop(signal: np.ndarray, sample_rate: int) -> float:
    """Returns how exactly a sound repeats itself every 0.05 to 1 s, in the 2 s it does so most.

    How much do bands change within a lag? In a loop by more and more, then not at all. A held tone
    hardly changes, a fading one by more with every lag; a rhythm is back without every detail.
    """
    hop = 0.008
    bands = decibels(mel_power(signal, sample_rate, hop, 48))
    width, lags = round(2 / hop), range(1, round(1 / hop) + 1)
    count = bands.shape[1] - len(lags) - width + 1  # of stretches of 2 s
    if count < 1:
        return 0.0
    squares = [np.square(bands[:, lag:] - bands[:, :-lag]).mean(axis=0) for lag in lags]
    box = np.ones(width) / width
    change = np.array([np.convolve(square, box, "valid")[-count:] for square in squares])  # dB²
    most = np.maximum.accumulate(change)
    back = np.where(most > STILL_DB**2, 1 - change / np.maximum(most, 1e-9), 0)
    return float(back[round(0.05 / hop) - 1 :].max())
