"""Listening samples during training: what the model plays beside the music it continues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wavegen import __version__, audio, score
from wavegen.checkpoint import Run
from wavegen.cli.display import Console
from wavegen.climate import Climate
from wavegen.dataset import Dataset
from wavegen.sampling import Sampler

SEED_SECONDS = 2.0


class Listener:
    """Continues one fixed held-out moment again and again, so that the ear can follow the run."""

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        seconds: float,
        console: Console,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Chooses the moment: the end of the first second pair of the longest held-out part.

        Args:
            run: whose folder the samples go to.
            dataset: the recordings.
            seconds: length of what is drawn.
            console: to say where it is.
            check: called before every block; what it raises ends the drawing.
        """
        self.run, self.seconds, self.console, self.check = run, seconds, console, check
        part = "heldout" if dataset.seconds("heldout") else "train"
        index, start, stop = max(dataset.segments(part), key=lambda s: s[2] - s[1])
        rate = dataset.sample_rate
        self.split = min(round(SEED_SECONDS * rate), (stop - start) // 2)
        self.music = dataset.signal(
            index, start, min(stop, start + self.split + round(seconds * rate))
        )
        self.rate = rate

    def __call__(self, model: Any, step: int, climate: Climate) -> None:
        """Draws and writes `samples/step-NNNNNN.wav`; the first time also `samples/music.wav`."""
        self.write("music", self.music)
        seed, rest = self.music[:, : self.split], self.music[:, self.split :]
        sampler, blocks = Sampler(model, climate=climate), [seed[None, :, :0]]
        for block in sampler.stream(sampler.listen(seed), self.seconds, rng_seed=0):
            self.check()
            blocks.append(block)
        drawn = np.concatenate(blocks, axis=-1)[0, :, sampler.codec.delay_samples :]
        told = f"drawn at step {step} of training after {self.split / self.rate:g} s of music.wav"
        path = self.write(f"step-{step:06d}", np.concatenate([seed, drawn], axis=1), told)
        found = score.collapse(drawn, rest if rest.shape[1] > self.rate else seed, self.rate)
        self.console.note(f"listen: {path}" + (f"  ({'; '.join(found)})" if found else ""))

    def write(self, name: str, signal: np.ndarray, comment: str = "") -> Any:
        """Writes one sample into the run's folder, replacing an older one of that name."""
        path = self.run.samples / f"{name}.wav"
        texts = {"software": f"wavegen {__version__}", "comment": comment}
        return audio.write(path, signal, self.rate, metadata=texts, force=True)
