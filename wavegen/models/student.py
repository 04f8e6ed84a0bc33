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
        noise: standard normals, `(batch, time, coefficients, 2)`, which come further out.
        degrees: of freedom.
    """
    # Half the square of two normals has P(square / 2 > r) = exp(-r), and |z|^2 of a two-dimensional
    # Student-t has P(|z|^2 > r) = (1 + r / nu)^(-nu / 2).
    half = ops.maximum(0.5 * ops.sum(noise * noise, axis=-1, keepdims=True), 1e-12)
    further = ops.sqrt(degrees * ops.expm1(2.0 / degrees * half) / (2.0 * half))
    return ops.swapaxes(noise * further, 2, 3)
