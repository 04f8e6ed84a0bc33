"""Honest yardsticks for STFT frames: what simple statistics of the recordings already know.

All are densities of a complex coefficient: a Gaussian for all, one per bin, a Student-t per bin
(heavy tails), and a two-tap linear predictor per bin with a Student-t error. Bivariate Student-t
scales are fitted by the iteration of Lange, Little & Taylor 1989 (JASA 84:881).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavegen.framing import unlabelled

DEGREES = 4.0  # of freedom of the Student-t, as in the spectral LSTM
KEPT = 3000  # frames that the scales and predictors are fitted on
FLOOR = 2**-30 / 12  # least variance: 16-bit rounding has it, in every coefficient


@dataclass(frozen=True)
class FrameBaselines:
    """Fitted statistics of frames laid out [channel][real/imaginary][coefficient].

    Attributes:
        gaussian_per_bin: float32 (channels, n_fft / 2), variance of real and of imaginary part.
        student_per_bin: float32 (channels, n_fft / 2), squared scale of the Student-t.
        taps: complex64 as float32 (2, 2, channels, n_fft / 2): tap, real/imaginary.
        student_error: float32 (channels, n_fft / 2), squared scale of the predictor's error.
    """

    gaussian_per_bin: np.ndarray
    student_per_bin: np.ndarray
    taps: np.ndarray
    student_error: np.ndarray

    @classmethod
    def fit(cls, codec: Any, chunks: Iterable[np.ndarray]) -> FrameBaselines:
        """Returns the statistics of training frames.

        Args:
            codec: STFT, for its channels and n_fft.
            chunks: float32 (frames, features) of contiguous frames each.
        """
        power, count = np.zeros((codec.channels, codec.n_fft // 2)), 0
        kept: list[np.ndarray] = []
        heard, stride = 0, 1
        for chunk in chunks:
            z = complex_frames(chunk, codec.channels)
            power += (np.abs(z) ** 2).sum(axis=0)
            count += len(z)
            if heard % stride == 0:
                middle = max(0, len(z) // 2 - KEPT // 8)
                kept.append(z[middle : middle + KEPT // 4])
            heard += 1
            if sum(map(len, kept)) > 2 * KEPT:  # ten hours must fit as well: every second chunk
                kept, stride = kept[::2], 2 * stride
        variance = power / max(2 * count, 1)
        variance = np.maximum(variance, FLOOR)
        now = np.concatenate([z[2:] for z in kept if len(z) > 2] or [kept[0]])
        last = np.concatenate([z[1:-1] for z in kept if len(z) > 2] or [kept[0]])
        before = np.concatenate([z[:-2] for z in kept if len(z) > 2] or [kept[0]])
        first, second = two_taps(now, last, before)
        error = now - first * last - second * before
        return cls(
            variance.astype(np.float32),
            student_scale(np.abs(now) ** 2).astype(np.float32),
            np.stack([parts(first), parts(second)]).astype(np.float32),
            student_scale(np.abs(error) ** 2).astype(np.float32),
        )

    def nats(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Returns what each baseline pays per complex coefficient, nats `(frames,)`.

        Args:
            frames: float32 (frames, features); silence precedes the first.
        """
        z = complex_frames(frames, len(self.gaussian_per_bin))
        past = np.concatenate([np.zeros_like(z[:2]), z])
        taps = self.taps[:, 0] + 1j * self.taps[:, 1]
        error = z - taps[0] * past[1:-1] - taps[1] * past[:-2]
        flat = np.full_like(self.gaussian_per_bin, self.gaussian_per_bin.mean())
        return {
            "one Gaussian": gaussian_nats(np.abs(z) ** 2, flat),
            "Gaussian per bin": gaussian_nats(np.abs(z) ** 2, self.gaussian_per_bin),
            "Student-t per bin": student_nats(np.abs(z) ** 2, self.student_per_bin),
            "two-tap predictor": student_nats(np.abs(error) ** 2, self.student_error),
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns everything as named arrays, for a model file."""
        names = ("gaussian_per_bin", "student_per_bin", "taps", "student_error")
        return {name: getattr(self, name) for name in names}

    @staticmethod
    def shapes(codec: Any) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of the arrays that `to_arrays` gives for a codec."""
        bins = (codec.channels, codec.n_fft // 2)
        names = ("gaussian_per_bin", "student_per_bin", "student_error")
        return dict.fromkeys(names, bins) | {"taps": (2, 2, *bins)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> FrameBaselines:
        """Returns the baselines that `to_arrays` gave away."""
        return cls(**arrays)


def complex_frames(frames: np.ndarray, channels: int) -> np.ndarray:
    """Returns complex64 `(frames, channels, coefficients)` from flat real features."""
    split = unlabelled(frames, channels).reshape(len(frames), channels, 2, -1)
    return split[:, :, 0] + 1j * split[:, :, 1]


def parts(z: np.ndarray) -> np.ndarray:
    """Returns real and imaginary part, stacked in front."""
    return np.stack([z.real, z.imag])


def two_taps(now: np.ndarray, last: np.ndarray, before: np.ndarray) -> tuple[Any, Any]:
    """Returns complex a, b per bin of least |now - a last - b before|^2, poles inside the circle.

    Each frame counts by the inverse of its power, so that loud moments do not decide alone.
    """
    now, last, before = (z.astype(np.complex128) for z in (now, last, before))
    power = np.abs(now) ** 2 + np.abs(last) ** 2 + np.abs(before) ** 2
    weight = 1.0 / (power + 1e-3 * power.mean(axis=0) + 1e-20)

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (weight * a.conj() * b).sum(axis=0)

    ll, bb, lb = product(last, last), product(before, before), product(last, before)
    ln, bn = product(last, now), product(before, now)
    ridge = 1e-4 * (ll + bb) + 1e-20
    ll, bb = ll + ridge, bb + ridge
    determinant = ll * bb - lb * lb.conj()
    a, b = (ln * bb - lb * bn) / determinant, (ll * bn - lb.conj() * ln) / determinant
    root = np.sqrt(a * a + 4 * b)
    p, q = (a + root) / 2, (a - root) / 2
    p, q = (pole * np.minimum(1, 0.998 / np.maximum(np.abs(pole), 1e-9)) for pole in (p, q))
    return p + q, -p * q


def student_scale(square: np.ndarray) -> np.ndarray:
    """Returns the squared scale per bin of a bivariate Student-t that generated |z|^2."""
    scale = np.maximum(np.median(square, axis=0) / 2, FLOOR)
    for _ in range(30):
        weight = (DEGREES + 2) / (DEGREES + square / scale)
        scale = np.maximum((weight * square).mean(axis=0) / 2, FLOOR)
    return scale


def student_nats(square: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Returns the mean cost per coefficient of each frame under a bivariate Student-t."""
    cost = math.log(2 * math.pi) + np.log(scale)
    return (cost + (DEGREES / 2 + 1) * np.log1p(square / (DEGREES * scale))).mean(axis=(1, 2))


def gaussian_nats(square: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Returns the mean cost per coefficient of each frame under a circular Gaussian."""
    return (math.log(2 * math.pi) + np.log(variance) + square / (2 * variance)).mean(axis=(1, 2))
