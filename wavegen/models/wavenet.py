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
from wavegen.models.ending import Ending
from wavegen.models.predictor import AdaptivePredictor, companded, given_filters


class WaveNet(Ending, keras.Model):
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
                config.scale_pole,
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

    def map_pasts(self, function: Callable, state: Any) -> Any:
        """Returns the state with `function(past)` in the place of each convolution's past."""
        blocks, predictor = state
        return tuple(function(past) for past in blocks), predictor

    def call(self, x: Any, given: Any = None) -> Any:
        """Returns `step(x, initial_state, given)[0]`."""
        return self.step(x, self.initial_state(x.shape[0]), given)[0]

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

    def start_from(self, baselines: Any, pieces: Any) -> None:
        """Takes over the linear predictor that was fitted on the recordings.

        Args:
            baselines: a `baselines.SampleBaselines`.
            pieces: not used.
        """
        if self.predictor:
            self.predictor.start_from(baselines)
