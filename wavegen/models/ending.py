"""What a WaveNet ends in: from what its `step` returns to the distribution of the next sample.

A softmax over mu-law levels or a mixture over 16 bits (`heads`), either of which starts from what
the predictor expects; of two channels the second's is given the first's sample of the instant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from wavegen import mixed
from wavegen.config import WaveNetConfig
from wavegen.models import heads


class Ending:
    """The methods of a `WaveNet` that its last layers are of; the layers are the model's own."""

    config: WaveNetConfig
    softmax: bool
    fine: int  # levels in a step of 16 bits
    given_left: Any
    outputs_: list[Any]
    predictor: Any
    _values: np.ndarray
    _edges: np.ndarray

    def amplitude(self, levels: Any) -> Any:
        """Returns what int32 levels stand for, linear amplitude."""
        return (
            ops.take(self._values, levels) if self.softmax else heads.amplitude(levels, self.fine)
        )

    def last_layer(self, y: Any, channel: int, left: Any) -> tuple[Any, Any, Any]:
        """Returns the last layer's outputs for a channel, and the predictor's mean and scale.

        Args:
            y: output of `step`.
            channel: 0 (mono or left) or 1 (right).
            left: int32 `(batch, time)`, the left sample of the same instant, for channel 1.
        """
        hidden, mean, scale = mixed.fused(self.before_last)(y, channel, left)
        output = self.outputs_[channel]
        out = mixed.wide(mixed.product(hidden, output.kernel)) + output.bias
        return heads.shifted(out, self.config), mean, scale

    def before_last(self, y: Any, channel: int, left: Any) -> tuple[Any, Any, Any]:
        """Returns what `last_layer` does, but the last layer's inputs instead of its outputs."""
        channels, post = self.config.channels, self.config.post_channels
        hidden = y[..., channel * post : (channel + 1) * post]
        at = channels * post + channel
        mean, scale = y[..., at : at + 1], y[..., at + channels : at + channels + 1]
        if channel:
            surprise = self.amplitude(left)[..., None] - y[..., at - 1 : at]
            if self.softmax:
                hidden = hidden + self.given_left(left)
            else:
                ratios = [y[..., at + channels - 1 : at + channels], scale]
                heard = [ops.arcsinh(surprise / ratio) / 2.0 for ratio in ratios]
                hidden = hidden + self.given_left(ops.concatenate(heard, axis=-1))
            mean = mean + y[..., -1:] * surprise  # what surprised on the left does so on the right
        return mixed.narrow(ops.relu(hidden)), mean, scale

    def channel_logits(self, y: Any, channel: int, left: Any = None) -> Any:
        """Returns softmax logits `(batch, time, levels)` of one channel; see `last_layer`."""
        return self.logits(*self.last_layer(y, channel, left))

    def logits(self, out: Any, mean: Any, scale: Any) -> Any:
        """Returns the softmax logits of what `last_layer` returned."""
        if not self.predictor:
            return out[..., : self.config.levels]
        return heads.anchored_logits(out, self._edges, mean, scale)

    def distributions(self, y: Any, following: Any) -> Any:
        """Returns the distribution's parameters of the samples `following` each frame.

        They are what engines are compared by: logits of the levels, or log-weights, means and
        scales of the mixture, in this order; means and scales in units of the predictor's scale.

        Args:
            y: output of `step`.
            following: int32 `(batch, time, channels)`; only the left channel is looked at, for the
                right one's distribution.

        Returns:
            `(batch, time, channels, levels or 3 * mixtures)`.
        """
        found, left = [], following[..., 0]
        for c in range(self.config.channels):
            if self.softmax:
                found.append(self.channel_logits(y, c, left))
            else:
                found.append(heads.mixture_in_units(*self.last_layer(y, c, left)))
        return ops.stack(found, axis=-2)

    def log_prob(self, y: Any, following: Any) -> Any:
        """Returns the log-probability in nats `(batch, time, channels)` of the next samples."""
        found, left = [], following[..., 0]
        for c in range(self.config.channels):
            found.append(mixed.fused(self.nats)(*self.last_layer(y, c, left), following[..., c]))
        return ops.stack(found, axis=-1)

    def nats(self, out: Any, mean: Any, scale: Any, levels: Any) -> Any:
        """Returns the log-probability in nats `(batch, time)` of levels, by `last_layer`."""
        if self.softmax:
            logits = self.logits(out, mean, scale)
            return -ops.sparse_categorical_crossentropy(levels, logits, from_logits=True)
        return heads.mixture_log_prob(heads.mixture(out, mean, scale), levels, self.fine)

    def draw(self, y: Any, noise: Any, temperature: Any = 1.0, top_p: Any = 1.0) -> Any:
        """Returns the next frame, int32 `(batch, 1, channels)`, drawn by inverse CDF.

        Args:
            y: output of `step` for one frame, `(batch, 1, features)`.
            noise: uniforms in [0, 1), `(batch, 1, channels)`.
            temperature: divides the logits, or multiplies the mixture's scales; 0 takes the
                likeliest level, or the middle of the weightiest component.
            top_p: in (0, 1]; levels beyond this share of the probability are left out (Holtzman
                et al. 2020, arXiv:1904.09751), or the tails of the mixture's components.
        """
        drawn: list[Any] = []
        for c in range(self.config.channels):
            left = drawn[0] if c else None
            if self.softmax:
                logits = self.channel_logits(y, c, left)
                level = heads.draw_level(logits, noise[..., c], temperature, top_p)
            else:
                parts = heads.mixture(*self.last_layer(y, c, left))
                level = heads.draw_mixture(parts, noise[..., c], temperature, top_p, self.fine)
            drawn.append(level)
        return ops.stack(drawn, axis=-1)
