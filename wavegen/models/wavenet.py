"""WaveNet: a dilated causal CNN that draws a wave sample by sample.

Gated residual blocks, a skip sum and two 1x1 layers before a softmax over mu-law levels, after van
den Oord et al. 2016 (arXiv:1609.03499, sections 2.1-2.4). By default its logits are added to the
log-probabilities of an adaptive linear predictor, an idea of LPCNet (Valin & Skoglund 2019,
arXiv:1810.11846), so that an untrained network already knows what linear prediction knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen.codec import codec_of
from wavegen.config import WaveNetConfig
from wavegen.models.predictor import AdaptivePredictor, logistic_log_prob
from wavegen.streaming import CausalConv1D


class GatedBlock(keras.layers.Layer):
    """tanh times sigmoid of a dilated convolution, and the residual way around it."""

    def __init__(self, gate: int, residual: int, kernel_size: int, dilation: int, **kwargs: Any):
        """Makes one block; `gate` and `residual` are widths, `dilation` is in samples."""
        super().__init__(**kwargs)
        self.gate = gate
        self.conv = CausalConv1D(2 * gate, kernel_size, dilation, name="dilated")
        self.residual = keras.layers.Dense(residual, name="residual")

    def build(self, input_shape: tuple) -> None:
        """Builds both parts for `(batch, time, residual)`."""
        self.conv.build(input_shape)
        self.residual.build((*input_shape[:-1], self.gate))

    def initial_state(self, batch_size: int) -> Any:
        """Returns the convolution's silent past."""
        return self.conv.initial_state(batch_size)

    def step(self, x: Any, state: Any) -> tuple[Any, Any, Any]:
        """Returns (next block's input, gated output `(batch, time, gate)`, next state)."""
        z, state = self.conv.step(x, state)
        gated = ops.tanh(z[..., : self.gate]) * ops.sigmoid(z[..., self.gate :])
        return x + self.residual(gated), gated, state


class WaveNet(keras.Model):
    """The family `wavenet`; a frame is one sample, int32 mu-law levels `(batch, time, channels)`.

    `step` returns, per channel, the activations before the last layer and, where there is one, the
    predictor's mean and scale: `(batch, time, channels * (post_channels + 2))`. `logits` turns them
    into a distribution, the right channel's given the left sample that was drawn just before it.
    """

    family = "wavenet"
    carries_state = False  # trained on random windows that silence precedes
    settling = 256  # samples at a window's start, before the predictor knows the level: not counted
    unit = "bits per sample"

    def __init__(self, config: WaveNetConfig, **kwargs: Any) -> None:
        """Builds the network for a configuration that `wavegen.config.build` has checked."""
        super().__init__(name=self.family, **kwargs)
        self.config = config
        codec: Any = codec_of(config)
        self._values = np.asarray(codec.values, "float32")
        self._edges = np.asarray(codec.edges, "float32")
        residual, post, channels = config.residual_channels, config.post_channels, config.channels
        self.embeddings = [
            keras.layers.Embedding(config.levels, residual, name=f"embedding_{c}")
            for c in range(channels)
        ]
        self.scalars = keras.layers.Dense(residual, name="scalars")
        self.blocks = [
            GatedBlock(config.gate_channels, residual, config.kernel_size, d, name=f"block_{i}")
            for i, d in enumerate(config.dilations)
        ]
        # One product over all gates is the sum of a skip product a block.
        self.skip = keras.layers.Dense(config.skip_channels, name="skip")
        self.post = keras.layers.Dense(channels * post, name="post")
        self.given_left = keras.layers.Embedding(config.levels, post, name="given_left")
        first = "zeros" if config.predictor_order else "glorot_uniform"
        self.outputs_ = [
            keras.layers.Dense(config.levels + 2, kernel_initializer=first, name=f"output_{c}")
            for c in range(channels)
        ]
        self.predictor = None
        if config.predictor_order:
            self.predictor = AdaptivePredictor(config.predictor_order, channels, name="predictor")
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight; the shapes all follow from the configuration."""
        config = self.config
        channels, post = config.channels, config.post_channels
        for embedding in self.embeddings:
            embedding.build((1, 1))
        self.scalars.build((1, 1, (4 if self.predictor else 1) * channels))
        for block in self.blocks:
            block.build((1, 1, config.residual_channels))
        self.skip.build((1, 1, len(self.blocks) * config.gate_channels))
        self.post.build((1, 1, config.skip_channels))
        if channels > 1:
            self.given_left.build((1, 1))
        for output in self.outputs_:
            output.build((1, 1, post))
        if self.predictor:
            self.predictor.build((1, 1, channels))
        self.built = True

    def initial_state(self, batch_size: int) -> Any:
        """Returns the state after endless silence: (a past per block, the predictor's state)."""
        blocks = tuple(block.initial_state(batch_size) for block in self.blocks)
        return blocks, self.predictor.initial_state(batch_size) if self.predictor else ()

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """Returns what `logits` needs for the sample after each of `x`, and the next state.

        Args:
            x: int32 `(batch, time, channels)`, mu-law levels.
            state: of `initial_state` or an earlier step.
        """
        blocks, predictor = state
        samples = ops.take(self._values, x)  # (batch, time, channels), linear
        expected: list[Any] = []  # mean and scale of the next sample
        if self.predictor:
            mean, scale, predictor = self.predictor.step(samples, predictor)
            expected = [mean, scale]
            samples = self.predictor.features(samples, mean, scale)
        h = self.scalars(samples)
        for c, embedding in enumerate(self.embeddings):
            h = h + embedding(x[..., c])
        gates, following = [], []
        for block, past in zip(self.blocks, blocks, strict=True):
            h, gated, past = block.step(h, past)
            gates.append(gated)
            following.append(past)
        skip = ops.relu(self.skip(ops.concatenate(gates, axis=-1)))
        y = ops.concatenate([self.post(skip), *expected], axis=-1)
        return y, (tuple(following), predictor)

    def map_pasts(self, function: Callable, state: Any) -> Any:
        """Returns the state with `function(past)` in the place of each convolution's past."""
        blocks, predictor = state
        return tuple(function(past) for past in blocks), predictor

    def call(self, x: Any) -> Any:
        """Returns `step(x, initial_state)[0]`."""
        return self.step(x, self.initial_state(x.shape[0]))[0]

    def channel_logits(self, y: Any, channel: int, left: Any = None) -> Any:
        """Returns logits `(batch, time, levels)` of one channel's next sample.

        Args:
            y: output of `step`.
            channel: 0 (mono or left) or 1 (right).
            left: int32 `(batch, time)`, the left sample of the same instant, for channel 1.
        """
        config = self.config
        post, channels, levels = config.post_channels, config.channels, config.levels
        hidden = y[..., channel * post : (channel + 1) * post]
        if channel:
            hidden = hidden + self.given_left(left)
        out = self.outputs_[channel](ops.relu(hidden))
        logits = out[..., :levels]
        if not self.predictor:
            return logits
        at = channels * post + channel
        mean, scale = y[..., at : at + 1], y[..., at + channels : at + channels + 1]
        if channel:  # what surprised on the left surprises on the right
            surprise = ops.take(self._values, left)[..., None] - y[..., at - 1 : at]
            mean = mean + self.predictor.coupling * surprise
        mean = mean + scale * out[..., levels : levels + 1]
        scale = scale * ops.exp(ops.clip(out[..., levels + 1 :], -4.0, 4.0))
        return logits + logistic_log_prob(self._edges, mean, scale)

    def logits(self, y: Any, following: Any) -> Any:
        """Returns logits `(batch, time, channels, levels)` of the samples `following` each frame.

        Args:
            y: output of `step`.
            following: int32 `(batch, time, channels)`; only the left channel is looked at, for the
                right one's distribution.
        """
        channels = range(self.config.channels)
        left = following[..., 0]
        return ops.stack([self.channel_logits(y, c, left) for c in channels], axis=-2)

    def log_prob(self, y: Any, following: Any) -> Any:
        """Returns the log-probability in nats `(batch, time, channels)` of the next samples."""
        logits = self.logits(y, following)
        return -ops.sparse_categorical_crossentropy(following, logits, from_logits=True)

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
            temperature: divides the logits; 0 takes the likeliest level.
            top_p: in (0, 1]; levels beyond this share of the probability are left out (Holtzman
                et al. 2020, arXiv:1904.09751).
        """
        drawn: list[Any] = []
        for c in range(self.config.channels):
            logits = self.channel_logits(y, c, drawn[0] if c else None)
            drawn.append(draw_level(logits, noise[..., c], temperature, top_p))
        return ops.stack(drawn, axis=-1)

    def start_from(self, baselines: Any) -> None:
        """Takes over the linear predictor that was fitted on the recordings."""
        if self.predictor:
            self.predictor.start_from(baselines)


def draw_level(logits: Any, uniform: Any, temperature: Any, top_p: Any) -> Any:
    """Returns int32 levels `(...)` from logits `(..., levels)` and uniforms `(...)`."""
    likeliest = ops.cast(ops.argmax(logits, axis=-1), "int32")
    probability = ops.softmax(logits / ops.maximum(temperature, 1e-6), axis=-1)
    if not (isinstance(top_p, float) and top_p >= 1.0):
        ranked = ops.flip(ops.sort(probability, axis=-1), axis=-1)
        before = ops.cumsum(ranked, axis=-1) - ranked  # share of the likelier levels
        kept = ops.where(before < top_p, ranked, 2.0)
        floor = ops.min(kept, axis=-1, keepdims=True)
        probability = ops.where(probability >= floor, probability, 0.0)
    cumulative = ops.cumsum(probability, axis=-1)
    below = cumulative <= uniform[..., None] * cumulative[..., -1:]
    # Rounding may leave the last cumulative sum at the uniform: stay on a level that can occur.
    last = ops.max(ops.where(probability > 0, ops.arange(logits.shape[-1]), 0), axis=-1)
    level = ops.minimum(ops.sum(ops.cast(below, "int32"), axis=-1), ops.cast(last, "int32"))
    return ops.where(temperature > 0, level, likeliest)
