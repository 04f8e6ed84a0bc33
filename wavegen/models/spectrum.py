"""What a frame's spectrum is against the one that the sound had of late.

A recording's timbre and level, its room and its microphone last; what happens in it does not. Band
powers of a frame over their running mean keep what happens, so what was learned of a loud recording
holds for a soft one of another colour. The mean is of loudness, the fourth root of power (Zwicker
and Fastl 1999, "Psychoacoustics", ch. 8: 0.23): of powers it would be that of the loudest moment
for long, and where a loud part ends all that follows would count as silence.

What was drawn has no say in it. A mean of drawn frames, smoothed over bands, which the next are
drawn against, would fill the spectrum's valleys a little more with each; so level and colour stay
those of the seed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from wavegen.config import SpectralLSTMConfig
from wavegen.models.frames import squared
from wavegen.streaming import one_pole

RANGE = 10**-6.5  # below its strongest band a spectrum of late has nothing
SILENT = 1e-9  # power of a coefficient, in the loudest band
LEAST = 1e-9  # power of a coefficient; 16-bit rounding alone has 1.6e-10
FLOOR = 1e-5  # of a band against its mean: what is softer still counts as this
NOTHING = 1e-6  # weight of what is thought to have been before anything was heard
RISEN = 0.3  # log10: a mean rise beyond it is a beginning, and how great it is the bands say
SMOOTH = 3.0  # bands; finer detail of the spectrum of late is what happens, not how it sounds


class RelativeSpectrum:
    """Powers of mel bands against the level of late; it runs in time and holds no weights.

    Attributes:
        count: bands a channel.
        features: channels * count.
        kinds: numbers that a code is of, see `kind`.
    """

    def __init__(self, config: SpectralLSTMConfig) -> None:
        """Takes the bands of a configuration."""
        half, band = config.n_fft // 2, np.array(config.band_of)
        self.channels, self.count = config.channels, int(band.max()) + 1
        self.features, self.rise = self.channels * self.count, config.rise
        self.kinds = self.features + (self.rise > 0)
        member = (band[:, None] == np.arange(self.count)).astype(np.float32)
        self.mean = member / member.sum(axis=0)  # (half, count): power of a band's coefficients
        centre = np.arange(half) @ self.mean
        lines = [np.interp(np.arange(half), centre, row) for row in np.eye(self.count)]
        self.spread = np.stack(lines).astype(np.float32)  # (count, half): between band centres
        apart = np.subtract.outer(np.arange(self.count), np.arange(self.count))
        weight = np.exp(-0.5 * (apart / SMOOTH) ** 2)
        self.smooth = (weight / weight.sum(axis=0)).astype(np.float32)
        self.most = config.n_fft / 4  # power of a coefficient at the pitch of a full-scale sine
        self.pole = math.exp(-config.hop_length / config.sample_rate / config.timbre_seconds)

    def initial_state(self, batch_size: int) -> Any:
        """Returns (running mean of the loudness, its weight): nothing heard."""
        return ops.zeros((batch_size, 1, self.features)), ops.zeros((batch_size, 1, 1))

    def step(self, power: Any, heard: Any, state: Any) -> tuple[Any, Any, Any]:
        """Returns the level of late before each frame and after it, and the next state.

        Args:
            power: of `power_of`, `(batch, time, features)`.
            heard: bool `(batch, time)`; a frame that was not, but drawn, changes nothing, nor
                does digital silence.
            state: of `initial_state` or an earlier step.

        Returns:
            Two arrays `(batch, time, features)`, size of a coefficient in each band, smoothed over
            neighbouring bands; and the state.
        """
        total, weight = state
        pole = ops.where(heard & sounding(power), self.pole, 1.0)[..., None]
        totals = one_pole(ops.sqrt(ops.sqrt(power)), total, pole)
        weights = one_pole(ops.ones_like(power[..., :1]), weight, pole)
        first = self.level(total, weight)
        after = self.level(totals, weights)
        before = ops.concatenate([first, after[:, :-1]], axis=1)
        return before, after, (totals[:, -1:], weights[:, -1:])

    def level(self, total: Any, weight: Any) -> Any:
        """Returns the sizes `(batch, time, features)` of what a running mean holds."""
        loudness = self.apart((total + LEAST**0.25 * NOTHING) / (weight + NOTHING))
        power = ops.square(ops.square(ops.matmul(loudness, self.smooth)))
        floor = RANGE * ops.max(power, axis=(-2, -1), keepdims=True)
        power = ops.maximum(ops.maximum(power, floor), LEAST)
        return self.together(ops.sqrt(ops.minimum(power, self.most)))

    def power_of(self, parts: Any) -> Any:
        """Returns the mean power `(batch, time, features)` of the coefficients of each band.

        Args:
            parts: `(batch, time, 2, coefficients)`.
        """
        square = ops.reshape(squared(parts), (*parts.shape[:2], self.channels, -1))
        return self.together(ops.matmul(square, self.mean))

    def relative(self, power: Any, level: Any) -> Any:
        """Returns log10 of powers against the level of late, `(batch, time, features)`."""
        return ops.log10(power / (level * level) + FLOOR)

    def kind(self, powers: Any, past: Any, level: Any) -> Any:
        """Returns what codes are of: bands, and by how much all of them rise, if that counts.

        Two frames' bands are much alike whether something begins in the later one or not; and a
        renderer that is not told makes of every beginning half of one.

        Args:
            powers: of the bands of frames, `(batch, time, features)`.
            past: of those before them.
            level: of late.

        Returns:
            `(batch, time, kinds)`: log10 of powers, then their mean rise, `RISEN` at most; of it a
            step weighs `config.rise` times as much as the same step in every band.
        """
        bands = self.relative(blended(powers, past), level)
        if not self.rise:
            return bands
        rise = self.relative(powers, level) - self.relative(past, level)
        rise = RISEN * ops.tanh(ops.mean(rise, axis=-1, keepdims=True) / RISEN)
        return ops.concatenate([bands, self.rise * self.features**0.5 * rise], axis=-1)

    def by_coefficient(self, bands: Any) -> Any:
        """Returns values of bands `(batch, time, features)` as values of all coefficients."""
        return self.together(ops.matmul(self.apart(bands), self.spread))

    def apart(self, features: Any) -> Any:
        """Returns `(batch, time, channels, bands)`."""
        return ops.reshape(features, (*features.shape[:-1], self.channels, self.count))

    def together(self, bands: Any) -> Any:
        """Returns `(batch, time, channels * last axis)`."""
        return ops.reshape(bands, (*bands.shape[:-2], -1))


def blended(power: Any, past: Any) -> Any:
    """Returns the power that a code is of: the mean of a frame's and the last one's.

    The power of noise in a band differs from frame to frame; of two frames it differs less.
    """
    return 0.5 * (power + past)


def sounding(power: Any) -> Any:
    """Returns bool `(batch, time)`: whether powers of bands are those of more than silence."""
    return ops.max(power, axis=-1) > SILENT
