"""Bands even in mel, as triangles over the lines of a spectrum.

Mel as in O'Shaughnessy 1987, "Speech Communication": 2595 log10(1 + f / 700).
"""

from __future__ import annotations

import numpy as np


def edges(bands: int, top_hz: float) -> np.ndarray:
    """Returns where triangles begin, have their tops and end, Hz, `(bands + 2,)`."""
    mel = np.linspace(0.0, 2595 * np.log10(1 + top_hz / 700), bands + 2)
    return 700 * (10 ** (mel / 2595) - 1)


def triangles(edges: np.ndarray, sample_rate: int, n_fft: int) -> np.ndarray:
    """Returns `(n_fft // 2 + 1, bands)`, 0 .. 1: how much of each line of a spectrum is in a band.

    Args:
        edges: of the function of that name.
        sample_rate: Hz.
        n_fft: samples that the spectrum is of.
    """
    at = np.arange(n_fft // 2 + 1)[:, None] * sample_rate / n_fft
    width = np.maximum(np.diff(edges), sample_rate / n_fft)  # no triangle falls between two lines
    rising, falling = (at - edges[:-2]) / width[:-1], (edges[2:] - at) / width[1:]
    return np.clip(np.minimum(rising, falling), 0.0, 1.0)
