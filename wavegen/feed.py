"""From recordings to what one training step takes: cut, augment, encode, one batch ahead.

A batch is a pure function of the step's number, so a run's place in its data is that number.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from wavegen import batches
from wavegen.codec import codec_of
from wavegen.config import TrainSettings
from wavegen.dataset import Dataset


class Feed(NamedTuple):
    """One step's input."""

    frames: np.ndarray  # (batch, window + 1, features)
    valid: np.ndarray  # float32 (batch, window): 1 where a predicted frame counts
    reset: np.ndarray  # bool (batch,): rows that begin from silence


def feed(dataset: Dataset, config: Any, settings: TrainSettings, step: int) -> Feed:
    """Returns the input of one step.

    Args:
        dataset: the recordings, at the model's rate and channels.
        config: of the model.
        settings: batch, window, augmentation and seed.
        step: the step's number, >= 0.
    """
    codec = codec_of(config)
    augment = batches.Augment(settings.gain_db, settings.polarity, settings.channel_swap)
    cut = batches.streams(
        dataset,
        step,
        batch=settings.batch,
        length=settings.window,
        frame_samples=codec.frame_samples,
        context=codec.delay_samples,
        seed=settings.rng_seed,
        augment=augment,
    )
    past, body = np.split(cut.signal, [codec.delay_samples], axis=-1)
    state = codec.encode_initial((settings.batch,), frame=cut.frame, past=past)
    frames, _ = codec.encode_step(body, state)
    return Feed(frames, cut.valid.astype("float32"), cut.reset)


class Prefetch:
    """Makes the next step's input in a thread while the present one is computed."""

    def __init__(self, dataset: Dataset, config: Any, settings: TrainSettings) -> None:
        """Takes `feed`'s arguments but for the step."""
        self.arguments = (dataset, config, settings)
        self.pool = ThreadPoolExecutor(1)
        self.ahead: tuple[int, Future] | None = None

    def __call__(self, step: int) -> Feed:
        """Returns `feed(..., step)`."""
        if self.ahead is None or self.ahead[0] != step:
            self.ahead = (step, self.pool.submit(feed, *self.arguments, step))
        found = self.ahead[1].result()
        self.ahead = (step + 1, self.pool.submit(feed, *self.arguments, step + 1))
        return found

    def close(self) -> None:
        """Ends the thread."""
        self.pool.shutdown(wait=True, cancel_futures=True)
