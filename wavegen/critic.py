"""How likely sounds are under a model, moment by moment, beside its baselines.

Needs no Keras where a fast engine judges, so that it can follow a drawing at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavegen import audio, heldout
from wavegen.checkpoint import ModelFile, part_of
from wavegen.codec import codec_of
from wavegen.score import Score

MOMENT_SECONDS = 0.05


@dataclass(frozen=True)
class Sound:
    """What is to be shown.

    Attributes:
        path: of the file.
        caption: how it was made.
        title: what it is called; "" is the name of the file.
        split: seconds at which a seed ends and the drawn part begins; 0 where all is drawn.
        choosable: whether it may be kept or discarded.
    """

    path: Path
    caption: str = ""
    split: float = 0.0
    choosable: bool = True
    title: str = ""


@dataclass(frozen=True)
class Judged:
    """A sound with its likelihood under the model."""

    sound: Sound
    signal: np.ndarray  # (channels, samples) at the model's rate
    costs: np.ndarray  # of moments, (moments,)
    scores: list[Score]  # of the drawn part, the model's first


class Critic:
    """Judges sounds by one model and its baselines."""

    def __init__(self, file: ModelFile, engine: Any) -> None:
        """Takes a model file and an engine that draws from it.

        Args:
            file: with the baselines of its recordings.
            engine: of `engines.make`.
        """
        self.engine, self.config = engine, file.config
        arrays = part_of(file.tensors, "baselines/")
        self.yardsticks = heldout.Yardsticks.from_arrays(file.config, arrays) if arrays else None
        self.unit = heldout.Yardsticks(file.config, None).unit

    def __call__(self, sound: Sound) -> Judged:
        """Returns a sound with its likelihood.

        Raises:
            AudioError: it cannot be read.
        """
        rate, hop = self.config.sample_rate, self.config.frame_samples
        signal, _ = audio.read(sound.path, sample_rate=rate, channels=self.config.channels)
        frames = heldout.frames_of(codec_of(self.config), np.pad(signal, ((0, 0), (0, hop))))
        plain = self.yardsticks or heldout.Yardsticks(self.config, None)
        # A frame that hears beyond the end hears a jump into silence that is not in the sound.
        costs = plain.cost(heldout.nats(self.engine, self.config, frames))[
            : max(1, signal.shape[1] // hop - 1)
        ]
        filled = np.append(costs, costs[-1:])
        count = max(1, min(len(filled), round(signal.shape[1] / rate / MOMENT_SECONDS)))
        moments = np.array([part.mean() for part in np.array_split(filled, count)])
        first = min(round(sound.split * rate) // hop, len(costs) - 1)  # of the drawn part
        others = self.yardsticks.values(frames) if self.yardsticks else {}
        own = {"model": costs[first:]}
        known = {name: value[: len(costs)][first:] for name, value in others.items()}
        return Judged(sound, signal, moments, heldout.table(plain, own, known))
