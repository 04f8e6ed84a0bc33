"""The predictor of the least squared error, of an autocorrelation: Levinson and Durbin.

The forward and the backward error filter grow side by side. The backward one moves by a sample a
step: it stays where it is, and its beginning moves on.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, kept
from wavegen.engines.numba_cpu.lanes import Lanes
from wavegen.engines.numba_cpu.vector import (
    fma,
    greater,
    load,
    smaller,
    splat_wide,
    store,
    total,
    width_of,
)


def predictors(lanes: Lanes, correlation: np.ndarray, ridge: float) -> np.ndarray:
    """Returns the coefficients `(rows, order)` of predictors, the newest sample first, float64.

    Args:
        lanes: what to compile for.
        correlation: `(rows, order + 1)`, of each row, lag 0 first.
        ridge: what has been added at lag 0, as a share of it: so much of the error is left.
    """
    rows, size = correlation.shape
    lags = -(-(size + 1) // lanes.width) * lanes.width
    backwards, room = np.zeros((rows, 2 * lags)), np.empty((2, 2 * lags))
    backwards[:, lags - size : lags] = correlation[:, ::-1]
    found = np.empty((rows, size - 1))
    for row, coefficients in zip(backwards, found, strict=True):
        solved(lanes, lags, size - 1, ridge / (1.0 + ridge), row, *room)
        coefficients[:] = -room[0, 1:size]
    return found


@apart
def solve(lanes, lags, order, share, correlation, forward, backward):
    """Leaves in `forward` the filter of the least error, (1, -coefficients), the newest first.

    Args:
        lanes: `Lanes`.
        lags: the order, the lag 0 and one more, padded.
        order: of the filter.
        share: of the energy, that is left as error.
        correlation: float64 (2 * lags,), lag 0 before the middle, lag 1 before that.
        forward: float64 (2 * lags,).
        backward: float64 (2 * lags,), room for the other filter.
    """
    width = width_of(lanes)
    for v in range(0, 2 * lags, width):
        store(forward, v, splat_wide(lanes, 0.0))
        store(backward, v, splat_wide(lanes, 0.0))
    forward[0] = backward[lags] = 1.0
    error, ahead = correlation[lags - 1], correlation[lags - 2]
    least = share * error
    for i in range(1, order + 1):
        most = math.sqrt(greater(1.0 - least / error, 0.0))
        k = smaller(greater(-ahead / error, -most), most)
        error *= 1.0 - k * k
        times, sums = splat_wide(lanes, k), splat_wide(lanes, 0.0)
        for v in range(0, i + 1, width):
            a, b = load(lanes, forward, v), load(lanes, backward, lags - i + v)
            store(backward, lags - i + v, fma(times, a, b))
            a = fma(times, b, a)
            store(forward, v, a)
            sums = fma(a, load(lanes, correlation, lags - 2 - i + v), sums)
        ahead = total(sums)


@kept
def solved(lanes, lags, order, share, correlation, forward, backward):
    """Does what `solve` does, which only compiled code can call."""
    solve(lanes, lags, order, share, correlation, forward, backward)
