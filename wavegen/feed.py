"""From recordings to what one training step takes: cut, augment, encode, one batch ahead.

A batch is a pure function of the step's number, so a run's place in its data is that number.
"""

from __future__ import annotations

import functools
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from wavegen import batches
from wavegen.bands import FILTER, PARTS, SPAN_DB, bands_of
from wavegen.codec import codec_of
from wavegen.dataset import Dataset
from wavegen.framing import left_and_right
from wavegen.train_settings import TrainSettings

ROW = 7  # steps that a stream goes on for, at least, before its state is lost
SLIPS = 1.5  # noise in what a conditioned WaveNet hears, in innovations, at most
JITTER_DB = 4.0  # of the bands that condition a WaveNet, at most
NOISE_DB = (-60.0, -8.0)  # of what a frame's band has, in each of real and imaginary part


class Disturbed(NamedTuple):
    """What a spectral LSTM has to bear in training, so that it does not learn by heart."""

    codes: np.ndarray  # int32 (batch, window): codes to hear instead, -1 for the true one
    masks: np.ndarray  # float32 (layers + 1, batch, 1, units): dropout, the same along a window
    noise: np.ndarray  # float32 (batch, window + 1, 2, coefficients), of their bands' RMS


class Feed(NamedTuple):
    """One step's input."""

    frames: np.ndarray  # (batch, window + 1, features)
    valid: np.ndarray  # float32 (batch, window): 1 where a predicted frame counts
    reset: np.ndarray  # bool (batch,): rows that begin from silence
    disturbed: Disturbed | None  # where the model learns to bear it
    given: np.ndarray | None = None  # float32 (batch, hops + 1, ...), of `bands`
    heard: np.ndarray | None = None  # frames (batch, window, features) to hear instead, if any


def feed(dataset: Dataset, config: Any, settings: TrainSettings, step: int) -> Feed:
    """Returns the input of one step.

    Args:
        dataset: the recordings, at the model's rate and channels.
        config: of the model.
        settings: batch, window, augmentation and seed.
        step: the step's number, >= 0.
    """
    codec, bands = codec_of(config), bands_of(config)
    reach = bands.reach if bands else 0
    augment = batches.Augment(settings.gain_db, settings.polarity, settings.channel_swap)
    cut = batches.streams(
        dataset,
        step,
        batch=settings.batch,
        length=settings.window,
        frame_samples=codec.frame_samples,
        context=codec.delay_samples + reach,
        seed=settings.rng_seed,
        augment=augment,
        ahead=reach,
        least=ROW,
    )
    given = heard = None
    if bands:  # the first knot is at the first sample to be predicted
        given = bands.given(jittered(bands.levels(cut.signal[..., 1:]), settings, step))
    inner = cut.signal[..., reach : cut.signal.shape[-1] - reach]
    past, body = np.split(inner, [codec.delay_samples], axis=-1)
    state = codec.encode_initial((settings.batch,), frame=cut.frame, past=past)
    frames, _ = codec.encode_step(body, state)
    valid = cut.valid.astype("float32")
    if given is not None:  # as inexact as what it will draw itself: within what it is given
        noise = slips(given, config.channels, settings, step)
        inexact = body + (left_and_right(noise) if codec.turned else noise)
        heard = codec.encode_step(inexact, state)[0][:, :-1]
    return Feed(frames, valid, cut.reset, disturbed(config, settings, step), given, heard)


def slips(given: np.ndarray, channels: int, settings: TrainSettings, step: int) -> np.ndarray:
    """Returns noise `(batch, channels, window + 1)` of the size of the given innovation.

    LPCNet's cure for a network that has to live with its own samples (Valin & Skoglund 2019,
    arXiv:1810.11846); by what is given, and not by what was heard, the noise is bounded.
    """
    rng = batches.generator(settings.rng_seed, "slips", step)
    filters = given[:, :-1].shape[1] * PARTS
    rows = given[:, :-1, -PARTS * channels * FILTER :].reshape(
        len(given), filters, channels, FILTER
    )
    innovation = np.repeat(rows[..., 0], settings.window // filters, axis=1)  # (batch, window, ...)
    innovation = np.pad(np.swapaxes(innovation, 1, 2), [(0, 0), (0, 0), (0, 1)], mode="edge")
    much = SLIPS * rng.random((len(given), 1, 1)) ** 2  # most rows nearly exact
    return (much * innovation * rng.standard_normal(innovation.shape)).astype("float32")


def jittered(levels: np.ndarray, settings: TrainSettings, step: int) -> np.ndarray:
    """Returns levels as inexact as a drawn sound's are, some rows more than others."""
    rng = batches.generator(settings.rng_seed, "jitter", step)
    much = rng.uniform(0.0, JITTER_DB / SPAN_DB, (len(levels), 1, 1))
    return (levels + much * rng.standard_normal(levels.shape)).astype("float32")


def disturbed(config: Any, settings: TrainSettings, step: int) -> Disturbed | None:
    """Returns what disturbs one step; None for a model that knows no codes.

    Masks follow Gal and Ghahramani 2016 (arXiv:1512.05287): one for all frames of a window.
    """
    if config.head != "codes":
        return None
    rng = batches.generator(settings.rng_seed, "disturb", step)
    shape = (settings.batch, settings.window)
    slips = rng.random(shape) < settings.slips
    codes = np.where(slips, rng.integers(0, config.codes, shape), -1).astype("int32")
    kept = rng.random((config.layers + 1, settings.batch, 1, config.units)) >= settings.dropout
    coefficients = config.channels * config.n_fft // 2
    loudness_db = rng.uniform(*NOISE_DB, (settings.batch, settings.window + 1, 1, 1))
    table = normals()
    start = int(rng.integers(len(table)))
    size = (settings.batch, settings.window + 1, 2, coefficients)
    noise = np.resize(np.roll(table, start), size) * (10 ** (loudness_db / 20)).astype("float32")
    masks = (kept / (1 - settings.dropout)).astype("float32")
    return Disturbed(codes, masks, noise)


@functools.cache
def normals() -> np.ndarray:
    """Returns a million normally distributed numbers: to draw them anew each step takes long."""
    return batches.generator(0, "disturb", 0).standard_normal(2**20).astype("float32")


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
