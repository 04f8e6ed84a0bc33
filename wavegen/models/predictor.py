"""A linear predictor that follows the sound: what a WaveNet starts from.

A fixed filter fitted on the recordings whitens the sound, a second one, fitted anew every few
milliseconds to what was just heard, predicts what is left (`linear_prediction`). The error is
taken to be logistic, with a scale proportional to a running mean of recent errors.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen.models.linear_prediction import Following
from wavegen.streaming import one_pole

WHITENING = 32  # taps of the fixed filter
POLE = 0.97  # of the running mean of errors: a memory of about 33 samples


class AdaptivePredictor(keras.layers.Layer):
    """Mean and scale of the next sample of each channel, from that channel's own past."""

    def __init__(self, order: int, hop: int, memory: float, channels: int, **kwargs: Any) -> None:
        """Makes a predictor.

        Args:
            order: coefficients of the filter that follows, >= 1.
            hop: samples from fit to fit.
            memory: samples ago that a fit looks at most.
            channels: each by itself.
            **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.channels = channels
        self.following = Following(order, hop, memory)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights; only the coupling of the channels is trained by gradient."""
        fixed = {"trainable": False, "initializer": "zeros"}
        self.whitening = self.add_weight(shape=(WHITENING,), name="whitening", **fixed)
        # ratio of scale to mean error, least scale, greatest scale
        self.bounds = self.add_weight(shape=(3,), name="bounds", **fixed)
        self.bounds.assign([0.6, 1e-4, 1.0])
        self.coupling = self.add_weight(shape=(), initializer="zeros", name="coupling")

    def start_from(self, baselines: Any) -> None:
        """Takes coefficients and scale constants from fitted `baselines.SampleBaselines`."""
        self.whitening.assign(np.asarray(baselines.coefficients, "float32"))
        bounds = [baselines.scale_ratio, baselines.scale_floor, baselines.scale_ceiling]
        self.bounds.assign(np.asarray(bounds, "float32"))

    def initial_state(self, batch_size: int) -> Any:
        """Returns (last samples, their prediction, mean error, what follows), after silence."""
        one = ops.zeros((batch_size, 1, self.channels))
        past = ops.zeros((batch_size, WHITENING, self.channels))
        return past, one, one, self.following.initial_state(batch_size, self.channels)

    def step(self, samples: Any, state: Any) -> tuple[Any, Any, Any, Any]:
        """Returns mean and scale of each next sample, the surprise of each, and the state.

        Args:
            samples: `(batch, time, channels)`, linear amplitude.
            state: (last samples, prediction of the first of `samples`, mean error, what follows).

        Returns:
            mean, scale and surprise `(batch, time, channels)`: the surprise of a sample is by how
            much it missed its prediction, in linear amplitude.
        """
        past, predicted, error, following = state
        time = samples.shape[1]
        heard = ops.concatenate([past, samples], axis=1)
        fixed = sum(
            self.whitening[k] * heard[:, WHITENING - 1 - k : WHITENING - k + time]
            for k in range(WHITENING)
        )  # (batch, time + 1, channels): fixed[t] is of sample t
        rest, following = self.following.step(samples - fixed[:, :-1], following)
        mean = fixed[:, 1:] + rest
        # The state's prediction belongs to the first sample, mean[t] to sample t + 1.
        surprise = samples - ops.concatenate([predicted, mean[:, :-1]], axis=1)
        error = one_pole(ops.absolute(surprise), error, POLE)
        scale = ops.clip(self.bounds[0] * error, self.bounds[1], self.bounds[2])
        return mean, scale, surprise, (heard[:, time:], mean[:, -1:], error[:, -1:], following)

    def features(self, samples: Any, mean: Any, scale: Any, surprise: Any) -> Any:
        """Returns `(batch, time, 5 * channels)` in about [-1, 1]: what the network hears.

        They are sample and prediction, companded by mu-law; the scale's logarithm; the step from
        sample to prediction and the latest surprise, in scales, squeezed.
        """
        loud = ops.log(scale / self.bounds[1]) / 4.0 - 1.0
        step = ops.tanh((mean - samples) / (8.0 * scale))
        strange = ops.arcsinh(surprise / scale) / 2.0
        return ops.concatenate([companded(samples), companded(mean), loud, step, strange], axis=-1)


def companded(x: Any) -> Any:
    """Returns amplitudes companded by mu-law, 255; 1.5 at most before it."""
    magnitude = ops.minimum(ops.absolute(x), 1.5)
    return ops.sign(x) * ops.log1p(255.0 * magnitude) / np.log(256.0).astype("float32")
