"""What the codecs share: states, labels, the tight window, checks of shapes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from wavegen.errors import UsageError

Shape = tuple[int, ...]
STEREO = ("mid_side", "left_right")  # how two channels are turned
UNKNOWN = -1.0  # label of a frame that nobody has said anything of


class EncodeState(NamedTuple):
    """What an STFT encoder carries from step to step."""

    past: np.ndarray  # float32 (..., channels, n_fft - hop_length), latest samples, oldest first
    frame: np.ndarray  # int32 (...), number of the next frame, modulo the cycle of the phases


class DecodeState(NamedTuple):
    """What an STFT decoder carries from step to step."""

    overlap: np.ndarray  # float64 (..., channels, n_fft - hop_length), sums still to be completed
    frame: np.ndarray  # int32 (...), as in EncodeState


def labelled(frames: np.ndarray, labels: int) -> np.ndarray:
    """Returns frames (..., features) with so many labels more at their ends, all `UNKNOWN`."""
    grow = [(0, 0)] * (frames.ndim - 1) + [(0, labels)]
    return np.pad(frames, grow, constant_values=UNKNOWN) if labels else frames


def unlabelled(frames: Any, channels: int) -> Any:
    """Returns frames `(..., features)`, arrays of any kind, without the labels at their ends.

    Labels are fewer than two a channel; what is left is a real and an imaginary part a coefficient.
    """
    return frames[..., : frames.shape[-1] // (2 * channels) * (2 * channels)]


def tight_window(n_fft: int, hop_length: int) -> np.ndarray:
    """Returns the window whose squares, shifted by every hop, add up to exactly one.

    Args:
        n_fft: samples in the window.
        hop_length: samples from frame to frame, 1 .. n_fft. Up to n_fft / 2 the window is a sine;
            beyond, sine slopes as long as the overlap with ones between.

    Returns:
        float64 (n_fft,), positive.
    """
    slope = min(n_fft - hop_length, n_fft / 2)
    position = np.minimum(np.arange(n_fft), np.arange(n_fft)[::-1]) + 0.5  # from the nearer end
    window = np.sin(np.pi / 2 * np.minimum(position / max(slope, 0.5), 1))
    squares = np.zeros(-(-n_fft // hop_length) * hop_length)
    squares[:n_fft] = window**2
    total = squares.reshape(-1, hop_length).sum(0)  # over the shifts that meet in one sample
    window = window / np.sqrt(total[np.arange(n_fft) % hop_length])
    window.flags.writeable = False
    return window


def mid_side(signal: np.ndarray) -> np.ndarray:
    """Returns left and right `(..., 2, samples)` as middle and side, or these as those.

    Orthonormal and its own inverse; float64.
    """
    left, right = signal[..., 0, :], signal[..., 1, :]
    turned = np.empty(signal.shape)
    np.add(left, right, out=turned[..., 0, :], dtype=np.float64)
    np.subtract(left, right, out=turned[..., 1, :], dtype=np.float64)
    turned *= math.sqrt(0.5)
    return turned


def mean_and_difference(signal: np.ndarray) -> np.ndarray:
    """Returns left and right `(..., 2, samples)` as their mean, and left less right.

    Volumes are kept, so densities and likelihoods are those of left and right. Float64.
    """
    left, right = (signal[..., c, :].astype(np.float64) for c in (0, 1))
    return np.stack([(left + right) / 2, left - right], axis=-2)


def left_and_right(signal: np.ndarray) -> np.ndarray:
    """Returns what `mean_and_difference` was given."""
    mean, half = signal[..., 0, :].astype(np.float64), signal[..., 1, :].astype(np.float64) / 2
    return np.stack([mean + half, mean - half], axis=-2)


def spread(array: np.ndarray, shape: Shape, name: str) -> np.ndarray:
    """Returns a copy of an array in a shape: a state shares no memory with its caller's arrays."""
    try:
        return np.broadcast_to(array, shape).copy()
    except ValueError as error:
        raise UsageError(f"{name} of shape {array.shape} must fit the batch: {shape}") from error


def checked_channels(channels: int) -> int:
    """Returns the number of channels, or raises UsageError below 1."""
    if channels < 1:
        raise UsageError(f"channels={channels} must be at least 1")
    return channels


def is_turned(channels: int, stereo: str) -> bool:
    """Returns whether channels are turned before all else; raises UsageError for no such way."""
    if stereo not in STEREO:
        raise UsageError(f"stereo={stereo!r} must be one of {', '.join(STEREO)}")
    return channels == 2 and stereo == "mid_side"


def checked_signal(signal: np.ndarray, channels: int) -> np.ndarray:
    """Returns float32 (..., channels, samples), or raises UsageError for another shape."""
    signal = np.asarray(signal, np.float32)
    if signal.ndim < 2 or signal.shape[-2] != channels:
        raise UsageError(f"a signal of shape {signal.shape} must end in ({channels}, samples)")
    return signal


def checked_frames(frames: np.ndarray, features: int) -> np.ndarray:
    """Returns an array (..., time, features), or raises UsageError for another shape."""
    frames = np.asarray(frames)
    if frames.ndim < 2 or frames.shape[-1] != features:
        raise UsageError(f"frames of shape {frames.shape} must end in (time, {features})")
    return frames
