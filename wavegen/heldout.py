"""How likely sound is under a model, beside baselines fitted on the same recordings.

The same code validates a run and answers `wavegen score`: teacher-forced, the state carried on,
the first receptive field only warmed up on, model and baselines judged on the same frames.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from wavegen import score
from wavegen.bands import bands_of
from wavegen.baselines import SampleBaselines
from wavegen.codec import codec_of
from wavegen.config import WaveNetConfig
from wavegen.dataset import Dataset
from wavegen.errors import CheckpointError
from wavegen.frame_baselines import FrameBaselines

FIT_SAMPLES = 20_000_000  # of training sound that the baselines are fitted on, at most
PIECE_SECONDS = 60.0  # recordings are encoded piece by piece
SIXTEEN = "as 16-bit samples"  # a cost that models of any number of levels have in common
VALIDATION_SECONDS = 40.0  # of held-out sound judged during training


class Yardsticks:
    """The baselines of one model's codec, and how their figures are read."""

    def __init__(self, model_config: Any, baselines: Any) -> None:
        """Takes fitted baselines."""
        self.config, self.baselines = model_config, baselines
        self.samples = isinstance(model_config, WaveNetConfig)
        self.unit = "bits per sample" if self.samples else "nats per coefficient"

    @classmethod
    def fit(cls, codec: Any, model_config: Any, dataset: Dataset) -> Yardsticks:
        """Returns baselines fitted on the training part, evenly thinned out if it is very long."""
        pieces = encoded(codec, dataset, "train", FIT_SAMPLES / model_config.sample_rate)
        if isinstance(model_config, WaveNetConfig):
            return cls(model_config, SampleBaselines.fit(codec, pieces))
        return cls(model_config, FrameBaselines.fit(codec, pieces))

    @classmethod
    def from_arrays(cls, model_config: Any, arrays: dict[str, np.ndarray]) -> Yardsticks:
        """Returns the yardsticks that `to_arrays` gave away.

        Raises:
            CheckpointError: they are not of such a model.
        """
        samples, codec = isinstance(model_config, WaveNetConfig), codec_of(model_config)
        wanted = SampleBaselines.shapes(codec) if samples else FrameBaselines.shapes(codec)
        if {name: array.shape for name, array in arrays.items()} != wanted:
            raise CheckpointError("the model's baselines do not fit its codec; train it again")
        if samples:
            return cls(model_config, SampleBaselines.from_arrays(codec, arrays))
        return cls(model_config, FrameBaselines.from_arrays(arrays))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns what goes into the model file."""
        return self.baselines.to_arrays()

    def values(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Returns each baseline's cost of every frame but the first, `(time - 1,)`."""
        found = self.baselines.bits(frames) if self.samples else self.baselines.nats(frames)
        return {name: by_frame(value)[1:] for name, value in found.items()}

    def cost(self, log_prob: np.ndarray) -> np.ndarray:
        """Returns the model's cost per frame `(time - 1,)` from log-probabilities in nats."""
        return -by_frame(log_prob) / (math.log(2) if self.samples else 1.0)

    @property
    def block(self) -> int:
        """Frames in a quarter of a second: neighbours are not independent witnesses."""
        return max(1, round(0.25 * self.config.sample_rate / self.config.frame_samples))

    @property
    def warmup(self) -> int:
        """Frames at a piece's start that are heard but not counted."""
        if self.samples:
            return self.config.receptive_field
        return max(1, self.config.sample_rate // 2 // self.config.frame_samples)


class Judge:
    """Scores a model on the held-out part again and again as it learns."""

    def __init__(self, model: Any, yardsticks: Yardsticks, dataset: Dataset) -> None:
        """Takes a Keras model; encodes the held-out part, thinned out to `VALIDATION_SECONDS`."""
        from wavegen.engines.reference import Reference  # Keras; the yardsticks do without

        self.engine, self.yardsticks = Reference(model), yardsticks
        self.config = model.config
        codec = codec_of(model.config)
        self.pieces = list(encoded(codec, dataset, "heldout", VALIDATION_SECONDS))
        self.baselines = joined([counted(yardsticks, yardsticks.values(p)) for p in self.pieces])
        self.seconds = 0.0  # the last judgement took

    def __call__(
        self, params: list[Any], check: Callable[[], None] = lambda: None
    ) -> tuple[list[score.Score], str]:
        """Returns the scores, the model's first, and the verdict; no scores if nothing is held.

        Args:
            params: the model's.
            check: called before every piece; what it raises ends the judgement.
        """
        if not self.baselines:
            return [], "nothing is held out, so nothing can be said"
        began = time.monotonic()
        self.engine.params = params
        costs = []
        for piece in self.pieces:
            check()
            cost = {"model": self.yardsticks.cost(nats(self.engine, self.config, piece))}
            costs.append(counted(self.yardsticks, cost))
        model = joined(costs)
        self.seconds = time.monotonic() - began
        scores = table(self.yardsticks, model, self.baselines)
        return scores, verdict(self.yardsticks, model, self.baselines)


def judge_frames(
    judges: dict[str, Any], yardsticks: Yardsticks, pieces: Iterator[np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns the cost per counted frame of the model and of every baseline over all pieces.

    Beside the cost of a model of other levels stands what it would be if the samples had 16 bits
    (`SIXTEEN`), all of them in a level equally likely.

    Args:
        judges: name to engine: the model, and the same at other precisions.
        yardsticks: the model's.
        pieces: frames `(time, features)`, each heard from silence.
    """
    width_bits = codec_of(yardsticks.config).width_bits if yardsticks.samples else np.zeros(1)
    coarse = np.any(width_bits)
    model, others = [], []
    for piece in pieces:
        costs = {
            name: yardsticks.cost(nats(judge, yardsticks.config, piece))
            for name, judge in judges.items()
        }
        if coarse:
            costs[SIXTEEN] = next(iter(costs.values())) + by_frame(width_bits[piece])[1:]
        model.append(counted(yardsticks, costs))
        others.append(counted(yardsticks, yardsticks.values(piece)))
    return joined(model), joined(others)


def nats(judge: Any, config: Any, frames: np.ndarray, fine: int = 1) -> np.ndarray:
    """Returns an engine's log-probability of frames; a conditioned model is given their bands.

    Args:
        judge: an engine.
        config: of its model.
        frames: `(time, features)`, heard from silence.
        fine: levels of the engine in one of theirs.
    """
    bands = bands_of(config)
    if not bands:
        return judge.log_prob(frames)
    sound, _ = codec_of(config).decode_step(frames, ())
    return judge.log_prob(frames * fine, bands.along(sound))


def table(yardsticks: Yardsticks, model: dict, baselines: dict) -> list[score.Score]:
    """Returns the model's score first, then the baselines'."""
    return score.table(model, baselines, block=yardsticks.block, unit=yardsticks.unit)


def verdict(yardsticks: Yardsticks, model: dict, baselines: dict) -> str:
    """Returns what the figures mean, in one plain sentence."""
    return score.verdict(model, baselines, yardsticks.block)


def losses(yardsticks: Yardsticks, costs: dict[str, np.ndarray]) -> list[score.Score]:
    """Returns by how much each further judge of the model does worse than the first."""
    first, *others = costs
    return [
        score.Score(
            name,
            *score.gain(costs[first], costs[name], block=yardsticks.block),
            len(costs[name]),
            yardsticks.unit,
        )
        for name in others
    ]


def encoded(codec: Any, dataset: Dataset, part: str, seconds: float) -> Iterator[np.ndarray]:
    """Yields frames `(time, features)` of pieces of a part, `seconds` in all at most.

    Pieces are evenly spread over every recording when not all of it fits.
    """
    total = dataset.seconds(part)
    share = min(1.0, seconds / total) if total else 0.0
    longest = round(PIECE_SECONDS * dataset.sample_rate)
    for recording, start, stop in dataset.segments(part):
        count = max(1, -(-(stop - start) // longest))
        edges = np.linspace(start, stop, count + 1).astype(int)
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            end = first + max(1, round((last - first) * share))
            yield frames_of(codec, dataset.signal(recording, int(first), int(end)))


def frames_of(codec: Any, signal: np.ndarray) -> np.ndarray:
    """Returns frames of a signal; its end is filled up with silence to a whole frame."""
    short = -signal.shape[-1] % codec.frame_samples
    padded = np.pad(signal, [(0, 0), (0, short)])
    return codec.encode_step(padded, codec.encode_initial())[0]


def by_frame(values: np.ndarray) -> np.ndarray:
    """Returns the mean over channels, `(time,)`."""
    return values if values.ndim == 1 else values.mean(axis=-1)


def counted(yardsticks: Yardsticks, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the values after the warm-up; a piece shorter than that counts its second half."""
    return {
        name: value[min(yardsticks.warmup, len(value) // 2) :] for name, value in values.items()
    }


def joined(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns the same keys over all rows, joined in time."""
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]} if rows else {}
