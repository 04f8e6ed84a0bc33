"""Slow gains that hold a take where its seed was, in level and width, and a rendering as told.

What a model hears of itself stays as it drew it; what is turned is what is heard of it. Gains are
bounded, change within a block without a step, and follow a take's own past only.
"""

from __future__ import annotations

import numpy as np

from wavegen.framing import mid_side

# How long late is; what is left to the music; how far it is turned down and up at most.
LEVEL_SECONDS, LEVEL_DB, LEVEL_TURNED_DB = 4.0, 1.0, (-6.0, 6.0)
HELD_TURNED_DB = (-14.0, 6.0)  # of a WaveNet: louder than its temperature can hold it
IMAGE_SECONDS, IMAGE_DB, IMAGE_TURNED_DB = 0.5, 1.0, (-60.0, 24.0)  # of side over middle
TOLD_SECONDS, TOLD_TURNED_DB = 0.3, (-6.0, 6.0)  # what is told is played as loud
NONE = 1e-12  # power that is silence


def level_held(
    signal: np.ndarray, heard: np.ndarray, level_db: float, seconds: float, most_db: tuple
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a block turned towards a level, and the mean square of late after it.

    Args:
        signal: `(rows, channels, samples)`, as drawn.
        heard: `(rows,)`, mean square of what was drawn of late.
        level_db: that is to be held.
        seconds: that the block lasts.
        most_db: by how much it is turned, down (negative) and up, at most.
    """
    now = np.mean(np.square(signal, dtype=np.float64), axis=(1, 2))
    after = later(heard, now, seconds / LEVEL_SECONDS)
    beyond = [decibels(power) - level_db for power in (heard, after)]
    gain = gains(beyond, signal.shape[-1], LEVEL_DB, most_db)
    return (signal * gain[:, None]).astype("float32"), after


def told_held(
    signal: np.ndarray, told: np.ndarray, heard: np.ndarray, seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a block turned to be as loud as what it was told, and the powers of late after it.

    Args:
        signal: `(rows, channels, samples)`, as drawn.
        told: `(rows, channels, samples)`.
        heard: `(rows, 2)`, mean squares of what was drawn and of what was told of late.
        seconds: that the block lasts.
    """
    both = np.stack([signal, told], axis=1)
    now = np.mean(np.square(both, dtype=np.float64), axis=(2, 3))
    after = later(heard, now, seconds / TOLD_SECONDS)
    beyond = [np.subtract(*decibels(powers).T) for powers in (heard, after)]
    gain = gains(beyond, signal.shape[-1], 0.0, TOLD_TURNED_DB)
    return (signal * gain[:, None]).astype("float32"), after


def image_held(
    signal: np.ndarray, heard: np.ndarray, width_db: float, seconds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a stereo block whose side is turned towards a width, and its powers of late after it.

    Args:
        signal: `(rows, 2, samples)`, as drawn.
        heard: `(rows, 2)`, mean squares of middle and side of what was drawn of late.
        width_db: of side over middle, that is to be held.
        seconds: that the block lasts.
    """
    turned = mid_side(signal)
    after = later(heard, np.mean(np.square(turned), axis=-1), seconds / IMAGE_SECONDS)
    beyond = [decibels(both[:, 1]) - decibels(both[:, 0]) - width_db for both in (heard, after)]
    turned[:, 1] *= gains(beyond, signal.shape[-1], IMAGE_DB, IMAGE_TURNED_DB)
    return mid_side(turned).astype("float32"), after


def powers(sound: np.ndarray) -> np.ndarray:
    """Returns the mean squares of middle and side of a sound `(2, samples)` where it is not 0."""
    heard = sound[:, np.any(sound != 0, axis=0)]
    return np.mean(np.square(mid_side(heard)), axis=-1) if heard.size else np.zeros(2)


def later(heard: np.ndarray, now: np.ndarray, share: float) -> np.ndarray:
    """Returns a running mean after what is now, which is such a share of its memory."""
    return heard - np.expm1(-share) * (now - heard)


def gains(beyond_db: list[np.ndarray], samples: int, left_db: float, most_db: tuple) -> np.ndarray:
    """Returns gains `(rows, samples)` from what is too much before a block to what is after it."""
    before, after = (
        np.clip(np.clip(db, -left_db, left_db) - db, *most_db)[:, None] for db in beyond_db
    )
    time = (np.arange(samples) + 1) / samples
    return 10 ** ((before + time * (after - before)) / 20)


def decibels(power: np.ndarray) -> np.ndarray:
    """Returns dB of a power, of silence too."""
    return 10 * np.log10(power + NONE)
