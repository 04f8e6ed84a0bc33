"""Listening samples during training: what the model plays beside the music it continues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from wavegen import __version__, audio, score
from wavegen.bands import bands_of
from wavegen.checkpoint import Run
from wavegen.cli.display import Console
from wavegen.climate import Climate
from wavegen.dataset import Dataset
from wavegen.rendering import Instrument
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
        parts = [seed]
        for block in self.blocks(model, climate, seed, rest):
            self.check()
            parts.append(block[0])
        heard = np.concatenate(parts, axis=1)
        told = f"drawn at step {step} of training after {self.split / self.rate:g} s of music.wav"
        path = self.write(f"step-{step:06d}", heard, told)
        drawn = heard[:, self.split :]
        found = score.collapse(drawn, rest if rest.shape[1] > self.rate else seed, self.rate)
        self.console.note(f"listen: {path}" + (f"  ({'; '.join(found)})" if found else ""))

    def blocks(
        self, model: Any, climate: Climate, seed: np.ndarray, rest: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Yields what a model plays after the seed; a conditioned one by the bands of the music."""
        if bands_of(model.config):
            instrument = Instrument(model, climate=climate)
            yield from instrument.play([rest[None]], seed, follow=0.0)
            return
        sampler = Sampler(model, climate=climate)
        skip = sampler.codec.delay_samples  # the stream begins so long before the seed's end
        for block in sampler.stream(sampler.listen(seed), self.seconds, rng_seed=0):
            yield block[..., min(skip, block.shape[-1]) :]
            skip -= min(skip, block.shape[-1])

    def write(self, name: str, signal: np.ndarray, comment: str = "") -> Any:
        """Writes one sample into the run's folder, replacing an older one of that name."""
        path = self.run.samples / f"{name}.wav"
        texts = {"software": f"wavegen {__version__}", "comment": comment}
        return audio.write(path, signal, self.rate, metadata=texts, force=True)
