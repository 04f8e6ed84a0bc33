"""What likelihoods mean, and how a drawn sound compares with the music it continues.

Sees only numbers and sound, so it can judge any model, and a human's take as well. Intervals are
bootstrapped over blocks (Künsch 1989, Ann. Stat. 17:1217), because neighbouring samples are not
independent witnesses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

PREDICTORS = ("linear predictor, adaptive scale", "two-tap predictor")  # what timbre is worth


@dataclass(frozen=True)
class Score:
    """A mean cost with its 95 % interval; lower is better."""

    name: str
    mean: float
    low: float
    high: float
    count: int  # frames it is a mean of
    unit: str  # "bits per sample" or "nats per coefficient"


def interval(
    values: np.ndarray, *, block: int, draws: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Returns (mean, low, high): the mean and its 95 % interval by a block bootstrap.

    Args:
        values: (count,), in time order, count >= 1.
        block: neighbours that are drawn together.
        draws: number of resamplings.
        seed: of the resampling.
    """
    values = np.asarray(values, np.float64)
    whole = max(1, len(values) // block)
    means = np.array([part.mean() for part in np.array_split(values, whole)])
    if whole < 2:
        return float(values.mean()), -np.inf, np.inf
    picks = np.random.default_rng(seed).integers(0, whole, (draws, whole))
    low, high = np.quantile(means[picks].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def table(
    model: Mapping[str, np.ndarray], baselines: Mapping[str, np.ndarray], *, block: int, unit: str
) -> list[Score]:
    """Returns the model's score, then the baselines' from worst to best.

    Args:
        model: name to cost per frame, the model's own first.
        baselines: name to cost of the same frames.
        block: frames of a bootstrap block.
        unit: what a cost is counted in.
    """
    rows = [
        Score(name, *interval(costs, block=block), len(costs), unit)
        for name, costs in [*model.items(), *baselines.items()]
    ]
    return [rows[0], *sorted(rows[1:], key=lambda row: -row.mean)]


def gain(costs: np.ndarray, others: np.ndarray, *, block: int) -> tuple[float, float, float]:
    """Returns by how much `costs` undercut `others`, frame by frame: (mean, low, high)."""
    return interval(np.asarray(others) - np.asarray(costs), block=block)


def verdict(
    model: Mapping[str, np.ndarray], baselines: Mapping[str, np.ndarray], block: int
) -> str:
    """Returns in one plain sentence what the model has learned.

    Args:
        model: name to cost per frame, the model's own first.
        baselines: name to cost of the same frames.
        block: frames of a bootstrap block.
    """
    costs = next(iter(model.values()))
    best = min(baselines, key=lambda name: float(np.mean(baselines[name])))
    unit = "nats" if "two-tap predictor" in baselines else "bits"
    if not np.isfinite(costs).all():
        return "its cost is not a number everywhere: nothing learned yet"
    mean, low, high = gain(costs, baselines[best], block=block)
    if low <= 0 <= high or abs(mean) < 0.005:
        return (
            f"level with the {best} ({mean:+.3f} {unit}, within the error): "
            "it has learned no more than that yet"
        )
    if mean < 0:
        beaten = [n for n in baselines if np.mean(baselines[n]) > np.mean(costs)]
        if not beaten or beaten == ["uniform"]:
            return f"{-mean:.2f} {unit} worse than the {best}: nothing learned yet"
        nearest = min(beaten, key=lambda name: float(np.mean(baselines[name])))
        return (
            f"{-mean:.2f} {unit} worse than the {best}, better than the {nearest}: "
            "not yet what simple prediction knows; train longer"
        )
    if mean < 0.15:
        learned = "it has begun to learn what prediction misses"
    elif mean < 0.5:
        learned = "it has learned timbre, not yet notes"
    else:
        learned = "it has learned this music's sound well"
    return f"{mean:.2f} {unit} better than the {best}: {learned}"


# -- how a drawn sound compares with the music ---------------------------------------------------


def measures(signal: np.ndarray, reference: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Returns how a sound differs from the music it should resemble.

    Args:
        signal: (channels, samples), the drawn sound.
        reference: (channels, samples), the music.
        sample_rate: of both, Hz.

    Returns:
        level_db: difference of the RMS levels; flux: ratio of the mean rise of the log spectrum;
        flatness: of the drawn sound's mean spectrum, 0 tone .. 1 white noise, and of the music's
        (music_flatness); stationarity: mean correlation of frames 0.1 to 2 s apart, 1 never moves
        (music has 0.9 too, by its spectral tilt); motion_db and music_motion_db: how far bands
        move over time; clipped: share of samples at full scale; peak.
    """
    ours, theirs = bands(signal, sample_rate), bands(reference, sample_rate)
    rms, music_rms = (float(np.sqrt(np.mean(np.square(x)))) for x in (signal, reference))
    return {
        "level_db": 20 * np.log10((rms + 1e-9) / (music_rms + 1e-9)),
        "flux": (flux(ours) + 1e-6) / (flux(theirs) + 1e-6),
        "flatness": flatness(signal),
        "music_flatness": flatness(reference),
        "stationarity": stationarity(ours, sample_rate),
        "motion_db": motion(ours, sample_rate),
        "music_motion_db": motion(theirs, sample_rate),
        "clipped": float(np.mean(np.abs(signal) > 0.999)),
        "peak": float(np.abs(signal).max(initial=0.0)),
    }


def collapse(signal: np.ndarray, reference: np.ndarray, sample_rate: int) -> list[str]:
    """Returns in plain words what is wrong with a drawn sound, or nothing.

    Args:
        signal: (channels, samples).
        reference: (channels, samples), the music it continues.
        sample_rate: of both, Hz.
    """
    if min(signal.shape[1], reference.shape[1]) < sample_rate // 4:
        return []  # too short to tell
    found, m = [], measures(signal, reference, sample_rate)
    if m["peak"] < 1e-4:
        return ["it is silent"]
    if abs(m["level_db"]) > 9:
        found.append(
            f"{abs(m['level_db']):.0f} dB {'louder' if m['level_db'] > 0 else 'softer'}"
            " than the music"
        )
    if m["clipped"] > 0.01:
        found.append(f"{m['clipped']:.0%} of it is clipped")
    # Noise of any colour and drones stay below 1.2 dB, ninety pieces of piano, guitar and drums
    # above 2.2; in less than 2 s a held chord stands still by right.
    long = signal.shape[1] >= 2 * sample_rate
    still = long and m["motion_db"] < min(1.6, 0.4 * m["music_motion_db"])
    restless = flux(bands(signal, sample_rate)) > 0.24  # noise has 0.32 at any level and colour
    if m["flatness"] > 0.3 and m["flatness"] > 3 * m["music_flatness"] or still and restless:
        found.append("it is noise")
    elif still:
        found.append("one constant tone")
    return found


def bands(signal: np.ndarray, sample_rate: int, count: int = 40) -> np.ndarray:
    """Returns log energies `(frames, count)` of about 46 ms frames in bands even on a log scale."""
    size = 2 ** max(5, round(np.log2(0.046 * sample_rate)))
    mono = signal.mean(axis=0)
    mono = np.pad(mono, (0, max(0, size - len(mono))))
    frames = np.lib.stride_tricks.sliding_window_view(mono, size)[:: size // 2]
    power = np.abs(fft.rfft(frames * np.hanning(size), axis=1)) ** 2
    edges = np.geomspace(2, size // 2, count + 1)
    index = np.clip(np.searchsorted(edges, np.arange(power.shape[1]), "right") - 1, 0, count - 1)
    energy = np.zeros((len(power), count))
    for band in range(count):
        energy[:, band] = power[:, index == band].sum(axis=1)
    return np.log(energy + 1e-7 * energy.max() + 1e-12)


def flux(frames: np.ndarray) -> float:
    """Returns the mean rise from frame to frame of log band energies."""
    return float(np.maximum(np.diff(frames, axis=0), 0).mean()) if len(frames) > 1 else 0.0


def motion(frames: np.ndarray, sample_rate: int) -> float:
    """Returns how far log band energies, smoothed over 0.25 s, move over time, dB.

    Each band is compared with itself: the tilt of the spectrum, which hides whether anything
    happens, plays no part. Smoothing takes out what noise moves by chance.
    """
    size = 2 ** max(5, round(np.log2(0.046 * sample_rate)))
    width = max(1, round(0.25 * 2 * sample_rate / size))
    if len(frames) <= width:
        return 0.0
    sums = np.cumsum(np.pad(np.exp(frames), ((1, 0), (0, 0))), axis=0)
    smooth = 10 * np.log10(np.maximum(sums[width:] - sums[:-width], 1e-30) / width)
    smooth = np.maximum(smooth, smooth.max() - 60)  # what nobody hears may not count
    heard = smooth.mean(axis=0) > smooth.max() - 55
    return float(smooth[:, heard].std(axis=0).mean()) if heard.any() else 0.0


def flatness(signal: np.ndarray) -> float:
    """Returns geometric over arithmetic mean of the mean power spectrum, 0 .. 1."""
    mono = signal.mean(axis=0)
    size = min(1024, len(mono))
    frames = mono[: len(mono) // size * size].reshape(-1, size)
    power = (np.abs(fft.rfft(frames * np.hanning(size), axis=1)) ** 2).mean(axis=0)[1:] + 1e-20
    return float(np.exp(np.log(power).mean()) / power.mean())


def stationarity(frames: np.ndarray, sample_rate: int) -> float:
    """Returns the mean correlation of z-scored frames over lags of 0.1 to 2 s."""
    size = 2 ** max(5, round(np.log2(0.046 * sample_rate)))
    rate = 2 * sample_rate / size  # frames a second
    z = frames - frames.mean(axis=1, keepdims=True)
    z = z / (z.std(axis=1, keepdims=True) + 1e-9)
    lags: Sequence[int] = [round(s * rate) for s in (0.1, 0.2, 0.5, 1.0, 2.0)]
    found = [float((z[lag:] * z[:-lag]).mean()) for lag in lags if 0 < lag < len(z)]
    return float(np.mean(found)) if found else 0.0
