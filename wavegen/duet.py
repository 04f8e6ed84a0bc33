"""Two models as one instrument: an LSTM composes, a WaveNet plays what it composed.

The renderer is given the bands (`bands`) of what the composer makes, some hops ahead, is led by its
wave (`leading`), and draws what is heard. Both have heard the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavegen.codec import codec_of
from wavegen.duet_config import DUET, PARTS, DuetConfig
from wavegen.heldout import nats
from wavegen.modelfile import ModelFile, part_of_duet, read_model, save_model
from wavegen.rendering import Instrument, Listened
from wavegen.sampling import Heard, Sampler, in_blocks
from wavegen.take import BLOCK_SECONDS

OWN_CHANCE = 1 << 52  # where the renderer's uniforms begin, far beyond any the composer takes


class HeardByBoth(NamedTuple):
    """What is left of a seed after listening."""

    composer: Heard
    renderer: Listened


class Duet:
    """Draws as a `Sampler` does, from both models of a file."""

    def __init__(
        self,
        file: ModelFile,
        engine: str | None = None,
        precision: str | None = None,
        sustain: float | None = None,
    ) -> None:
        """Takes a snapshot of both models.

        Args:
            file: of the family "duet".
            engine: "numba" or "reference"; None takes the fastest.
            precision: of the weights while drawing; None is the engine's default.
            sustain: of the renderer, see `Instrument`; None is the family's.

        Raises:
            UsageError: no such engine or precision.
        """
        self.config, self.controls = file.config, file.config.controls
        self.sustain = file.config.sustain if sustain is None else sustain
        self.composer = Sampler(part_of_duet(file, "composer"), engine, precision)
        renderer = part_of_duet(file, "renderer")
        self.renderer = Instrument(renderer, engine, precision, sustain=self.sustain)
        self.engine, self.codec = self.renderer.engine, codec_of(file.config.renderer)
        self.climate = self.composer.climate
        self.check_controls = self.composer.check_controls

    def warm_up(self) -> None:
        """Compiles both engines, once on a machine."""
        self.composer.engine.warm_up()
        self.renderer.engine.warm_up()

    def log_prob(self, frames: np.ndarray) -> np.ndarray:
        """Returns the renderer's log-probability of all samples but the first, nats."""
        return nats(self.engine, self.config.renderer, frames, self.renderer.codec.fine)

    def listen(self, seed: np.ndarray, seconds: float | None = None) -> HeardByBoth:
        """Returns what both remember of a seed; see `Sampler.listen`."""
        sound = np.asarray(seed, np.float32)
        return HeardByBoth(self.composer.listen(seed, seconds), self.renderer.listen(sound))

    def stream(
        self,
        heard: HeardByBoth,
        seconds: float,
        *,
        count: int = 1,
        rng_seed: int = 0,
        first_variation: int = 0,
        block_seconds: float = BLOCK_SECONDS,
        noisiness: Any = None,
        guard: bool = True,
        candidates: int | None = None,
        ends: Sequence[float] = (),
        **options: Any,
    ) -> Iterator[np.ndarray]:
        """Yields blocks `(count, channels, samples)` of continuations, `seconds` long in all.

        Args:
            heard: of `listen`.
            seconds: length of the continuation, >= 0.
            count: number of variations.
            rng_seed: with the variation's number it decides all chance.
            first_variation: number of the first variation.
            block_seconds: length of a block; it does not change the sound.
            noisiness: of both: how much the composer's tones waver, and, from 0.4 on up or down,
                how widely the renderer draws.
            guard: whether to choose and mend what the composer does, and to choose what the
                renderer makes of it.
            candidates: ways to go on of which the composer has its choice; with 1 the renderer
                has none either.
            ends: of `Sampler.stream`.
            **options: of `Sampler.stream`.
        """
        if noisiness is None:
            noisiness = self.controls["noisiness"]
        wanted = round(seconds * self.config.sample_rate)
        ahead = self.renderer.ahead / self.config.sample_rate
        composed = self.composer.stream(
            heard.composer,
            seconds + ahead,
            count=count,
            rng_seed=rng_seed,
            first_variation=first_variation,
            noisiness=noisiness,
            guard=guard,
            candidates=candidates,
            ends=[end + ahead for end in ends],
            **options,
        )
        played = self.renderer.play(
            after(composed, self.composer.codec.delay_samples),
            heard.renderer,
            rng_seed=rng_seed,
            first_variation=first_variation,
            first_frame=OWN_CHANCE,
            temperature=np.clip(0.92 + 0.2 * np.asarray(noisiness), 0.8, 1.3),
            candidates=None if guard and candidates != 1 else 1,
        )
        size = max(1, round(block_seconds * self.config.sample_rate))
        yield from in_blocks(played, size, wanted)

    def generate(self, seed: np.ndarray, seconds: float, **options: Any) -> np.ndarray:
        """Returns continuations `(count, channels, samples)` without the seed; see `Sampler`."""
        none = np.zeros((options.get("count", 1), self.config.channels, 0), np.float32)
        blocks = self.stream(self.listen(seed), seconds, **options)
        return np.concatenate([none, *blocks], axis=-1)


def sampler_of(file: ModelFile, *options: Any, **named: Any) -> Any:
    """Returns what continues a seed by a file's model or models: a `Sampler` or a `Duet`."""
    kind: Any = Duet if file.family == DUET else Sampler
    return kind(file, *options, **named)


def after(blocks: Iterator[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Yields blocks without the first samples of them all."""
    for block in blocks:
        if samples < block.shape[-1]:
            yield block[..., samples:]
        samples = max(0, samples - block.shape[-1])


def join(path: Path, parts: dict[str, Path]) -> None:
    """Writes two model files as the one file of a duet, atomically.

    Args:
        path: of the duet.
        parts: "composer" and "renderer" to their files.

    Raises:
        CheckpointError: one of them cannot be read.
        OutputError: it cannot be written.
    """
    files = {part: read_model(parts[part]) for part in PARTS}
    tensors = {f"{p}/{n}": a for p, file in files.items() for n, a in file.tensors.items()}
    extra = dict(files["renderer"].extra)
    extra["parts"] = {part: file.extra for part, file in files.items()}
    extra["seconds"] = sum(file.extra.get("seconds") or 0.0 for file in files.values())
    config = DuetConfig(*(files[part].config for part in PARTS))
    save_model(path, DUET, config, tensors, extra)
