"""What a quarter of a second does, in a few numbers: level, change, tones or noise, colour.

Each is near to normally distributed over the moments of real music, so that a mean and a covariance
say what a recording's moments are like (`climate`).
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import fft, sparse

from wavegen import mel

SECONDS = 0.24  # of a moment
SHARE = 3  # a moment is heard together with the two before it
HOP_SECONDS = 0.016  # from frame to frame, each four hops long
BANDS = 40  # of the mel scale, up to 8 kHz
RANGE_DB = 80.0  # below the loudest band of the recordings nothing counts
COLOURS = 5  # groups of bands
LEVEL = 1  # which feature is the level against the one that it should have
COLOUR = 9  # which is the first of those of colour
# By how much, as a standard deviation, what a good model plays misses each of the features.
MISSED = (2.0, 2.0, 1.5, 0.25, 0.25, 0.25, 0.5, 0.4, 0.3, *COLOURS * (3.0,), 1.5)


def features(
    sound: np.ndarray, sample_rate: int, level_db: np.ndarray, top_db: float
) -> np.ndarray:
    """Returns float64 `(rows, features)` of the last moment of sounds.

    In this order: offset against level, dB; level against the one it should have and against the
    moment before, dB; logarithms of flux, of motion within one moment and within two, of flatness,
    sharpest and mean rise; the colour of the spectrum, dB; and of a stereo sound the width of the
    image, dB.

    Args:
        sound: `(rows, channels, samples)`, of `SHARE` moments.
        sample_rate: Hz.
        level_db: `(rows,)`, the level that it should have, dB under full scale.
        top_db: the power of the recordings' loudest band.
    """
    size = sound.shape[-1] // SHARE
    last, before = sound[..., -size:].astype(np.float64), sound[..., -2 * size : -size]
    energy = np.mean(np.square(last), axis=(1, 2)) + 1e-12
    offset = np.square(last.mean(axis=2)).mean(axis=1) / energy
    floor = top_db - RANGE_DB - 10
    level = np.maximum(decibels(energy), floor)
    level_before = np.maximum(decibels(np.mean(np.square(before), axis=(1, 2))), floor)

    power = mel_power(sound, sample_rate)  # (rows, bands, frames)
    count = power.shape[-1] // SHARE
    now, past = power[..., -count:], power[..., -2 * count : -count]
    long_past = power[..., -3 * count : -2 * count]
    bands = np.maximum(decibels(power[..., -count - 1 :]), top_db - RANGE_DB)
    rise = np.maximum(np.diff(bands, axis=-1), 0.0)  # (rows, bands, frames)
    weight = np.sqrt(now.mean(axis=-1)) + 1e-9
    flux = np.sum(weight * rise.mean(axis=-1), axis=-1) / weight.sum(axis=-1)
    smooth, then, long_ago = (
        np.maximum(decibels(part.mean(axis=-1)), top_db - RANGE_DB)
        for part in (now, past, long_past)
    )
    motion = np.abs(smooth - then).mean(axis=-1)
    drift = np.abs(smooth - long_ago).mean(axis=-1)
    onset = rise.mean(axis=1)  # (rows, frames)
    shape = smooth - smooth.max(axis=-1, keepdims=True)
    colour = shape.reshape(len(shape), COLOURS, -1).mean(axis=-1)
    found = [
        decibels(offset + 1e-5),
        level - level_db,
        level - level_before,
        np.log(0.3 + flux),
        np.log(0.5 + motion),
        np.log(0.5 + drift),
        np.log(0.002 + flatness(last, sample_rate)),
        np.log(0.2 + onset.max(axis=-1)),
        np.log(0.1 + onset.mean(axis=-1)),
        *colour.T,
    ]
    if sound.shape[1] == 2:
        side = np.mean(np.square(last[:, 0] - last[:, 1]), axis=-1)
        middle = np.mean(np.square(last[:, 0] + last[:, 1]), axis=-1)
        found.append(np.clip(decibels((side + 1e-9) / (middle + 1e-9)), -40.0, 40.0))
    return np.stack(found, axis=-1)


def count(channels: int) -> int:
    """Returns the number of features."""
    return COLOUR + COLOURS + (channels == 2)


def in_a_row(sound: np.ndarray, sample_rate: int, top_db: float) -> np.ndarray:
    """Returns the features `(moments, features)` of a sound moment after moment; levels absolute.

    Args:
        sound: `(channels, samples)`; shorter than `SHARE` moments it has none.
        sample_rate: Hz.
        top_db: the power of the recordings' loudest band.
    """
    size, found = round(SECONDS * sample_rate), [np.zeros((0, count(len(sound))))]
    if sound.shape[1] >= SHARE * size:
        views = np.lib.stride_tricks.sliding_window_view(sound, SHARE * size, axis=1)[:, ::size]
        rows = np.swapaxes(views, 0, 1)  # (moments, channels, samples)
        for start in range(0, len(rows), 8):  # a few at a time: memory is bounded
            part = rows[start : start + 8]
            found.append(features(part, sample_rate, np.zeros(len(part)), top_db))
    return np.concatenate(found)


def mel_power(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the power `(rows, bands, frames)` of mel bands, mean of the channels."""
    hop = max(8, round(HOP_SECONDS * sample_rate))
    frames = np.lib.stride_tricks.sliding_window_view(sound, 4 * hop, axis=-1)[..., ::hop, :]
    size = fft.next_fast_len(4 * hop, real=True)  # 16 ms at 22.05 kHz are 353 samples, a prime
    spectrum = fft.rfft(frames * np.hanning(4 * hop).astype(np.float32), size, axis=-1)
    power = (np.square(spectrum.real) + np.square(spectrum.imag)).mean(axis=1)
    bands = mel_weights(sample_rate, size) @ power.reshape(-1, power.shape[-1]).T
    return np.swapaxes(bands.reshape(-1, *power.shape[:2]), 0, 1) / (4 * hop)


def pitches(sample_rate: int) -> np.ndarray:
    """Returns the frequency, Hz, of the middle of each band, `(bands,)`."""
    return edges(sample_rate)[1:-1]


@functools.lru_cache(maxsize=8)
def mel_weights(sample_rate: int, n_fft: int) -> sparse.csr_array:
    """Returns float32 `(bands, n_fft // 2 + 1)`: triangles of equal area, even in mel."""
    weights = mel.triangles(edges(sample_rate), sample_rate, n_fft)
    return sparse.csr_array((weights / (weights.sum(axis=0) + 1e-9)).astype("float32").T)


def edges(sample_rate: int) -> np.ndarray:
    """Returns the `mel.edges` of the bands of sound of that rate."""
    return mel.edges(BANDS, min(8000.0, sample_rate / 2))


def flatness(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns `(rows,)`: geometric over arithmetic mean of the power of 16 neighbouring lines.

    Their 125 Hz are too few for the colour of noise to matter; loud ones count more. 0 is tones,
    0.6 noise.
    """
    size = max(64, round(0.128 * sample_rate) // 32 * 32)
    size = min(size, sound.shape[-1] // 32 * 32)
    frames = np.lib.stride_tricks.sliding_window_view(sound, size, axis=-1)[..., :: size // 4, :]
    power = np.square(np.abs(fft.rfft(frames * np.hanning(size), axis=-1))).mean(axis=(1, 2))
    groups = power[:, 1:].reshape(len(sound), -1, 16) + 1e-12
    mean = groups.mean(axis=-1)
    weight = np.sqrt(np.maximum(mean - 1e-11, 0.0))
    ratio = np.exp(np.log(groups).mean(axis=-1)) / mean
    return np.sum(ratio * weight, axis=-1) / (weight.sum(axis=-1) + 1e-9)


def decibels(power: np.ndarray) -> np.ndarray:
    """Returns dB of a power, -120 at least."""
    return 10 * np.log10(np.maximum(power, 1e-12))
