"""What half seconds of the recordings are like: how loud, how soft, how noisy they ever get.

Measured once when a training begins and kept in the model file, so that whoever draws from the
model can tell when it has left the music (see `take`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from wavegen.dataset import Dataset
from wavegen.score import flatness

SECONDS = 0.5  # of a stretch
STRETCHES = 2000  # measured, at most, evenly from all recordings
LOUDER_DB = 6.0  # than the recordings ever are: a runaway
SOFTER_DB = 20.0  # than their softest stretches: dead air, if it lasts
DEAD_CHUNKS = 3  # judged together, one and a half seconds
CLIPPED = 0.02  # share of samples at full scale
WHITE = 0.56  # `flatness` of half a second of noise, whatever its colour


@dataclass(frozen=True)
class Climate:
    """Levels in dB under full scale, of stretches of half a second of the training part."""

    DEAD: ClassVar[str] = "dead air"

    softest_db: float  # one in twenty is softer
    loudest_db: float
    flatness: float  # greatest, of those louder than the softest; 0 tones .. 0.56 noise
    clipped: float  # greatest share of samples at full scale

    @classmethod
    def of(cls, dataset: Dataset) -> Climate:
        """Returns the climate of a dataset's training part."""
        size = max(1, round(SECONDS * dataset.sample_rate))
        starts = [
            (recording, at)
            for recording, start, stop in dataset.segments("train")
            for at in range(start, max(stop - size, start) + 1, size)
        ]
        stride = -(-len(starts) // STRETCHES)
        levels, flatnesses, clipped = [], [], []
        for recording, at in starts[::stride]:  # one at a time: memory does not grow
            cut = dataset.signal(recording, at, at + size)
            levels.append(level_db(cut))
            flatnesses.append(flatness(cut))
            clipped.append(float(np.mean(np.abs(cut) > 0.999)))
        softest = float(np.quantile(levels, 0.05))
        heard = [f for f, level in zip(flatnesses, levels, strict=True) if level > softest]
        return cls(softest, max(levels), max(heard, default=0.0), max(clipped))

    @classmethod
    def from_facts(cls, facts: Any) -> Climate | None:
        """Returns the climate that a model file's facts hold; None if they hold none."""
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(facts, dict) or not all(
            isinstance(facts.get(name), (int, float)) for name in names
        ):
            return None
        return cls(**{name: float(facts[name]) for name in names})

    def complaint(self, chunks: list[np.ndarray], sample_rate: int) -> str:
        """Returns in a few words what is wrong with the last of some stretches, or "".

        Args:
            chunks: `(channels, samples)` each, of half a second, in time order.
            sample_rate: of the sound, Hz.
        """
        last, levels = chunks[-1], [level_db(chunk) for chunk in chunks[-DEAD_CHUNKS:]]
        if levels[-1] > self.loudest_db + LOUDER_DB:
            return "runaway"
        if float(np.mean(np.abs(last) > 0.999)) > self.clipped + CLIPPED:
            return "clipping"
        if len(levels) == DEAD_CHUNKS and max(levels) < self.softest_db - SOFTER_DB:
            return self.DEAD
        if levels[-1] > self.softest_db and flatness(last) > (self.flatness + WHITE) / 2:
            return "noise"
        return ""


def level_db(signal: np.ndarray) -> float:
    """Returns the RMS level in dB under full scale, -120 at least; of no samples too."""
    power = float(np.mean(np.square(signal, dtype=np.float64))) if signal.size else 0.0
    return 10 * float(np.log10(power + 1e-12))
