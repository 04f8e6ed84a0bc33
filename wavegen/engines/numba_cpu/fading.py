"""The window over the past that the following predictor is fitted in, as arrays for the kernel.

Of a sample n ago it is (n + 1) e^(-n / memory), after Barnwell (1981, IEEE ICASSP 6:1). A product
of two samples, the later one n and the earlier one n + lag ago, is weighed by that of both:
e^(-lag / memory) ((n + 1)^2 + lag (n + 1)) e^(-2 n / memory), hence three sums a lag.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavegen.engines.numba_cpu.shapes import WHITENING, Shape

RIDGE = 1e-3  # of the autocorrelation at lag 0, added to it
HUSH = 1e-6  # amplitude of the noise that is always there


def predicting(config: Any, shape: Shape, named: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns what the kernel knows of a model's linear predictor."""
    memory = float(config.predictor_memory * config.sample_rate)
    return {
        "whitening": named.get("predictor/whitening", np.zeros(WHITENING))[::-1],
        "limits": np.append(named["predictor/bounds"], [config.scale_pole, 1 - config.scale_pole]),
        "window": hop_window(shape.hop, memory),
        "aging": window_aging(shape.hop, memory),
        "fading": lag_fading(shape.order, shape.lags, memory),
    }


def hop_window(hop: int, memory: float) -> np.ndarray:
    """Returns `(3, hop)`: what the three sums give a product of each later sample, oldest first."""
    ago = np.arange(hop)[::-1]
    decay = np.exp(-2.0 * ago / memory)
    return np.stack([decay, (ago + 1) * decay, (ago + 1) ** 2 * decay])


def window_aging(hop: int, memory: float) -> np.ndarray:
    """Returns `(4,)`: the decay of every sum in a hop, and decay times hop, hop^2 and 2 hop.

    A sum of n^2 becomes one of (n + hop)^2, which takes hop^2 of the first sum, 2 hop of the
    second; a sum of n takes hop of the first.
    """
    return np.exp(-2.0 * hop / memory) * np.array([1.0, hop, hop**2, 2.0 * hop])


def lag_fading(order: int, lags: int, memory: float) -> np.ndarray:
    """Returns `(3, lags)`: autocorrelations are row 0 * (sum 2 + row 1 * sum 1) + row 2."""
    lag = np.arange(lags, dtype=float)[::-1]
    decay = np.where(lag <= order, np.exp(-lag / memory), 0.0)
    first = lag == 0
    lifted = decay * np.where(first, 1.0 + RIDGE, 1.0)
    return np.stack([lifted, lag, first * (HUSH**2 * memory**3 / 4)])
