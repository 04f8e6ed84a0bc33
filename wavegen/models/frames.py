"""STFT frames as models see them: `(batch, time, real/imaginary, coefficients of all channels)`."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from wavegen.config import SpectralLSTMConfig
from wavegen.framing import unlabelled


def parts_of(frames: Any, channels: int) -> Any:
    """Returns `(batch, time, 2, coefficients)` of frames, without their labels."""
    frames = unlabelled(frames, channels)
    batch, time, features = frames.shape
    split = ops.reshape(frames, (batch, time, channels, 2, features // channels // 2))
    return ops.reshape(ops.transpose(split, (0, 1, 3, 2, 4)), (batch, time, 2, features // 2))


def frames_of(parts: Any, channels: int) -> Any:
    """Returns frames `(batch, time, channels * n_fft)`: the inverse of `parts_of`."""
    batch, time, _, coefficients = parts.shape
    split = ops.reshape(parts, (batch, time, 2, channels, coefficients // channels))
    return ops.reshape(ops.transpose(split, (0, 1, 3, 2, 4)), (batch, time, 2 * coefficients))


def times(a: Any, b: Any) -> Any:
    """Returns the complex product; the axis before the last holds real and imaginary part."""
    real = a[..., 0, :] * b[..., 0, :] - a[..., 1, :] * b[..., 1, :]
    imaginary = a[..., 0, :] * b[..., 1, :] + a[..., 1, :] * b[..., 0, :]
    return ops.stack([real, imaginary], axis=-2)


def squared(parts: Any) -> Any:
    """Returns the squared magnitude, without the axis before the last."""
    return ops.sum(parts * parts, axis=-2)


def without_highest(config: SpectralLSTMConfig) -> np.ndarray:
    """Returns float32 `(2, coefficients)`, ones, and 0 for the highest frequency of each channel.

    That is the imaginary part of the lowest coefficient, whose density it shares: drawn, it would
    be as loud.
    """
    sounds = np.ones((2, config.channels * config.n_fft // 2), np.float32)
    sounds[1, :: config.n_fft // 2] = 0.0
    return sounds
