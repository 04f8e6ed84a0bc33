"""What moments of the recordings are like: how loud, how noisy, how lively, of what colour.

Measured once when a training begins and kept in the model file, so that whoever draws from the
model can choose what is most like the music, and tell when it has left it (see `take`). A seed says
more: what its own moments are like lasts, and by how much is measured too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
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
SPAN = 64  # moments in a row that are measured together, about 15 s
SEED, SHORTEST = 14, 5  # moments that count as a seed: at most, and where there are so many
MANY = ("usual", "doubt", "precision")  # fields of more than one number
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
    doubt: tuple[float, ...]  # how many moments of a seed say as much as all recordings do
    precision: tuple[float, ...]  # inverse covariance of what a seed leaves open, row after row

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
        lasting = usual_moments(list(described(dataset, max(tops))), dataset.channels)
        return cls(softest, max(levels), max(heard, default=0.0), max(clipped), max(tops), *lasting)

    @classmethod
    def of_model(cls, model: Any) -> Climate | None:
        """Returns the climate that a model file holds; None of a Keras model, which holds none."""
        return cls.from_facts(getattr(model, "extra", {}).get("climate"), model.config.channels)

    @classmethod
    def from_facts(cls, facts: Any, channels: int) -> Climate | None:
        """Returns the climate that a model file's facts hold; None if they hold none of such sound.

        Args:
            facts: anything that JSON can hold.
            channels: of the model.
        """
        found: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            value: Any = facts.get(field.name) if isinstance(facts, dict) else None
            many = field.name in MANY
            if isinstance(value, (list, tuple)) != many:
                return None
            values = value if many else [value]
            most = 1e15 if many else 1e3
            if not all(isinstance(v, (int, float)) and abs(v) <= most for v in values):
                return None
            found[field.name] = tuple(map(float, values)) if many else float(values[0])
        sizes, size = [len(found[name]) for name in MANY], moment.count(channels)
        return cls(**found) if sizes == [size, size, size**2] else None

    def near(self, sound: np.ndarray, sample_rate: int, aim_db: float) -> Climate:
        """Returns what moments are like after a seed: in between it and all recordings.

        Args:
            sound: `(channels, samples)`, the seed's end.
            sample_rate: of the sound, Hz.
            aim_db: its level.
        """
        found = moment.in_a_row(sound, sample_rate, self.top_db)
        if not len(found):
            return self
        found[:, moment.LEVEL] -= max(aim_db, self.top_db - moment.RANGE_DB)
        usual = np.array(self.usual)
        share = len(found) / (len(found) + np.array(self.doubt))
        usual = usual + share * (found.mean(axis=0) - usual)
        return dataclasses.replace(self, usual=tuple(usual.tolist()))

    def strangeness(self, sound: np.ndarray, sample_rate: int, aim_db: np.ndarray) -> np.ndarray:
        """Returns `(rows,)`: how unlike the recordings' moments the last moment is.

        It is the squared Mahalanobis distance over the number of features: in the music 1 on the
        average, or less where its moments are much alike.

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


def described(dataset: Dataset, top_db: float) -> Iterator[np.ndarray]:
    """Yields features `(moments, features)` of stretches of the training part, `SPAN` moments each.

    They are spread evenly over all recordings, `STRETCHES` moments at most. Levels are absolute.
    """
    rate = dataset.sample_rate
    size = (SPAN + moment.SHARE - 1) * round(moment.SECONDS * rate)
    cuts = [
        (recording, at, min(at + size, stop))
        for recording, start, stop in dataset.segments("train")
        for at in range(start, stop, size)
    ]
    stride = max(1, -(-len(cuts) * SPAN // STRETCHES))
    for recording, start, stop in cuts[::stride]:
        yield moment.in_a_row(dataset.signal(recording, start, stop), rate, top_db)


def usual_moments(spans: list[np.ndarray], channels: int) -> tuple[tuple[float, ...], ...]:
    """Returns `usual`, `doubt` and `precision` of features of moments in a row.

    A moment is compared with the mean of a seed some time before it. By how much the one tells of
    the other (a regression for each feature) is how much of what moments have in common lasts.
    Where moments of the music hardly differ, those of a model differ from them, and all alike: to
    what is left of a feature belongs what even a good model misses it by.
    """
    width = moment.count(channels)
    now, before, lengths = [], [], []
    for span in spans:
        for i, row in enumerate(span):
            end = i - (37 * i) % max(1, 3 * len(span) // 4)  # some time, from none to 11 s
            end = max(end, SHORTEST)
            seed = span[max(0, end - SEED) : end]
            aim = np.zeros(width)
            aim[moment.LEVEL] = 10 * np.log10(np.mean(10 ** (seed[:, moment.LEVEL] / 10)))
            now.append(row - aim)
            before.append(seed.mean(axis=0) - aim)
            lengths.append(len(seed))
    if not now:  # too short to say
        return (0.0,) * width, (1e3,) * width, (0.0,) * width**2
    usual = np.mean(now, axis=0)
    off, told = now - usual, before - np.mean(before, axis=0)
    slope = np.clip((off * told).sum(axis=0) / (np.square(told).sum(axis=0) + 1e-6), 1e-3, 0.98)
    doubt = np.mean(lengths) * (1 / slope - 1)
    # Of few moments the variance of each feature is known, not what features have in common.
    left = off - slope * told
    own = np.maximum(np.square(left).mean(axis=0), np.concatenate(spans).var(axis=0) / len(left))
    few = width / (len(left) + width)
    spread = (1 - few) * (left.T @ left) / len(left) + few * np.diag(own)
    spread += np.diag(RIDGE * own + np.square(moment.MISSED[:width]))
    precision = np.linalg.inv(spread).ravel()
    return tuple(usual.tolist()), tuple(doubt.tolist()), tuple(precision.tolist())


def level_db(signal: np.ndarray) -> float:
    """Returns the RMS level in dB under full scale, -120 at least; of no samples too."""
    power = float(np.mean(np.square(signal, dtype=np.float64))) if signal.size else 0.0
    return 10 * float(np.log10(power + 1e-12))
