"""The engine: sessions in, frames out; the streams of a batch side by side in one call."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from wavegen.engines.numba_cpu.compiling import compiled_beside
from wavegen.engines.numba_cpu.lanes import Lanes
from wavegen.engines.numba_cpu.packing import aligned, padded
from wavegen.engines.numba_cpu.sessions import DRAW, JUDGE, Sessions, mapped
from wavegen.engines.numba_cpu.shapes import DEFAULTS
from wavegen.engines.numba_spectral import kernel
from wavegen.engines.numba_spectral.packing import packed, shape_of, weight_shapes
from wavegen.engines.numba_spectral.rendering import LEAST
from wavegen.engines.numba_spectral.room import State, scratch

BLOCK = 256  # frames heard in one call, at most, so that Ctrl-C is noticed
EMBEDDING = 4  # of the model that `warm_up` makes

__all__ = ["NumbaSpectral", "warm_up", "weight_shapes"]


class NumbaSpectral(Sessions):
    """Draws from a spectral LSTM of the head `codes`, given as arrays."""

    dtype = np.float32

    def __init__(
        self,
        config: Any,
        weights: dict[str, Any],
        *,
        precision: str | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        """Packs a copy of the weights.

        Args:
            config: of a spectral LSTM, any object with its fields.
            weights: the model's variables by name, e.g. "codes/out/kernel".
            precision: float32; bfloat16; or int8, multiplied with int16, the default where the
                processor is fast at it. What a code is nearest to is always computed in float32.
            lanes: what to compile for; None is the best of this processor.
        """
        self.config, self.lanes = config, lanes or Lanes.here()
        self.precision = precision or DEFAULTS[self.lanes.width]
        self.shape = shape_of(config, self.lanes.width, self.precision)
        self.weights = packed(config, self.shape, weights, self.precision)
        seconds = config.hop_length / config.sample_rate / config.timbre_seconds
        self.pole = np.float32(math.exp(-seconds))

    def silence(self, batch: int) -> Any:
        """Returns the model's state after endless silence, as the reference has it."""
        config, shape = self.config, self.shape

        def zeros(*size: int) -> np.ndarray:
            return np.zeros((batch, *size), np.float32)

        late = zeros(1, shape.channels * shape.own_bands), zeros(1, 1)
        memory = tuple((zeros(config.units), zeros(config.units)) for _ in range(config.layers))
        bins = shape.channels * shape.half
        kept, entries = zeros(shape.entries, shape.channels * shape.own_bands), zeros(shape.entries)
        recall = kept, entries - 1, entries, zeros(1, 3), zeros(1)
        return zeros(1, 2, bins), zeros(1, 2 * bins), late, memory, recall

    def warm_up(self) -> None:
        """Compiles the kernel, for seconds once on a machine, or fetches it from the cache."""
        self.prime(np.zeros((1, 2, 2 * self.shape.channels * self.shape.half + 1), np.float32))

    def open(self, session: Any) -> Voices:
        """Returns voices that go on from a session, for many short draws; it is not changed."""
        return Voices(self, session)

    def log_prob(self, frames: np.ndarray) -> np.ndarray:
        """Returns the log-density, nats per coefficient `(time - 1, 1)`, of all but the first.

        Args:
            frames: `(time, channels * n_fft + 1)` of one recording, heard from silence.
        """
        voices, frames = self.begun(frames[None])
        nats = voices.hear(frames, JUDGE)
        return (nats[0] / (self.shape.channels * self.shape.half)).astype(np.float32)[:, None]


class Voices:
    """Streams in the middle of being drawn."""

    def __init__(self, engine: NumbaSpectral, session: Any) -> None:
        """Copies a session into flat arrays."""
        self.engine, shape = engine, engine.shape
        last, (before, angle, (late, weight), memory, recall) = mapped(np.asarray, session)
        kept, kept_codes, place, pace, begun = recall
        count, bins = len(last), shape.bins
        self.last = self.laid_out(np.array(last, np.float32))  # (batch, 1, 2, bins)
        self.label = last[..., -1].astype(np.int64)  # (batch, 1)
        cells = np.stack([np.stack(pair, axis=1) for pair in memory], axis=1)
        self.state = State(
            aligned(padded(before[:, 0], bins)),
            aligned(padded(angle.reshape(count, 2, -1), bins)),
            aligned(padded(late[:, 0], shape.bands)),
            np.array(weight[:, 0, 0], np.float32),
            aligned(padded(cells, shape.units)),
            aligned(padded(kept, shape.bands)),
            aligned(np.array(kept_codes, np.float32)),
            aligned(np.array(place, np.float32)),
            np.concatenate([pace[:, 0], begun], axis=1, dtype=np.float32).ravel(),
        )
        self.scratch = scratch(shape, engine.config, engine.precision, count)

    def laid_out(self, frames: np.ndarray) -> np.ndarray:
        """Returns `(batch, time, 2, bins)`, padded, of frames without their labels."""
        shape = self.engine.shape
        split = frames[..., :-1].reshape(*frames.shape[:2], shape.channels, 2, shape.half)
        parts = np.swapaxes(split, 2, 3).reshape(*frames.shape[:2], 2, -1)
        return padded(parts, shape.bins)

    def framed(self, parts: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Returns frames of `laid_out` parts and labels `(batch, time)`: its inverse."""
        shape = self.engine.shape
        own = parts[..., : shape.channels * shape.half]
        split = own.reshape(*own.shape[:3], shape.channels, shape.half)
        frames = np.ascontiguousarray(np.swapaxes(split, 2, 3)).reshape(*own.shape[:2], -1)
        return np.concatenate([frames, labels[..., None].astype(np.float32)], axis=-1)

    def session(self) -> Any:
        """Returns the session as it stands: a value of its own."""
        config, shape, state = self.engine.config, self.engine.shape, self.state
        count = len(state.weight)
        features = shape.channels * shape.own_bands
        own = shape.channels * shape.half
        before = state.last.reshape(count, 1, 2, shape.bins)[..., :own]
        angle = state.angle.reshape(count, 2, shape.bins)[..., :own].reshape(count, 1, -1)
        late = state.late.reshape(count, 1, shape.bands)[..., :features]
        cells = state.memory.reshape(count, shape.layers, 2, shape.units)[..., : config.units]
        memory = tuple(
            (cells[:, layer, 0].copy(), cells[:, layer, 1].copy()) for layer in range(shape.layers)
        )
        spectrum = late.copy(), state.weight.reshape(count, 1, 1).copy()
        kept = state.kept.reshape(count, shape.entries, shape.bands)[..., :features]
        pair = (part.reshape(count, -1).copy() for part in (state.kept_codes, state.place))
        pace = state.pace.reshape(count, 4)
        recall = kept.copy(), *pair, pace[:, None, :3].copy(), pace[:, 3:].copy()
        heard = before.copy(), angle.copy(), spectrum, memory, recall
        return self.framed(self.last, self.label), heard

    def draw(
        self,
        noise: np.ndarray,
        temperature: Any = 1.0,
        top_p: Any = 1.0,
        noisiness: Any = 1.0,
        memory: Any = 1.0,
    ) -> np.ndarray:
        """Returns the next frames `(batch, time, features)`; see `Sessions.draw`."""
        batch, time = noise.shape[:2]
        assert batch == len(self.last), f"noise of {batch} rows for {len(self.last)} streams"
        every = (temperature, top_p, noisiness, memory)
        rows = np.stack([np.broadcast_to(value, (batch,)) for value in every], axis=-1)
        noise = np.asarray(noise, np.float32)
        end = 1 + self.engine.shape.channels * self.engine.shape.half
        frames = np.zeros((batch, time + 1, 2, self.engine.shape.bins), np.float32)
        frames[:, :1] = self.last
        chance = np.ascontiguousarray(noise[:, :, 0, 0])
        far = padded(np.swapaxes(noise[:, :, 1:end], 2, 3), self.engine.shape.bins)
        swings = self.swings(noise[:, :, end:].reshape(batch, time, -1))
        labels = np.concatenate([self.label, np.zeros((batch, time), np.int64)], axis=1)
        rows, nats = rows.astype(np.float32), np.zeros((batch, 0))
        self.run(frames, labels, chance, far, swings, rows, DRAW, nats)
        return self.framed(frames[:, 1:], labels[:, 1:])

    def swings(self, noise: np.ndarray) -> np.ndarray:
        """Returns draws of the standard logistic distribution, `(batch, time, bands)`, padded."""
        shape = self.engine.shape
        own = noise[..., : shape.channels * shape.own_bands]
        rest = np.float32(1.0) - own  # exact: uniforms are multiples of 2^-24
        return padded(np.log(own + np.float32(LEAST)) - np.log(rest), shape.bands)

    def hear(self, frames: np.ndarray, mode: int) -> np.ndarray:
        """Hears frames; returns their log-densities `(batch, time)`, for JUDGE."""
        batch, time = frames.shape[:2]
        rows, found = np.ones((batch, 4), np.float32), [np.zeros((batch, 0))]
        for start in range(0, time, BLOCK):
            block = frames[:, start : start + BLOCK]
            own = np.concatenate([self.last, self.laid_out(block)], axis=1)
            labels = np.concatenate([self.label, block[..., -1].astype(np.int64)], axis=1)
            count = own.shape[1] - 1
            nats = np.zeros((batch, count if mode == JUDGE else 0))
            chance = np.zeros((batch, count), np.float32)
            none = np.zeros(1, np.float32)
            self.run(own, labels, chance, none, none, rows, mode, nats)
            found.append(nats)
        return np.concatenate(found, axis=1)

    def run(
        self,
        frames: np.ndarray,
        labels: np.ndarray,
        chance: np.ndarray,
        noise: np.ndarray,
        swings: np.ndarray,
        controls: np.ndarray,
        mode: int,
        nats: np.ndarray,
    ) -> None:
        """Runs the kernels; frames `(batch, time + 1, 2, bins)` are filled in by DRAW."""
        engine, state, scratch = self.engine, self.state, self.scratch
        given = engine.lanes, engine.shape, engine.weights
        flat, heard = frames.reshape(-1), (labels < 0).astype(np.int64)
        assert np.shares_memory(flat, frames), "what the kernel draws would be lost"
        told = np.empty(chance.size * engine.shape.bands, np.float32)
        counts = np.zeros(chance.shape, np.float32)
        # Both kernels carry the spectrum of late on; that of `render` stays.
        ahead = state._replace(late=state.late.copy(), weight=state.weight.copy())
        common = state, scratch, engine.pole, flat, labels, heard
        rest = noise.reshape(-1), swings.reshape(-1), controls, told, counts
        wait = compiled_beside(kernel.render, *given, *common, *rest, (0, 0, 0), mode, nats)
        begin = kernel.compose(
            *given, ahead, *common[1:], chance, controls, told, counts, mode, nats
        )
        wait()
        kernel.render(*given, *common, *rest, begin, mode, nats)
        self.last, self.label = frames[:, -1:].copy(), labels[:, -1:].copy()


def warm_up(precision: str | None = None) -> None:
    """Compiles the kernel, or fetches it from the cache, before there is a model to draw from."""
    sizes = dict(channels=1, n_fft=16, hop_length=8, codes=2, units=1, layers=1, renderer_units=1)
    config = SimpleNamespace(
        **sizes,
        remembered=2,
        rise=0.0,
        band_of=(0, 0, 1, 1, 2, 2, 3, 3),
        sample_rate=8000,
        timbre_seconds=1.0,
    )
    shapes = weight_shapes(config, EMBEDDING).items()
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes}
    NumbaSpectral(config, weights, precision=precision).warm_up()
