"""What a conditioned WaveNet is given of a sound to play: levels of mel bands, knot after knot.

A knot is what a short window about one sample holds; between two knots all is interpolated. So a
block of whole hops takes the knots at its first sample, after every hop, and after its last sample.
With the bands stands what no predictor can foretell of the sound, its innovation: the exponential
of the mean logarithm of the spectrum (Kolmogorov 1941). And with the levels go all-pole filters of
that spectrum (Makhoul 1975, "Linear prediction: a tutorial review"), by which the sound is
whitened, and the size of what they leave: worked out here once, in float64, for the model and every
engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import fft, sparse

from wavegen import mel
from wavegen.framing import is_turned, mean_and_difference

FLOOR_DB = -120.0  # of a band's power: softer is silence; 16 bits leave noise of -122 .. -114
MIDDLE_DB, SPAN_DB = -60.0, 20.0  # which a network hears as 0, and as 1 more
TAPS = 32  # of a filter
PARTS = 4  # filters in a hop
FILTER = 2 + TAPS  # numbers of one: innovation, size of what it leaves, coefficients
EULER = 0.5772  # by so much the logarithm of one line of noise falls short, on the average
RIDGE = 1e-7  # of a spectrum's power, white noise added to it: filters stay tame
WINDOWED = 2**20  # samples worked on at a time
CALM = 4  # knots before and after one that calm it
ALIKE_DB = 5.0  # root mean square difference of loud bands by which a neighbour counts 0.6 as much
STEP_DB = 1.5  # and their mean difference: a soft stroke lifts all of them by little
LOUD_DB = 50.0  # bands that are softer than a knot's loudest by more have no say in it
CALMING = np.hanning(2 * CALM + 3)[1:-1].astype("float32")  # how much each neighbour counts


class Bands:
    """The analysis: a Hann window about each knot, triangles even in mel, logarithm.

    Attributes:
        hop: samples from knot to knot.
        half: of the window, samples: what a knot hears before and after it.
        reach: samples before and after a knot that decide its calm levels.
        channels: of the sound.
        features: levels in a knot: bands and innovation of the first channel, then of the second.
    """

    def __init__(
        self, sample_rate: int, channels: int, bands: int, hop: int, turned: bool = False
    ) -> None:
        """Builds window and triangles.

        Args:
            sample_rate: Hz.
            channels: of the sound.
            bands: a channel; even in mel up to half the sample rate.
            hop: samples from knot to knot; the window is four of them long.
            turned: whether it is of mean and difference that bands are taken, see `codec.Levels`.
        """
        self.turned = turned
        self.hop, self.half, self.channels = hop, 2 * hop, channels
        self.reach = self.half + CALM * hop
        self.features = channels * (bands + 1)
        size = 2 * self.half
        self.window = np.hanning(size + 1)[:-1].astype("float32")
        self.window /= np.sqrt(np.sum(np.square(self.window)) * size / 2)  # power is kept
        weights = mel.triangles(mel.edges(bands, sample_rate / 2), sample_rate, size)
        self.weights = sparse.csr_array(weights.astype("float32").T)
        # A band's power, spread over its lines, gives the autocorrelation at each lag so much.
        density = weights / weights.sum(axis=0) / (weights.sum(axis=1, keepdims=True) + 1e-9)
        lags = np.arange(TAPS + 1)
        self.lags = density.T @ np.cos(2 * np.pi * np.arange(len(weights))[:, None] * lags / size)

    def levels(self, signal: np.ndarray) -> np.ndarray:
        """Returns the calm levels of a stretch of sound at its knots.

        Args:
            signal: float32 `(..., channels, (count - 1) * hop + 2 * reach)`: with `reach` samples
                before the first knot and after the last.

        Returns:
            float32 `(..., count, features)`, about -4 .. 3.
        """
        return self.calmed(self.measured(signal))

    def calmed(self, levels: np.ndarray) -> np.ndarray:
        """Returns `(..., count, features)`, calm, of `count + 2 * CALM` measured levels.

        A bilateral filter (Tomasi and Manduchi 1998, ICCV): the mean of what is near and alike.
        """
        count = levels.shape[-2] - 2 * CALM
        middle = levels[..., CALM : CALM + count, :]
        bands = middle.reshape(*middle.shape[:-1], self.channels, -1)[..., :-1]
        loud = bands > bands.max(axis=(-2, -1), keepdims=True) - LOUD_DB / SPAN_DB
        most = np.maximum(np.sum(loud, axis=(-2, -1)), 1)
        found, total = np.zeros_like(middle), np.zeros_like(middle[..., :1])
        for start in range(2 * CALM + 1):
            near = levels[..., start : start + count, :]
            apart = near.reshape(*near.shape[:-1], self.channels, -1)[..., :-1] - bands
            apart *= loud * SPAN_DB
            unlike = np.sum(np.square(apart), axis=(-2, -1)) / most / ALIKE_DB**2
            unlike += np.square(np.sum(apart, axis=(-2, -1)) / most / STEP_DB)
            weight = np.exp(-unlike / 2) * CALMING[start]
            found += weight[..., None] * near
            total += weight[..., None]
        return found / total

    def measured(self, signal: np.ndarray) -> np.ndarray:
        """Returns the levels of a stretch of sound at its knots, as they are.

        Args:
            signal: float32 `(..., channels, (count - 1) * hop + 2 * half)`: with `half` samples
                before the first knot and after the last.

        Returns:
            float32 `(..., count, features)`, about -4 .. 3.
        """
        if self.turned:
            signal = mean_and_difference(signal).astype("float32")
        *rows, channels, samples = signal.shape
        size = 2 * self.half
        count = (samples - size) // self.hop + 1
        views = np.lib.stride_tricks.sliding_window_view(signal, size, axis=-1)
        views = views[..., :: self.hop, :]  # (..., channels, count, size)
        power = np.empty((*rows, channels, count, self.features // channels), "float32")
        step = max(1, WINDOWED // (size * channels * max(1, int(np.prod(rows)))))
        for start in range(0, count, step):  # memory is bounded, however long the sound
            spectrum = fft.rfft(views[..., start : start + step, :] * self.window, axis=-1)
            lines = np.square(spectrum.real) + np.square(spectrum.imag)
            found = (self.weights @ lines.reshape(-1, lines.shape[-1]).T).T
            power[..., start : start + step, :-1] = found.reshape(*lines.shape[:-1], -1)
            surprise = np.log(np.maximum(lines * self.half, 10 ** (FLOOR_DB / 10))).mean(axis=-1)
            power[..., start : start + step, -1] = np.exp(surprise + EULER)
        decibels = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))
        level = (decibels - MIDDLE_DB) / SPAN_DB
        return np.moveaxis(level, -3, -2).reshape(*rows, count, self.features).astype("float32")

    def given(self, levels: np.ndarray) -> np.ndarray:
        """Returns what a model is given: levels, and the filters from each knot to the next.

        Args:
            levels: `(..., count, features)`, of `levels`.

        Returns:
            float32 `(..., count, features + PARTS * channels * FILTER)`: in the order part,
            channel; innovation, size of what the filter leaves (both in linear amplitude, RMS) and
            coefficients, newest sample first. After the last knot they are those before it.
        """
        levels = np.asarray(levels, np.float64)
        following = np.concatenate([levels[..., 1:, :], levels[..., -1:, :]], axis=-2)
        share = ((np.arange(PARTS) + 0.5) / PARTS)[:, None]
        between = levels[..., None, :] + share * (following - levels)[..., None, :]
        power = 10 ** ((between * SPAN_DB + MIDDLE_DB) / 10)
        power = power.reshape(*power.shape[:-1], self.channels, -1)
        innovation = np.sqrt(power[..., -1:])
        filters = all_pole(power[..., :-1] @ self.lags)
        filters = np.concatenate([innovation, filters], axis=-1)
        flat = filters.reshape(*levels.shape[:-1], -1)
        return np.concatenate([levels, flat], axis=-1).astype("float32")

    def filters(self, given: np.ndarray) -> np.ndarray:
        """Returns the filters `(..., count, PARTS, channels, FILTER)` of what `given` returns."""
        parts = given[..., self.features :]
        return parts.reshape(*given.shape[:-1], PARTS, self.channels, FILTER)

    def along(self, sound: np.ndarray) -> np.ndarray:
        """Returns what a model is given of a sound that silence surrounds, from its sample 1 on.

        Sample 0 is where a WaveNet that hears from silence begins; it draws from sample 1 on.

        Args:
            sound: float32 `(channels, samples)`.

        Returns:
            `(ceil((samples - 1) / hop) + 1, ...)`, as `given` has it.
        """
        hops = -(-(sound.shape[-1] - 1) // self.hop)
        after = 1 + hops * self.hop + self.reach - sound.shape[-1]
        return self.given(self.levels(np.pad(sound, [(0, 0), (self.reach - 1, after)])))


def bands_of(config: Any) -> Bands | None:
    """Returns the analysis of a model that is conditioned by bands; of any other None."""
    bands = getattr(config, "condition_bands", 0)
    if not bands:
        return None
    turned = is_turned(config.channels, config.stereo)
    return Bands(config.sample_rate, config.channels, bands, config.condition_hop, turned)


def all_pole(correlation: np.ndarray) -> np.ndarray:
    """Returns sizes and coefficients `(..., 1 + TAPS)` of filters, by Levinson and Durbin.

    Args:
        correlation: float64 `(..., TAPS + 1)`, of the sound at lags 0 .. TAPS.
    """
    correlation = correlation.copy()
    floor = 10 ** (FLOOR_DB / 10)
    correlation[..., 0] = correlation[..., 0] * (1 + RIDGE) + floor
    error, taps = correlation[..., 0].copy(), np.zeros_like(correlation)  # taps[0] is not one
    for i in range(1, TAPS + 1):
        ahead = correlation[..., i] - np.sum(
            taps[..., 1:i] * correlation[..., i - 1 : 0 : -1], axis=-1
        )
        reflection = (ahead / error)[..., None]
        taps[..., 1:i] = taps[..., 1:i] - reflection * taps[..., i - 1 : 0 : -1]
        taps[..., i] = reflection[..., 0]
        error *= 1 - reflection[..., 0] ** 2
    taps[..., 0] = np.sqrt(error)
    return taps
