"""WaveNet: a dilated causal CNN that draws a wave sample by sample.

Gated residual blocks, a skip sum and two 1x1 layers, after van den Oord et al. 2016
(arXiv:1609.03499, sections 2.1-2.4), before a mixture of logistics over 16-bit samples or a softmax
over mu-law levels. By default they start from an adaptive linear predictor, an idea of LPCNet
(Valin & Skoglund 2019, arXiv:1810.11846), so that an untrained network already knows what linear
prediction knows. Of two channels what is called left is their mean, and right their difference,
unless the codec leaves them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen import mixed
from wavegen.codec import codec_of
from wavegen.config import WaveNetConfig
from wavegen.models import blocks, heads
from wavegen.models.blocks import GatedBlock, in_lines
from wavegen.models.predictor import AdaptivePredictor, companded, given_filters


class WaveNet(keras.Model):
    """The family `wavenet`; a frame is one sample, int32 levels `(batch, time, channels)`.

    `step` returns, per channel, the activations before the last layer and the predictor's mean and
    scale, 0 and 1 where there is no predictor, and of two channels their coupling, or 0: `(batch,
    time, channels * (post_channels + 2) + channels - 1)`. From it the head has its distribution,
    the right channel's given the left sample drawn before.
    """

    family = "wavenet"
    unit = "bits per sample"
    slack = 0.0  # by how much more than the best a kept model may cost

    def __init__(self, config: WaveNetConfig, **kwargs: Any) -> None:
        """Builds the network for a configuration that `wavegen.config.build` has checked."""
        super().__init__(name=self.family, **kwargs)
        self.config = config
        codec: Any = codec_of(config)
        self._values = np.asarray(codec.values, "float32")
        self._edges = np.asarray(codec.edges, "float32")
        # A narrower one is trained faster in float32, as a whole (measured on a CPU).
        self.mixes = min(config.residual_channels, config.gate_channels) >= 32
        self.softmax, self.fine = config.head == "softmax", 1  # levels in a step of 16 bits
        residual, post, channels = config.residual_channels, config.post_channels, config.channels
        self.embeddings = [
            keras.layers.Embedding(config.levels, residual, name=f"embedding_{c}")
            for c in range(channels if self.softmax else 0)
        ]
        self.scalars = keras.layers.Dense(residual, name="scalars")
        self.blocks = [
            GatedBlock(config.gate_channels, residual, config.kernel_size, d, name=f"block_{i}")
            for i, d in enumerate(config.dilations)
        ]
        self.conditions: Any = None
        if config.condition_bands:
            # The last layer is zero at first: an untrained model plays as one without conditions.
            gates = 2 * config.gate_channels * len(self.blocks)
            self.conditions = [
                keras.layers.Dense(config.condition_units, activation="tanh", name="conditions"),
                keras.layers.Dense(gates, kernel_initializer="zeros", name="conditioning"),
            ]
        # One product over all gates is the sum of a skip product a block.
        self.skip = keras.layers.Dense(config.skip_channels, name="skip")
        self.post = keras.layers.Dense(channels * post, name="post")
        self.given_left: Any = None
        if channels > 1 and self.softmax:
            self.given_left = keras.layers.Embedding(config.levels, post, name="given_left")
        elif channels > 1:
            self.given_left = keras.layers.Dense(post, name="given_left")
        first = "zeros" if config.predictor_order else "glorot_uniform"
        self.outputs_ = [
            keras.layers.Dense(config.outputs, kernel_initializer=first, name=f"output_{c}")
            for c in range(channels)
        ]
        self.predictor = None
        if config.predictor_order:
            self.predictor = AdaptivePredictor(
                config.predictor_order,
                config.predictor_hop,
                config.predictor_memory * config.sample_rate,
                channels,
                conditioned=bool(config.condition_bands),
                name="predictor",
            )
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight; the shapes all follow from the configuration."""
        config, channels, post = self.config, self.config.channels, self.config.post_channels
        for embedding in self.embeddings:
            embedding.build((1, 1))
        known = (6 if config.condition_bands else 5) if self.predictor else 1
        self.scalars.build((1, 1, known * channels))
        for block in self.blocks:
            block.build((1, 1, config.residual_channels))
        if self.conditions:
            self.conditions[0].build((1, 1, channels * (config.condition_bands + 1)))
            self.conditions[1].build((1, 1, config.condition_units))
        self.skip.build((1, 1, len(self.blocks) * config.gate_channels))
        self.post.build((1, 1, config.skip_channels))
        if self.given_left:
            self.given_left.build((1, 1) if self.softmax else (1, 1, 2))
        for output in self.outputs_:
            output.build((1, 1, post))
            if not self.softmax:
                output.bias.assign(heads.first_bias(config))
        if self.predictor:
            self.predictor.build((1, 1, channels))
        self.built = True

    def initial_state(self, batch_size: int) -> Any:
        """Returns the state after endless silence: (a past per block, the predictor's state)."""
        blocks = tuple(block.initial_state(batch_size) for block in self.blocks)
        return blocks, self.predictor.initial_state(batch_size) if self.predictor else ()

    def step(self, x: Any, state: Any, given: Any = None) -> tuple[Any, Any]:
        """Returns what the head needs for the sample after each of `x`, and the next state.

        Args:
            x: int32 `(batch, time, channels)`, levels; of a conditioned model whole hops.
            state: of `initial_state` or an earlier step.
            given: of a conditioned model, float32 `(batch, hops + 1, ...)`: of `bands.Bands`, at
                the first sample to be drawn, after every hop, and after the last.
        """
        return self.steered(x, state, self.steering(given))

    def steering(self, given: Any) -> Any:
        """Returns what a model that is given something takes of it, sample by sample.

        Returns:
            what each block adds to its convolution, `(batch, time, 2 * gate)`, and last the filters
            of `AdaptivePredictor.step`. Nothing of a model without conditions.
        """
        if not self.conditions:
            return ()
        assert given is not None, "a conditioned model has to be given something"
        hop = self.config.condition_hop
        features = self.config.channels * (self.config.condition_bands + 1)
        first, second = self.conditions
        knots = ops.split(second(first(given[..., :features])), len(self.blocks), axis=-1)
        filters = given_filters(given[:, :-1, features:], self.config.channels, hop)
        return *(in_lines(knot, hop) for knot in knots), filters

    def steered(self, x: Any, state: Any, steering: Any) -> tuple[Any, Any]:
        """Returns what `step` does, of any number of samples, with `steering` of as many."""
        pasts, predictor = state
        *biases, filters = steering or [None] * (len(self.blocks) + 1)
        heard, mean, scale, coupling, predictor = mixed.fused(self.foretold)(x, predictor, filters)
        h: Any = self.scalars(heard)
        for c, embedding in enumerate(self.embeddings):
            h = h + embedding(x[..., c])
        parts, gates, following = (h,), [], []
        for block, past, bias in zip(self.blocks, pasts, biases, strict=True):
            parts, gated, past = block.step(parts, past, bias)
            gates.append(gated)
            following.append(past)
        skip = mixed.product(ops.concatenate(gates, axis=-1), self.skip.kernel)
        post = mixed.product(blocks.rectified(skip, self.skip.bias), self.post.kernel)
        y = blocks.beside(post, self.post.bias, mean, scale, coupling[..., 1:])
        return y, (tuple(following), predictor)

    def foretold(self, x: Any, state: Any, filters: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Returns what the network hears of samples, and of the predictor its expectation.

        Args:
            x: int32 `(batch, time, channels)`, levels.
            state: of the predictor.
            filters: of `AdaptivePredictor.step`, or None.

        Returns:
            features `(batch, time, ...)`, mean, scale and coupling `(batch, time, channels)`, and
            the predictor's next state.
        """
        samples = self.amplitude(x)  # (batch, time, channels)
        if not self.predictor:
            nothing = ops.zeros_like(samples)
            return companded(samples), nothing, ops.ones_like(samples), nothing, state
        found = self.predictor.step(samples, state, filters)
        mean, scale, coupling, surprise, size, state = found
        heard = self.predictor.features(samples, mean, scale, surprise, size)
        return heard, mean, scale, coupling, state

    def amplitude(self, levels: Any) -> Any:
        """Returns what int32 levels stand for, linear amplitude."""
        return (
            ops.take(self._values, levels) if self.softmax else heads.amplitude(levels, self.fine)
        )

    def map_pasts(self, function: Callable, state: Any) -> Any:
        """Returns the state with `function(past)` in the place of each convolution's past."""
        blocks, predictor = state
        return tuple(function(past) for past in blocks), predictor

    def call(self, x: Any, given: Any = None) -> Any:
        """Returns `step(x, initial_state, given)[0]`."""
        return self.step(x, self.initial_state(x.shape[0]), given)[0]

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

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **_: Any
    ) -> Any:
        """Returns the mean negative log-likelihood in nats per sample.

        Args:
            x: not used.
            y: int32 `(batch, time, channels)`, the samples that follow.
            y_pred: output of `step`.
            sample_weight: `(batch, time)`, 0 where a frame does not count.
        """
        nats = -ops.mean(self.log_prob(y_pred, y), axis=-1)
        return ops.sum(nats * sample_weight) / ops.maximum(ops.sum(sample_weight), 1.0)

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

    def start_from(self, baselines: Any, pieces: Any) -> None:
        """Takes over the linear predictor that was fitted on the recordings.

        Args:
            baselines: a `baselines.SampleBaselines`.
            pieces: not used.
        """
        if self.predictor:
            self.predictor.start_from(baselines)
