"""Continue a seed: prime a model on its sound, draw what follows, decode it block by block.

A model file and a fast engine need no Keras here: the first sound is there at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavegen import engines
from wavegen.chance import uniforms
from wavegen.codec import codec_of
from wavegen.errors import UsageError
from wavegen.nest import map_nest

BLOCK_SECONDS = 0.02  # drawn in one call of an engine: short enough to play along


@dataclass(frozen=True)
class Heard:
    """What is left of a seed after listening: a value that can be answered many times."""

    session: Any  # of the engine, one row
    decoding: Any  # the codec's decoder, in the middle of the seed's last frames
    position: int  # frames drawn since the seed ended


class Sampler:
    """Draws sound from one model with one engine."""

    def __init__(self, model: Any, engine: str | None = None, precision: str | None = None) -> None:
        """Takes a snapshot of the model.

        Args:
            model: a `checkpoint.ModelFile`, or a Keras model of any family.
            engine: "numba" or "reference"; None takes the fastest that runs the family.
            precision: of the weights while drawing; None is the engine's default.

        Raises:
            UsageError: no such engine or precision.
        """
        self.config, self.controls = model.config, model.config.controls
        self.codec = codec_of(model.config)
        self.engine = engines.make(model, engine, precision)

    def listen(self, seed: np.ndarray, seconds: float | None = None) -> Heard:
        """Returns what the model remembers of a seed.

        Args:
            seed: float32 `(channels, samples)` at the model's sample rate; shorter than what is
                listened to, it is preceded by silence.
            seconds: how much of its end to listen to; by default what the model can make use of.
        """
        hop = self.codec.frame_samples
        samples = self.config.receptive_field + self.config.sample_rate // 16
        if seconds is not None:
            samples = max(1, round(seconds * self.config.sample_rate))
        frames = max(2, -(-samples // hop))
        tail = seed[:, -frames * hop :] if seed.shape[1] else seed
        tail = np.pad(tail, [(0, 0), (frames * hop - tail.shape[1], 0)]).astype("float32")
        encoded, _ = self.codec.encode_step(tail, self.codec.encode_initial())
        _, decoding = self.codec.decode_step(encoded, self.codec.decode_initial())
        return Heard(self.engine.prime(encoded[None]), decoding, 0)

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
            **controls: e.g. temperature=0.9; a sequence gives one per variation.
        """
        settings = self.check_controls(controls)
        wanted = round(seconds * self.config.sample_rate) + self.codec.delay_samples
        hop = self.codec.frame_samples
        block = max(1, round(block_seconds * self.config.sample_rate / hop))
        rows = range(first_variation, first_variation + count)

        def repeat(array: Any) -> np.ndarray:
            return np.repeat(np.asarray(array), count, axis=0)

        voices = self.engine.open(map_nest(repeat, heard.session))
        decoding = map_nest(
            lambda array: np.repeat(np.asarray(array)[None], count, axis=0), heard.decoding
        )
        position = heard.position
        while wanted > 0:
            noise = [uniforms(rng_seed, v, position, block, self.config.noise_shape) for v in rows]
            frames = voices.draw(np.stack(noise), **settings)
            signal, decoding = self.codec.decode_step(frames, decoding)
            yield signal[..., :wanted]
            position, wanted = position + block, wanted - block * hop

    def generate(self, seed: np.ndarray, seconds: float, **options: Any) -> np.ndarray:
        """Returns continuations `(count, channels, samples)` without the seed, whole.

        Args:
            seed: float32 `(channels, samples)` at the model's sample rate.
            seconds: length of the continuation.
            **options: of `stream`.
        """
        blocks = list(self.stream(self.listen(seed), seconds, **options))
        return np.concatenate(blocks, axis=-1)[..., self.codec.delay_samples :]
