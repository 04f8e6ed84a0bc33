"""What moments of the recordings are like: how loud, how noisy, how lively, of what colour.

Measured once when a training begins and kept in the model file, so that whoever draws from the
model can choose what is most like the music, and tell when it has left it (see `take`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from wavegen import moment
from wavegen.dataset import Dataset
from wavegen.score import flatness

SECONDS = 0.5  # of a stretch
STRETCHES = 2000  # measured, at most, evenly from all recordings
LOUDER_DB = 6.0  # than the recordings ever are: a runaway
SOFTER_DB = 20.0  # than their softest stretches: dead air, if it lasts
DEAD_SECONDS = 1.5  # that it lasts
CLIPPED = 0.02  # share of samples at full scale
WHITE = 0.56  # `score.flatness` of half a second of noise, whatever its colour
EARLIER = 9  # seconds: a moment's level is compared with the level up to so long before
LEVEL_SECONDS = 4.0  # over which that is measured
RIDGE = 0.02  # of a feature's variance, added to it: no two features are the same


@dataclass(frozen=True)
class Climate:
    """Levels in dB under full scale, of stretches of half a second of the training part."""

    DEAD: ClassVar[str] = "dead air"

    softest_db: float  # one in twenty is softer
    loudest_db: float
    flatness: float  # greatest, of those louder than the softest; 0 tones .. 0.56 noise
    clipped: float  # greatest share of samples at full scale
    top_db: float  # power of the loudest band (`moment.mel_power`)
    usual: tuple[float, ...]  # mean of the features of moments
    precision: tuple[float, ...]  # inverse of their covariance, row after row

    @classmethod
    def of(cls, dataset: Dataset) -> Climate:
        """Returns the climate of a dataset's training part."""
        rate = dataset.sample_rate
        size = max(1, round(SECONDS * rate))
        starts = [
            (recording, at)
            for recording, start, stop in dataset.segments("train")
            for at in range(start, max(stop - size, start) + 1, size)
        ]
        stride = -(-len(starts) // STRETCHES)
        levels, flatnesses, clipped, tops = [], [], [], [-120.0]
        for recording, at in starts[::stride]:  # one at a time: memory does not grow
            cut = dataset.signal(recording, at, at + size)
            levels.append(level_db(cut))
            flatnesses.append(flatness(cut))
            clipped.append(float(np.mean(np.abs(cut) > 0.999)))
            if cut.shape[1] == size:
                tops.append(float(moment.decibels(moment.mel_power(cut[None], rate)).max()))
        softest = float(np.quantile(levels, 0.05))
        heard = [f for f, level in zip(flatnesses, levels, strict=True) if level > softest]
        rows = list(described(dataset, max(tops)))
        width = moment.count(dataset.channels)
        if not rows:  # too short to have moments
            rows = [np.zeros(width)]
        spread = np.cov(np.array(rows).T) if len(rows) > 1 else np.zeros((width, width))
        spread = spread + np.diag(RIDGE * np.diag(spread) + 1e-2)
        return cls(
            softest,
            max(levels),
            max(heard, default=0.0),
            max(clipped),
            max(tops),
            tuple(np.mean(rows, axis=0).tolist()),
            tuple(np.linalg.inv(spread).ravel().tolist()),
        )

    @classmethod
    def from_facts(cls, facts: Any) -> Climate | None:
        """Returns the climate that a model file's facts hold; None if they hold none."""
        found: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            value: Any = facts.get(field.name) if isinstance(facts, dict) else None
            many = field.name in ("usual", "precision")
            if isinstance(value, (list, tuple)) != many:
                return None
            values = np.ravel(value).tolist() if many else [value]
            if not all(isinstance(v, (int, float)) for v in values):
                return None
            found[field.name] = tuple(map(float, values)) if many else float(values[0])
        return cls(**found) if len(found["usual"]) ** 2 == len(found["precision"]) else None

    def strangeness(self, sound: np.ndarray, sample_rate: int, aim_db: np.ndarray) -> np.ndarray:
        """Returns `(rows,)`: how unlike the recordings' moments the last moment is.

        It is the squared Mahalanobis distance over the number of features: in the music 1 on the
        average.

        Args:
            sound: `(rows, channels, samples)`, of `moment.SHARE` moments.
            sample_rate: of the sound, Hz.
            aim_db: `(rows,)`, the level that the music had of late.
        """
        found = moment.features(sound, sample_rate, aim_db, self.top_db) - np.array(self.usual)
        precision = np.array(self.precision).reshape(found.shape[1], -1)
        return np.einsum("ri,ij,rj->r", found, precision, found) / found.shape[1]

    def complaint(self, sound: np.ndarray, sample_rate: int) -> str:
        """Returns in a few words what is wrong with the end of a sound, or "".

        Args:
            sound: `(channels, samples)`, of half a second or more.
            sample_rate: of the sound, Hz.
        """
        last = sound[:, -round(SECONDS * sample_rate) :]
        level, long = level_db(last), sound[:, -round(DEAD_SECONDS * sample_rate) :]
        if level > self.loudest_db + LOUDER_DB:
            return "runaway"
        if float(np.mean(np.abs(last) > 0.999)) > self.clipped + CLIPPED:
            return "clipping"
        if long.shape[1] == round(DEAD_SECONDS * sample_rate) and self.is_dead(long):
            return self.DEAD
        if level > self.softest_db and flatness(last) > (self.flatness + WHITE) / 2:
            return "noise"
        return ""

    def is_dead(self, sound: np.ndarray) -> bool:
        """Returns whether three parts of a sound are each softer than the recordings ever are."""
        parts = np.array_split(sound, 3, axis=1)
        return max(level_db(part) for part in parts) < self.softest_db - SOFTER_DB


def described(dataset: Dataset, top_db: float) -> Any:
    """Yields the features of moments of the training part, `STRETCHES` at most."""
    rate = dataset.sample_rate
    size = round(moment.SECONDS * rate)
    ends = [
        (recording, start, at + moment.SHARE * size)
        for recording, start, stop in dataset.segments("train")
        for at in range(start, stop - moment.SHARE * size, size)
    ]
    stride = max(1, -(-len(ends) // STRETCHES))
    for index, (recording, start, end) in enumerate(ends[::stride]):
        sound = dataset.signal(recording, end - moment.SHARE * size, end)
        # Music wanders: what its level should be is known from a while ago, as when it is drawn.
        until = max(start + size, end - size - index % EARLIER * rate)
        earlier = dataset.signal(recording, max(start, until - round(LEVEL_SECONDS * rate)), until)
        aim = max(level_db(earlier), top_db - moment.RANGE_DB)
        yield moment.features(sound[None], rate, np.array([aim]), top_db)[0]


def level_db(signal: np.ndarray) -> float:
    """Returns the RMS level in dB under full scale, -120 at least; of no samples too."""
    power = float(np.mean(np.square(signal, dtype=np.float64))) if signal.size else 0.0
    return 10 * float(np.log10(power + 1e-12))
