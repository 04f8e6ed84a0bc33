"""The Student-t density over real and imaginary part of a coefficient, and draws from it."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from wavegen.models.frames import squared


def log_prob(error: Any, log_scale: Any, degrees: float) -> Any:
    """Returns nats `(..., coefficients)` of coefficients some way from their mean.

    Args:
        error: `(..., 2, coefficients)`.
        log_scale: `(..., coefficients)`.
        degrees: of freedom.
    """
    square = squared(error) * ops.exp(-2.0 * log_scale)
    tail = (degrees / 2 + 1) * ops.log1p(square / degrees)
    return -math.log(2 * math.pi) - 2.0 * log_scale - tail


def draw(noise: Any, degrees: float) -> Any:
    """Returns coefficients of mean 0 and scale 1, `(batch, time, 2, coefficients)`.

    Args:
        noise: uniforms in [0, 1), `(batch, time, coefficients, 2)`: a radius, by its inverse CDF,
            and an angle.
        degrees: of freedom.
    """
    radius, angle = 1.0 - noise[..., 0], 2.0 * math.pi * noise[..., 1]
    # |z|^2 of a two-dimensional Student-t has P(|z|^2 > r) = (1 + r / nu)^(-nu / 2).
    length = ops.sqrt(degrees * (radius ** (-2.0 / degrees) - 1.0))
    return ops.stack([length * ops.cos(angle), length * ops.sin(angle)], axis=2)
