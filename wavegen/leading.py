"""What leads a renderer sample by sample: predictor and excitation of the sound that tells.

Left to itself a linear predictor listens to what was drawn, and what it takes for a tone there it
keeps. Here it listens to the sound that is to be played (so tones are where that has them, and
between them there is as little), and of what it leaves of that sound a share is played, too, as in
a residual-excited vocoder (Un and Magill 1975, IEEE Trans. Commun. 23:1466): the rest is drawn,
as in mixed excitation (McCree and Barnwell 1995, IEEE Trans. Speech Audio Process. 3:242).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import fft
from scipy.linalg import solve_toeplitz

from wavegen.bands import FILTER, PARTS, TAPS, Bands
from wavegen.framing import mean_and_difference

FITTED_SECONDS = 0.03  # from fit to fit, about
AHEAD_SECONDS = 0.03  # by so much later sound is fitted, too
SHORTER = 0.25  # than what was drawn by itself would be listened to
LENGTH = 6  # of the window, in times at which it peaks
RIDGE = 1e-4  # of the autocorrelation at lag 0, added to it: white noise 40 dB below
QUIETEST = 1e-6  # linear amplitude of an innovation: a scale is never 0
HUSH = 1e-9  # power of noise that is always there, in sizes of what the given filter leaves


def ahead_of(config: Any, bands: Bands) -> int:
    """Returns how many samples ahead a lead listens."""
    return min(round(AHEAD_SECONDS * config.sample_rate), bands.reach)


class Lead:
    """Adds to what a renderer is given of a sound what leads it, block by block, in order."""

    def __init__(self, config: Any, bands: Bands, share: float) -> None:
        """Begins after silence.

        Args:
            config: of a conditioned WaveNet with a predictor, as it draws.
            bands: its analysis.
            share: 0 .. 1, of the excitation's amplitude.
        """
        self.bands, self.share, self.order = bands, np.float32(share), config.predictor_order
        rate = config.sample_rate
        self.every = max(1, round(FITTED_SECONDS * rate / bands.hop))  # knots from fit to fit
        self.ahead = ahead_of(config, bands)
        peak = SHORTER * config.predictor_memory * rate
        ago = np.arange(max(round(LENGTH * peak), self.order))[::-1]
        self.window = ((ago + 1) / peak * np.exp(1 - ago / peak)).astype("float32")  # Barnwell 1981
        self.size = fft.next_fast_len(len(self.window) + self.order, real=True)
        self.hops = 0  # since the beginning
        self.past: Any = None  # (rows, channels, samples of the window), whitened
        self.taps: Any = None  # in force
        self.solve = solver()

    def hear(self, window: np.ndarray, given: np.ndarray) -> None:
        """Hears what goes before, as `step` does; silence precedes all that it hears."""
        time, start = (given.shape[1] - 1) * self.bands.hop, len(self.window)
        if self.past is None:
            self.past = np.zeros((len(given), self.bands.channels, start), "float32")
        whitened = self.whitened(window, given, time)[0][..., :time]
        self.past = np.concatenate([self.past, whitened], axis=-1)[..., -start:]

    def step(self, window: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Returns `(rows, hops + 1, ...)`: what is given, and what leads from each knot on.

        Of tones bands tell more innovation than there is: it is lowered to what was left of them.

        Args:
            window: `(rows, channels, reach + hops * hop + reach)`, the sound from `reach` samples
                before the first to be drawn.
            given: `(rows, hops + 1, ...)`, of `Bands.given`.
        """
        hop, order, (rows, count, _) = self.bands.hop, self.order, given.shape
        whitened, wanted = self.whitened(window, given, (count - 1) * hop)
        heard = np.concatenate([self.past, whitened], axis=-1)
        start = len(self.window)
        lead = np.zeros((rows, count, self.bands.channels, order + hop), "float32")
        left = np.zeros((rows, count, self.bands.channels), "float32")
        for i in range(count - 1):  # nothing leads on from the last knot
            at = start + i * hop
            if self.hops % self.every == 0:
                self.taps = self.fitted(heard[..., : at + self.ahead])
            self.hops += 1
            expected = correlated(heard[..., at - order : at + hop - 1], self.taps)
            lead[:, i, :, :order] = self.taps
            excitation = wanted[..., i * hop : (i + 1) * hop] - expected
            lead[:, i, :, order:] = self.share * excitation
            left[:, i] = np.sqrt(np.mean(np.square(excitation), axis=-1))
        self.past = heard[..., : start + (count - 1) * hop][..., -start:]
        found = [self.surprised(given, left), lead.reshape(rows, count, -1)]
        return np.concatenate(found, axis=-1)

    def surprised(self, given: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Returns what is given, its innovation no greater than what could not be foretold.

        Args:
            given: `(rows, count, ...)`.
            left: `(rows, count, channels)`, RMS of the excitation, in sizes of what filters leave.
        """
        filters = self.bands.filters(given).copy()
        most = np.maximum(left[:, :, None] * filters[..., 1], QUIETEST)
        filters[..., 0] = np.minimum(filters[..., 0], most)
        levels = given[..., : self.bands.features]
        return np.concatenate([levels, filters.reshape(*given.shape[:2], -1)], axis=-1)

    def whitened(
        self, window: np.ndarray, given: np.ndarray, time: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what given filters leave of a sound, `(rows, channels, time + ahead)` each.

        The first as a renderer hears it, by the filter for the sample after each; the second by
        each one's own, what has to be expected. Beyond the last knot its filter stays.
        """
        reach, part = self.bands.reach, self.bands.hop // PARTS
        sound = mean_and_difference(window).astype("float32") if self.bands.turned else window
        filters = self.bands.filters(given[:, :-1])
        filters = filters.reshape(len(given), -1, self.bands.channels, FILTER).swapaxes(1, 2)
        time += self.ahead
        frames = np.lib.stride_tricks.sliding_window_view(
            sound[..., reach - TAPS : reach + time], TAPS + 1, axis=-1
        )
        found = []
        for first in (1, 0):
            place = np.minimum((np.arange(time) + first) // part, filters.shape[2] - 1)
            own = filters[:, :, place]  # innovation, size, coefficients, the newest first
            expected = np.einsum("rctn,rctn->rct", frames[..., TAPS - 1 :: -1], own[..., 2:])
            found.append((frames[..., TAPS] - expected) / own[..., 1])
        return found[0], found[1]

    def fitted(self, heard: np.ndarray) -> np.ndarray:
        """Returns the predictor of the end of a sound, `(rows, channels, order)`, oldest first.

        By the autocorrelation method (Makhoul 1975): its resonances are stable.
        """
        part = heard[..., -len(self.window) :] * self.window
        spectrum = fft.rfft(part, self.size, axis=-1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        correlation = fft.irfft(power, self.size, axis=-1)[..., : self.order + 1].astype(float)
        correlation[..., 0] = correlation[..., 0] * (1 + RIDGE) + HUSH * len(self.window)
        taps = self.solve(correlation.reshape(-1, self.order + 1), RIDGE)
        return taps.reshape(*heard.shape[:2], -1)[..., ::-1].astype("float32")


def correlated(sound: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Returns taps `(rows, channels, order)` applied along sounds, where they fit, float32."""
    each = zip(sound.reshape(-1, sound.shape[-1]), taps.reshape(-1, taps.shape[-1]), strict=True)
    found = np.stack([np.correlate(*pair, "valid") for pair in each])
    return found.reshape(*sound.shape[:-1], -1)


def solver() -> Callable[[np.ndarray, float], np.ndarray]:
    """Returns what finds predictors: compiled where there is Numba, which is ten times as fast."""
    with contextlib.suppress(ImportError):  # Numba can lag behind a new Python
        from wavegen.engines.numba_cpu.fitting import predictors
        from wavegen.engines.numba_cpu.lanes import Lanes

        return functools.partial(predictors, Lanes.here())
    return lambda correlation, ridge: np.stack(
        [solve_toeplitz(row[:-1], row[1:]) for row in correlation]
    )
