"""Spectral LSTM: a stateful LSTM over STFT frames that predicts a density over the next frame.

What stands over the LSTM is its head: `codes` (`composer`), which plays on; `student_t` and `mse`
(`resonator`), the baselines it is measured against.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen.config import SpectralLSTMConfig
from wavegen.models.composer import Composer
from wavegen.models.resonator import Resonator


class SpectralLSTM(keras.Model):
    """The family `spectral_lstm`; a frame is one hop, float32 `(batch, time, channels * n_fft)`.

    Frames are laid out [channel][real/imaginary][coefficient]; with the head `codes` a label
    follows, the code that a frame was drawn as.
    """

    family = "spectral_lstm"
    settling = 0
    unit = "nats per coefficient"
    mixes = False  # its products are not of `mixed`

    def __init__(self, config: SpectralLSTMConfig, **kwargs: Any) -> None:
        """Builds the network for a configuration that `wavegen.config.build` has checked."""
        super().__init__(name=self.family, **kwargs)
        self.config = config
        # A code is a thousandth of a frame: what happens next is still being learned when the
        # likelihood of all has long been as good as it gets.
        self.slack = 0.1 if config.head == "codes" else 0.0
        kind = Composer if config.head == "codes" else Resonator
        self.head = kind(config, name=config.head)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight; the shapes all follow from the configuration."""
        self.head.build()
        self.built = True

    def start_from(self, baselines: Any, pieces: Iterable[np.ndarray]) -> None:
        """Takes over what the head wants to know of the recordings before it learns.

        Args:
            baselines: not used.
            pieces: float32 `(frames, channels * n_fft)` of contiguous frames each.
        """
        self.head.start_from(pieces)

    def initial_state(self, batch_size: int) -> Any:
        """Returns the head's state after endless silence."""
        return self.head.initial_state(batch_size)

    def step(self, x: Any, state: Any, disturbed: Any = None) -> tuple[Any, Any]:
        """Returns what `log_prob` and `draw` want to know after each frame, and the next state.

        Args:
            x: float32 `(batch, time, channels * n_fft)`.
            state: of `initial_state` or an earlier step.
            disturbed: in training, a `feed.Disturbed`.
        """
        return self.head.step(x, state, disturbed)

    def call(self, x: Any) -> Any:
        """Returns `step(x, initial_state)[0]`."""
        return self.step(x, self.initial_state(x.shape[0]))[0]

    def log_prob(self, y: Any, following: Any) -> Any:
        """Returns the log-density, nats per complex coefficient, `(batch, time, 1)`.

        Args:
            y: output of `step`.
            following: `(batch, time, features)`, the frame after each.
        """
        return self.head.log_prob(y, following)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **_: Any
    ) -> Any:
        """Returns the mean loss per complex coefficient: negative log-density, or squared error.

        Args:
            x: not used.
            y: `(batch, time, features)`, the frames that follow.
            y_pred: output of `step`.
            sample_weight: `(batch, time)`, 0 where a frame does not count.
        """
        loss = self.head.loss(y_pred, y)
        return ops.sum(loss * sample_weight) / ops.maximum(ops.sum(sample_weight), 1.0)

    def draw(self, y: Any, noise: Any, **controls: Any) -> Any:
        """Returns the next frame `(batch, 1, channels * n_fft)`, drawn by inverse CDF.

        Args:
            y: output of `step` for one frame.
            noise: `(batch, 1, *config.noise_shape)`, uniforms in [0, 1) but for `config.normals`.
            **controls: of `config.controls`.
        """
        return self.head.draw(y, noise, **controls)
