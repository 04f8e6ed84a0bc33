"""Continue a seed: prime a model on its sound, draw what follows, decode it block by block.

A model file and a fast engine need no Keras here: the first sound is there at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavegen import engines
from wavegen.bands import bands_of
from wavegen.breath import breath
from wavegen.climate import Climate, level_db
from wavegen.codec import codec_of
from wavegen.errors import UsageError
from wavegen.guard import Guard, default_candidates
from wavegen.limiting import limited, reach_of
from wavegen.take import BLOCK_SECONDS, Take

LEVEL_SECONDS = 10.0  # of a seed's end whose level a take keeps to


@dataclass(frozen=True)
class Heard:
    """What is left of a seed after listening: a value that can be answered many times."""

    session: Any  # of the engine, one row
    decoding: Any  # the codec's decoder, in the middle of the seed's last frames
    position: int  # frames drawn since the seed ended
    level_db: float  # RMS of the seed's end, under full scale
    sound: np.ndarray  # (channels, samples), that end, as far as the decoder has come
    climate: Climate | None = None  # of what follows such a seed; None if that is not known


class Sampler:
    """Draws sound from one model with one engine."""

    def __init__(
        self,
        model: Any,
        engine: str | None = None,
        precision: str | None = None,
        climate: Climate | None = None,
        sustain: float | None = None,
    ) -> None:
        """Takes a snapshot of the model.

        Args:
            model: a `checkpoint.ModelFile`, or a Keras model of any family.
            engine: "numba" or "reference"; None takes the fastest that runs the family.
            precision: of the weights while drawing; None is the engine's default.
            climate: of the recordings, for the guard; None is the model file's.
            sustain: how much longer than when it learned a WaveNet's linear predictor remembers;
                None is the family's.

        Raises:
            UsageError: no such engine or precision, a model that has to be given something, or a
                sustain for one that has no predictor.
        """
        if bands_of(model.config):
            raise UsageError(
                "this model plays what it is given, not on by itself; use: python -m wavegen "
                "render SOUND.wav, or train a duet"
            )
        self.config, self.controls = model.config, model.config.controls
        self.codec = codec_of(model.config)
        self.sustain = model.config.sustain if sustain is None else sustain
        drawing = model.config.sustained(self.sustain)
        self.engine = engines.make(model, engine, precision, drawing)
        self.climate = climate or Climate.of_model(model)

    def warm_up(self) -> None:
        """Compiles the engine, once on a machine."""
        self.engine.warm_up()

    def log_prob(self, frames: np.ndarray) -> np.ndarray:
        """Returns the log-probability of all frames `(time, features)` but the first, nats."""
        return self.engine.log_prob(frames)

    def listen(self, seed: np.ndarray, seconds: float | None = None) -> Heard:
        """Returns what the model remembers of a seed.

        Args:
            seed: float32 `(channels, samples)` at the model's sample rate; shorter than what is
                listened to, it is preceded by silence. One that is digital silence, or empty, is
                taken for a breath of noise (`breath`) if the climate is known.
            seconds: how much of its end to listen to; by default what the model can make use of.
        """
        if self.climate and not np.any(seed):
            seed = breath(self.climate, self.config.sample_rate, self.config.channels)
        hop = self.codec.frame_samples
        samples = self.config.receptive_field + self.config.sample_rate // 16
        if seconds is not None:
            samples = max(1, round(seconds * self.config.sample_rate))
        frames = max(2, -(-samples // hop))
        tail = seed[:, -frames * hop :] if seed.shape[1] else seed
        tail = np.pad(tail, [(0, 0), (frames * hop - tail.shape[1], 0)]).astype("float32")
        encoded, _ = self.codec.encode_step(tail, self.codec.encode_initial())
        _, decoding = self.codec.decode_step(encoded, self.codec.decode_initial())
        end = seed[:, -round(LEVEL_SECONDS * self.config.sample_rate) :]
        level = level_db(end[:, np.any(end != 0, axis=0)])
        end = end[:, : max(0, end.shape[1] - self.codec.delay_samples)]
        climate = self.climate and self.climate.near(end, self.config.sample_rate, level)
        return Heard(self.engine.prime(encoded[None]), decoding, 0, level, end, climate)

    def check_controls(self, given: dict[str, Any]) -> dict[str, Any]:
        """Returns the controls with defaults; raises UsageError for one the family lacks."""
        for name in given:
            if name not in self.controls:
                known = ", ".join(self.controls)
                raise UsageError(f"this model has no {name.replace('_', '-')}; it has {known}")
        return {**self.controls, **given}

    def stream(
        self,
        heard: Heard,
        seconds: float,
        *,
        count: int = 1,
        rng_seed: int = 0,
        first_variation: int = 0,
        block_seconds: float = BLOCK_SECONDS,
        guard: bool = True,
        candidates: int | None = None,
        ends: Sequence[float] = (),
        tell: Callable[[int, float, str], None] = lambda variation, second, what: None,
        **controls: Any,
    ) -> Iterator[np.ndarray]:
        """Yields blocks `(count, channels, samples)` of continuations, `seconds` long in all.

        Memory does not grow, however long. For a spectral model the first blocks begin
        `codec.delay_samples` before the seed's end, where the last frames of the seed and the first
        drawn ones overlap.

        Args:
            heard: of `listen`.
            seconds: length of the continuation, >= 0.
            count: number of variations.
            rng_seed: with the variation's number it decides all chance.
            first_variation: number of the first variation.
            block_seconds: length of a block; it does not change the sound.
            guard: choose, hold the seed's level, and draw again what has left the music (see
                `guard`), for which drawing runs ahead, in the end by a second. Without it the model
                is left alone.
            candidates: ways to go on of which the guard keeps the one most like the recordings;
                by default as many as one core draws in real time, 2 .. 8.
            ends: seconds at which the continuation once ended before it was played on: what lies
                before is what it was then, even where the guard would by now draw it again.
            tell: is told the variation, the second and the reason when something is drawn again.
            **controls: e.g. temperature=0.9; a sequence gives one per variation.
        """
        settings = self.check_controls(controls)
        rate, delay = self.config.sample_rate, self.codec.delay_samples
        known = delay + reach_of(rate)
        rows = range(first_variation, first_variation + count)
        take = Take(self, heard, rows, rng_seed, settings, held=guard)
        blocks, *firm = [take.blocks(round(end * rate) + known) for end in (seconds, *ends)]
        if guard and heard.climate:
            candidates = candidates or default_candidates(self.config)
            parts = Guard(take, heard.climate, candidates, tell).blocks(blocks, firm)
        else:
            parts = take.plain(blocks)
        size = max(1, round(block_seconds * rate))
        yield from in_blocks(limited(parts, rate), size, round(seconds * rate) + delay)

    def generate(self, seed: np.ndarray, seconds: float, **options: Any) -> np.ndarray:
        """Returns continuations `(count, channels, samples)` without the seed, whole.

        Args:
            seed: float32 `(channels, samples)` at the model's sample rate.
            seconds: length of the continuation.
            **options: of `stream`.
        """
        blocks = list(self.stream(self.listen(seed), seconds, **options))
        return np.concatenate(blocks, axis=-1)[..., self.codec.delay_samples :]


def in_blocks(parts: Iterable[np.ndarray], size: int, wanted: int) -> Iterator[np.ndarray]:
    """Yields a sound in blocks of `size` samples until so many are there; the last may be shorter.

    Args:
        parts: `(count, channels, samples)` of any lengths, together as many samples or more.
        size: of a block, >= 1.
        wanted: samples in all, >= 0.
    """
    ready: Any = None
    for part in parts:
        ready = part if ready is None else np.concatenate([ready, part], axis=-1)
        while min(wanted, ready.shape[-1]) >= min(size, wanted) > 0:
            yield ready[..., : min(size, wanted)]
            ready, wanted = ready[..., size:], wanted - min(size, wanted)
        if not wanted:
            return
