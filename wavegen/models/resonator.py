"""The heads that came first: an LSTM whose next frame is a resonator's, every bin for itself.

Each complex coefficient continues as a resonator would: its mean is a two-pole prediction from the
last two frames, poles inside the unit circle so that free running cannot explode, plus an offset;
around it lies a Student-t density, because music is silence and attacks. `head="mse"` is the
baseline everybody tries first: the mean alone, by squared error; left alone it settles on a hum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen.config import SpectralLSTMConfig
from wavegen.models import student
from wavegen.models.frames import frames_of, parts_of, squared, times, without_highest
from wavegen.models.renderer import QUANTUM
from wavegen.streaming import RecurrentStack

DEGREES = 4.0  # of freedom of the Student-t: tails heavy enough for attacks, variance finite
LARGEST_POLE = 0.998  # radius; a tone then halves in about 350 frames if nothing feeds it


class Resonator(keras.layers.Layer):
    """The heads `student_t` and `mse` of a spectral LSTM.

    `step` returns, per complex coefficient, the parameters that `density` reads: `(batch, time, 3 *
    coefficients)` for student_t, `(batch, time, 2 * coefficients)` for mse.
    """

    def __init__(self, config: SpectralLSTMConfig, **kwargs: Any) -> None:
        """Takes a checked configuration."""
        super().__init__(**kwargs)
        self.config = config
        self.coefficients = config.channels * config.n_fft // 2  # complex ones a frame
        self.sounds = without_highest(config)
        self.front = keras.layers.Dense(config.units, name="front")
        self.memory = RecurrentStack(config.units, config.layers, name="memory")
        # poles 2 x 2, offset 2, log scale 1 a coefficient; or just the mean
        values = 7 if config.head == "student_t" else 2
        self.out = keras.layers.Dense(
            values * self.coefficients, kernel_initializer="zeros", name="out"
        )

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight; the shapes all follow from the configuration."""
        config = self.config
        self.front.build((1, 1, 5 * self.coefficients))
        self.memory.build((1, 1, config.units))
        self.out.build((1, 1, config.units))
        shape = (self.coefficients,)
        self.bin_scale = self.add_weight(
            shape=shape, initializer="ones", trainable=False, name="bin_scale"
        )
        self.log_error = self.add_weight(shape=shape, initializer="zeros", name="log_error")
        self.built = True

    def start_from(self, pieces: Iterable[np.ndarray]) -> None:
        """Takes the scale of each coefficient from the frames of recordings.

        Args:
            pieces: float32 `(frames, channels * n_fft)` of contiguous frames each.
        """
        power, count = np.zeros(self.coefficients), 0
        for piece in pieces:
            split = piece.reshape(len(piece), self.config.channels, 2, -1)
            power += np.square(split, dtype=np.float64).sum(axis=(0, 2)).reshape(-1) / 2
            count += len(piece)
        variance = np.maximum(power / max(count, 1), QUANTUM**2)
        self.bin_scale.assign(np.sqrt(variance).astype("float32"))

    def initial_state(self, batch_size: int) -> Any:
        """Returns (previous frame, LSTM memory) after endless silence."""
        previous = ops.zeros((batch_size, 1, 2 * self.coefficients))
        return previous, self.memory.initial_state(batch_size)

    def step(self, x: Any, state: Any, disturbed: Any = None) -> tuple[Any, Any]:
        """Returns the parameters of the density of the frame after each of `x`, and the next state.

        Args:
            x: float32 `(batch, time, channels * n_fft)`.
            state: of `initial_state` or an earlier step.
            disturbed: not used.
        """
        previous, memory = state
        heard = ops.concatenate([previous, x], axis=1)
        before, now = (
            parts_of(heard[:, :-1], self.config.channels),
            parts_of(x, self.config.channels),
        )  # (batch, time, 2, coefficients)
        h = self.front(self.features(before, now))
        h, memory = self.memory.step(h, memory)
        raw = ops.reshape(self.out(h), (*x.shape[:2], -1, self.coefficients))
        if self.config.head == "mse":
            y = raw * self.bin_scale
        else:
            mean = self.resonate(raw[:, :, :4], before, now)
            mean = mean + ops.tanh(raw[:, :, 4:6]) * 4.0 * self.bin_scale
            scale = self.bin_scale * ops.exp(ops.clip(raw[:, :, 6:] - 2.0, -20.0, 4.0))
            log_scale = ops.log(scale + QUANTUM)
            y = ops.concatenate([mean, log_scale], axis=2)
        return ops.reshape(y, (*x.shape[:2], -1)), (heard[:, -1:], memory)

    def features(self, before: Any, now: Any) -> Any:
        """Returns what the LSTM hears: compressed parts, log magnitude, turn since last frame."""
        z, w = now / self.bin_scale, before / self.bin_scale
        power = squared(z)
        loud = ops.log(power + 1e-4) / 4.0  # (batch, time, coefficients)
        real = z[:, :, 0] * w[:, :, 0] + z[:, :, 1] * w[:, :, 1]
        imaginary = z[:, :, 1] * w[:, :, 0] - z[:, :, 0] * w[:, :, 1]
        size = ops.sqrt(power * squared(w)) + 1e-2
        compressed = ops.arcsinh(z)
        parts = [compressed[:, :, 0], compressed[:, :, 1], loud, real / size, imaginary / size]
        return ops.concatenate(parts, axis=-1)

    def resonate(self, raw: Any, before: Any, now: Any) -> Any:
        """Returns the two-pole mean (p + q) now - p q before, complex, |p| and |q| < 1.

        Args:
            raw: `(batch, time, 4, coefficients)`: real and imaginary part of p and of q, free.
            before: the frame before `now`, `(batch, time, 2, coefficients)`.
            now: the last frame.
        """
        start = ops.convert_to_tensor(np.array([2.0, 0.0, 0.0, 0.0], "float32")[:, None])
        p, q = inside(raw[:, :, :2] + start[:2]), inside(raw[:, :, 2:] + start[2:])
        return times(p + q, now) - times(times(p, q), before)

    def density(self, y: Any) -> tuple[Any, Any]:
        """Returns mean `(batch, time, 2, coefficients)` and log scale, without the axis of 2."""
        y = ops.reshape(y, (*y.shape[:2], -1, self.coefficients))
        if self.config.head == "mse":
            scale = self.bin_scale * ops.exp(self.log_error) + QUANTUM
            return y, ops.log(scale) + ops.zeros_like(y[:, :, 0])
        return y[:, :, :2], y[:, :, 2]

    def log_prob(self, y: Any, following: Any) -> Any:
        """Returns the log-density, nats per complex coefficient, `(batch, time, 1)`.

        Student-t over (real, imaginary) with `DEGREES` of freedom; for mse a Gaussian whose
        variance per coefficient is fitted beside the mean.
        """
        mean, log_scale = self.density(y)
        error = parts_of(following, self.config.channels) - mean
        if self.config.head == "mse":
            square = squared(error) * ops.exp(-2.0 * log_scale)
            nats = -math.log(2 * math.pi) - 2.0 * log_scale - 0.5 * square
        else:
            nats = student.log_prob(error, log_scale, DEGREES)
        return ops.mean(nats, axis=-1, keepdims=True)

    def loss(self, y: Any, following: Any) -> Any:
        """Returns the negative log-density; for mse the squared error, in variances, beside it."""
        if self.config.head == "student_t":
            return -self.log_prob(y, following)[..., 0]
        mean, _ = self.density(y)
        error = (parts_of(following, self.config.channels) - mean) / self.bin_scale
        # The spread learns beside the mean without a say in it: the mean stays pure mse.
        spread = -self.log_prob(ops.stop_gradient(y), following)[..., 0]
        return ops.mean(error * error, axis=(2, 3)) + spread

    def draw(self, y: Any, noise: Any, temperature: Any = 0.7) -> Any:
        """Returns the next frame `(batch, 1, channels * n_fft)`, by the density's inverse CDF.

        Args:
            y: output of `step` for one frame.
            noise: standard normals, `(batch, 1, coefficients, 2)`.
            temperature: scales the distance from the mean; 0 takes the mean. The mse head has no
                spread of its own and always takes the mean.
        """
        z, log_scale = self.density(y)
        if self.config.head == "student_t":
            scale = temperature * ops.exp(log_scale)
            z = z + student.draw(noise, DEGREES) * scale[:, :, None]
        return frames_of(z * self.sounds, self.config.channels)


def inside(pole: Any) -> Any:
    """Returns complex numbers `(..., 2, n)` of any size moved inside the unit circle."""
    return LARGEST_POLE * pole / ops.sqrt(1.0 + ops.sum(pole * pole, axis=-2, keepdims=True))
