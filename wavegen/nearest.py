"""Is a drawn sound a copy? Each of its seconds beside the most similar second of the recordings.

Similar is what has the same mel spectrogram but for its level: the cosine of the angle between two
seconds' decibels, each less its own mean. A second copied out scores 1, whatever its gain; what
held-out music scores against the same recordings says what is usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wavegen.likeness import HOP_SECONDS, decibels, mel_power

BANDS = 48
STEP = 2  # frames of `HOP_SECONDS` from one second of the recordings to the next: 32 ms


class Nearest(NamedTuple):
    """A second of the recordings that is most like a second of a sound."""

    similarity: float  # -1 .. 1
    second: float  # of the sound, where it begins
    recording: int  # which of the recordings
    at: float  # where in it, s


def nearest_seconds(
    sound: np.ndarray, recordings: Sequence[np.ndarray], sample_rate: int
) -> list[Nearest]:
    """Returns for each second of a sound the most similar one of the recordings.

    Args:
        sound: `(channels, samples)`; what is left after its last whole second is not looked at.
        recordings: each `(channels, samples)`; those shorter than a second hold none.
        sample_rate: of all of them, Hz.
    """
    wanted, _ = seconds(sound, sample_rate, round(1 / HOP_SECONDS))
    best = np.full(len(wanted), -1.0)
    where = np.zeros((len(wanted), 2))
    for number, recording in enumerate(recordings):
        found, starts = seconds(recording, sample_rate, STEP)
        if len(found) and len(wanted):
            similarity = wanted @ found.T  # (seconds of the sound, seconds of the recording)
            at = similarity.argmax(axis=1)
            closer = similarity.max(axis=1) > best
            best[closer] = similarity.max(axis=1)[closer]
            where[closer] = np.stack([np.full(len(at), number), starts[at]], axis=1)[closer]
    hop = round(1 / HOP_SECONDS) * HOP_SECONDS
    return [
        Nearest(float(best[i]), i * hop, int(where[i, 0]), float(where[i, 1]))
        for i in range(len(wanted))
    ]


def seconds(sound: np.ndarray, sample_rate: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns unit vectors `(seconds, bands * frames)` of a sound's seconds, and where they begin.

    Args:
        sound: `(channels, samples)`.
        sample_rate: Hz.
        step: frames from one to the next.
    """
    size = round(1 / HOP_SECONDS)
    if sound.shape[1] < 2 * sample_rate * HOP_SECONDS * 2 + sample_rate:
        return np.zeros((0, BANDS * size), "float32"), np.zeros(0)
    bands = decibels(mel_power(sound, sample_rate, HOP_SECONDS, BANDS)).astype("float32")
    windows = np.lib.stride_tricks.sliding_window_view(bands, size, axis=1)[:, ::step]
    found = np.swapaxes(windows, 0, 1).reshape(windows.shape[1], -1)  # (seconds, bands * frames)
    found = found - found.mean(axis=1, keepdims=True)
    found /= np.linalg.norm(found, axis=1, keepdims=True) + 1e-6
    return found, np.arange(len(found)) * step * HOP_SECONDS
