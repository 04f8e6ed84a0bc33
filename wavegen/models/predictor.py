"""A linear predictor that follows the sound: what a WaveNet starts from.

A fixed filter fitted on the recordings whitens the sound, a second one, fitted anew every few
milliseconds to what was just heard, predicts what is left (`linear_prediction`). The error is
taken to be logistic, with a scale proportional to a running mean of recent errors. How much of the
error on the left comes again on the right follows the sound, too: so the right channel is expected
given the left (of turned channels, see `codec.Levels`, the difference given the mean).

Of a conditioned model the first filter, and the size of what it leaves, are those of the spectrum
that is given (`bands`). In music what such a filter leaves has that size at nearly every instant.
So level and colour can be held while drawing, as in a vocoder: of too much the prediction is
damped, and what is missing is drawn as noise. Of far too much nothing is expected any more: however
stable a filter is, cut off at full scale it may ring for ever (Ebert et al. 1969, "Overflow
oscillations in digital filters"). And the scale stays near the given innovation.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen.bands import FILTER, PARTS
from wavegen.models.blocks import held
from wavegen.models.linear_prediction import HUSH, Following
from wavegen.streaming import one_pole

WHITENING = 32  # taps of the fixed filter
SOFTEST = 1e-5  # scale that a conditioned network hears as -1
GIVEN_BOUNDS = (0.6, 0.33, 0.5)  # as `bounds`, in units of the given innovation
SMALLEST = 1e-3  # scale, in sizes of what the filter leaves, that the network hears as -1
POWER_POLE = 0.995  # of the running power of what it leaves, relative to its size; of the coupling
UNSURE = 0.01  # of the right channel's mean square error, added to the left's: coupling is bounded
APART = 0.01  # least share of the right channel's error that is taken not to come from the left
MOST, LEAST = 1.1, 0.4  # of that power: music is mostly between
WILD = 100.0  # of that power, in music 12 at most: nothing is expected, so that it comes to rest
NOISE = 0.3  # squared scale of a logistic distribution of variance 1


class AdaptivePredictor(keras.layers.Layer):
    """Mean and scale of the next sample of each channel, from that channel's own past."""

    def __init__(
        self,
        order: int,
        hop: int,
        memory: float,
        pole: float,
        channels: int,
        conditioned: bool = False,
        **kwargs: Any,
    ) -> None:
        """Makes a predictor.

        Args:
            order: coefficients of the filter that follows, >= 1.
            hop: samples from fit to fit.
            memory: samples ago that a fit looks at most.
            pole: of the running mean of errors that the scale follows, in (0, 1).
            channels: each by itself.
            conditioned: whether the first filter is given.
            **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.pole, self.channels, self.conditioned = pole, channels, conditioned
        self.following = Following(order, hop, memory)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights, none of which is trained by gradient."""
        fixed = {"trainable": False, "initializer": "zeros"}
        if not self.conditioned:
            self.whitening = self.add_weight(shape=(WHITENING,), name="whitening", **fixed)
        # ratio of scale to mean error, least scale, greatest scale
        self.bounds = self.add_weight(shape=(3,), name="bounds", **fixed)
        self.bounds.assign(GIVEN_BOUNDS if self.conditioned else [0.6, 1e-4, 1.0])

    def start_from(self, baselines: Any) -> None:
        """Takes coefficients and scale constants from fitted `baselines.SampleBaselines`."""
        if self.conditioned:
            self.bounds.assign([baselines.scale_ratio, *GIVEN_BOUNDS[1:]])
            return
        self.whitening.assign(np.asarray(baselines.coefficients, "float32"))
        bounds = [baselines.scale_ratio, baselines.scale_floor, baselines.scale_ceiling]
        self.bounds.assign(np.asarray(bounds, "float32"))

    def initial_state(self, batch_size: int) -> Any:
        """Returns (last samples, their prediction, mean error, what follows), after silence.

        To the mean error of a conditioned predictor belongs the power of what its filter leaves; of
        two channels the mean square error of each, its mean product with the left one's, and the
        left one's mean square.
        """
        one = ops.zeros((batch_size, 1, self.channels))
        rows = 1 + self.conditioned + 3 * (self.channels > 1)
        error = ops.zeros((batch_size, rows, self.channels))
        past = ops.zeros((batch_size, WHITENING, self.channels))
        return past, one, error, self.following.initial_state(batch_size, self.channels)

    def step(self, samples: Any, state: Any, given: Any = None) -> tuple[Any, ...]:
        """Returns what is expected of each next sample, the surprise of each, sizes, and the state.

        Args:
            samples: `(batch, time, channels)`, linear amplitude.
            state: (last samples, prediction of the first of `samples`, mean error, what follows).
            given: of a conditioned predictor, `(batch, time, channels, 2 + WHITENING)`: innovation,
                size and coefficients, newest sample first, for the sample after each. Of one that
                is led (`leading`) `order + 1` numbers more: the coefficients that follow, oldest
                sample first, and an excitation.

        Returns:
            mean, scale, coupling and surprise `(batch, time, channels)`: the right channel's scale
            is that given the left sample, whose surprise moves the mean by the coupling, 0 on the
            left; the surprise of a sample is by how much it missed its prediction, in linear
            amplitude; and the size of what the given filter leaves, 1 where none is given.
        """
        past, predicted, error, following = state
        time = samples.shape[1]
        heard = ops.concatenate([past, samples], axis=1)
        # frames[:, t] are the samples before sample t, newest first; one more is to come.
        ago = np.arange(time + 1)[:, None] + np.arange(WHITENING)[::-1]
        frames = ops.take(heard, ago, axis=1)  # (batch, time + 1, WHITENING, channels)
        if given is None:
            fixed = ops.sum(frames * self.whitening[:, None], axis=2)
            here, ahead, size, innovation = fixed[:, :-1], fixed[:, 1:], 1.0, 1.0
        else:  # a sample just heard is whitened as the one after it will be
            innovation, size = given[..., 0], given[..., 1]
            taps = ops.swapaxes(given[..., 2 : 2 + WHITENING], 2, 3)
            here, ahead = (ops.sum(part * taps, axis=2) for part in (frames[:, :-1], frames[:, 1:]))
        whitened = (samples - here) / size
        led = given is not None and given.shape[-1] > 2 + WHITENING
        lead = given[..., 2 + WHITENING : -1] if led else None
        rest, following = self.following.step(whitened, following, lead)
        last, missing = [], 0.0
        if given is not None:
            power = one_pole(whitened * whitened, error[:, 1:2], POWER_POLE)
            if led:
                rest = rest + given[..., -1]
            else:
                rest = rest * ops.sqrt(ops.minimum(1.0, MOST / (power + 1e-6)))
                missing = NOISE * ops.maximum(LEAST - power, 0.0) * size * size
            last.append(power[:, -1:])
        mean = ahead + size * rest
        if given is not None:
            mean = ops.where(power > WILD, 0.0, mean)
        # The state's prediction belongs to the first sample, mean[t] to sample t + 1.
        surprise = samples - ops.concatenate([predicted, mean[:, :-1]], axis=1)
        coupling, apart = ops.zeros_like(surprise), 1.0
        if self.channels > 1:
            left = surprise[..., :1]
            squares = surprise * surprise, surprise * left, left * left + 0.0 * surprise
            before = ops.split(error[:, 1 + self.conditioned :], 3, axis=1)
            after = [one_pole(x, y, POWER_POLE) for x, y in zip(squares, before, strict=True)]
            last += [rows[:, -1:] for rows in after]
            coupling, apart = coupled(*after)
            told = ops.concatenate([coupled(*before)[0], coupling[:, :-1]], axis=1)
            surprise = surprise - told * left
        error = one_pole(ops.absolute(surprise), error[:, :1], self.pole)
        least, most = self.bounds[1] * innovation, self.bounds[2] * innovation
        scale = ops.clip(self.bounds[0] * error, least * apart, most * apart)
        if given is not None:
            scale = ops.sqrt(scale * scale + missing * apart * apart)
        error = ops.concatenate([error[:, -1:], *last], axis=1)
        state = heard[:, time:], mean[:, -1:], error, following
        return mean, scale, coupling, surprise, size, state

    def features(self, samples: Any, mean: Any, scale: Any, surprise: Any, size: Any) -> Any:
        """Returns `(batch, time, features * channels)` in about [-1, 1]: what the network hears.

        They are sample and prediction, companded by mu-law; the scale's logarithm; the step from
        sample to prediction and the latest surprise, in scales, squeezed; and of a conditioned
        predictor the logarithm of the scale in sizes.
        """
        loud = ops.log(scale / (SOFTEST if self.conditioned else self.bounds[1])) / 4.0 - 1.0
        step = ops.tanh((mean - samples) / (8.0 * scale))
        strange = ops.arcsinh(surprise / scale) / 2.0
        found = [companded(samples), companded(mean), loud, step, strange]
        if self.conditioned:
            found.append(ops.log(scale / (SMALLEST * size)) / 4.0 - 1.0)
        return ops.concatenate(found, axis=-1)


def coupled(square: Any, product: Any, left: Any) -> tuple[Any, Any]:
    """Returns how much of the left error each channel expects, and what share it does not.

    Args:
        square: `(batch, time, 2)`, running mean square error of each channel.
        product: its running mean product with the left channel's.
        left: the left channel's, in both.

    Returns:
        0 and 1 on the left; on the right the least squares coefficient and the standard deviation
        of what it leaves, in that of the whole error.
    """
    right = np.array([0.0, 1.0], "float32")
    hush = np.float32(HUSH**2)
    coefficient = product / (left + UNSURE * square + hush)
    alike = product * product / (square * left + hush * hush)
    share = ops.sqrt(ops.maximum(1.0 - alike, APART**2))
    return right * coefficient, 1.0 - right * (1.0 - share)


def given_filters(given: Any, channels: int, hop: int) -> Any:
    """Returns what `AdaptivePredictor.step` is given, `(batch, hops * hop, channels, numbers)`.

    Args:
        given: `(batch, hops, numbers)`, of every hop: what `Bands.given` has after the levels, and
            perhaps what `leading` adds.
        channels: of the sound.
        hop: samples.
    """
    batch, hops, _ = given.shape
    end = PARTS * channels * FILTER
    filters = ops.reshape(given[..., :end], (batch, hops * PARTS, channels, FILTER))
    filters = held(filters, hop // PARTS)
    if given.shape[-1] == end:
        return filters
    lead = ops.reshape(given[..., end:], (batch, hops, channels, -1))
    excitation = ops.swapaxes(lead[..., -hop:], 2, 3)
    excitation = ops.reshape(excitation, (batch, hops * hop, channels, 1))
    return ops.concatenate([filters, held(lead[..., :-hop], hop), excitation], axis=-1)


def companded(x: Any) -> Any:
    """Returns amplitudes companded by mu-law, 255; 1.5 at most before it."""
    magnitude = ops.minimum(ops.absolute(x), 1.5)
    return ops.sign(x) * ops.log1p(255.0 * magnitude) / np.log(256.0).astype("float32")
