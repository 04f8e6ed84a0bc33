"""A linear predictor whose scale follows the moment: what a WaveNet starts from.

The next sample is a weighted sum of the last ones (Makhoul 1975, "Linear prediction: a tutorial
review"); its error is logistic with a scale proportional to a running mean of recent errors. State:
the last samples, the last prediction and that mean.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen.streaming import one_pole

FLOOR = -17.0  # nats: a level further out than this costs no more, so that no click costs all


def logistic_log_prob(edges: Any, mean: Any, scale: Any) -> Any:
    """Returns log-probabilities of a logistic density discretised on quantiser levels.

    With z = (edge - mean) / scale, log(F(b) - F(a)) = log F(b) + log F(-a) + log(1 - exp(a - b)) is
    exact in both tails (as in PixelCNN++, Salimans et al. 2017, arXiv:1701.05517, section 2.1).

    Args:
        edges: float32 `(levels - 1,)`, strictly increasing thresholds between levels.
        mean: `(..., 1)`, linear amplitude.
        scale: `(..., 1)`, > 0, linear amplitude.

    Returns:
        `(..., levels)`, not below `FLOOR`.
    """
    edges = np.asarray(edges)
    z = (edges - mean) / scale  # (..., levels - 1)
    above = ops.log_sigmoid(z)  # log F(z)
    beyond = above - z  # log F(-z)
    width = np.diff(edges) / scale
    inner = above[..., 1:] + beyond[..., :-1] + ops.log(-ops.expm1(-width))
    log_prob = ops.concatenate([above[..., :1], inner, beyond[..., -1:]], axis=-1)
    return ops.maximum(log_prob, FLOOR)


class AdaptivePredictor(keras.layers.Layer):
    """Mean and scale of the next sample of each channel, from that channel's own past."""

    def __init__(self, order: int, channels: int, **kwargs: Any) -> None:
        """Makes a predictor of `order` >= 1 taps."""
        super().__init__(**kwargs)
        self.order, self.channels = order, channels
        self.pole = 0.97

    def build(self, input_shape: tuple) -> None:
        """Makes the weights; only the coupling of the channels is trained by gradient."""
        fixed = {"trainable": False, "initializer": "zeros"}
        self.coefficients = self.add_weight(shape=(self.order,), name="taps", **fixed)
        # ratio of scale to mean error, least scale, greatest scale
        self.bounds = self.add_weight(shape=(3,), name="bounds", **fixed)
        self.bounds.assign([0.6, 1e-4, 1.0])
        self.coupling = self.add_weight(shape=(), initializer="zeros", name="coupling")

    def start_from(self, baselines: Any) -> None:
        """Takes coefficients and scale constants from fitted `baselines.SampleBaselines`."""
        self.coefficients.assign(np.asarray(baselines.coefficients, "float32"))
        bounds = [baselines.scale_ratio, baselines.scale_floor, baselines.scale_ceiling]
        self.bounds.assign(np.asarray(bounds, "float32"))

    def initial_state(self, batch_size: int) -> Any:
        """Returns (last samples, their prediction, mean error): zeros, as after silence."""
        one = ops.zeros((batch_size, 1, self.channels))
        return ops.zeros((batch_size, self.order, self.channels)), one, one

    def step(self, samples: Any, state: Any) -> tuple[Any, Any, Any]:
        """Returns mean and scale `(batch, time, channels)` of each next sample, and the state.

        Args:
            samples: `(batch, time, channels)`, linear amplitude.
            state: (last samples, prediction of the first of `samples`, mean error).
        """
        past, predicted, error = state
        order, time = self.order, samples.shape[1]
        heard = ops.concatenate([past, samples], axis=1)
        mean = sum(
            self.coefficients[k] * heard[:, order - k : order - k + time] for k in range(order)
        )
        # The state's prediction belongs to the first sample, mean[t] to sample t + 1.
        expected = ops.concatenate([predicted, mean[:, :-1]], axis=1)
        error = one_pole(ops.absolute(samples - expected), error, self.pole)
        scale = ops.clip(self.bounds[0] * error, self.bounds[1], self.bounds[2])
        return mean, scale, (heard[:, time:], mean[:, -1:], error[:, -1:])

    def features(self, samples: Any, mean: Any, scale: Any) -> Any:
        """Returns `(batch, time, 4 * channels)` in about [-1, 1]: what the network hears of it."""
        loud = ops.log(scale / self.bounds[1]) / 4.0 - 1.0
        step = ops.tanh((mean - samples) / (8.0 * scale))
        return ops.concatenate([samples, ops.clip(mean, -1.5, 1.5), loud, step], axis=-1)
