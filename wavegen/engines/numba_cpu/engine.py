"""The engine: sessions in, frames out; streams in groups, groups spread over the cores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np

from wavegen.engines.numba_cpu import kernel, streams
from wavegen.engines.numba_cpu.lanes import Lanes, cores
from wavegen.engines.numba_cpu.packing import conditioning, packed
from wavegen.engines.numba_cpu.sessions import DRAW, JUDGE, Sessions, mapped
from wavegen.engines.numba_cpu.shapes import (
    DEFAULTS,
    FILTER,
    PARTS,
    WHITENING,
    shape_of,
    weight_shapes,
)

BLOCK = 16384  # frames heard in one call, at most, so that Ctrl-C is noticed
GROUP = 8  # streams of one call of the kernel: more do not fit into the first cache


class NumbaCPU(Sessions):
    """Draws from a WaveNet, given as arrays."""

    dtype = np.int32

    def __init__(
        self,
        config: Any,
        weights: dict[str, Any],
        values: np.ndarray,
        edges: np.ndarray,
        *,
        precision: str | None = None,
        threads: int | None = None,
        lanes: Lanes | None = None,
        fine: int = 1,
    ) -> None:
        """Packs a copy of the weights.

        Args:
            config: of a WaveNet, any object with its fields.
            weights: the model's variables by name, e.g. "block_0/dilated/kernel".
            values: float32 (levels,), the sample each level stands for; used for a softmax only.
            edges: float32 (levels - 1,), the thresholds between levels; likewise.
            precision: float32; bfloat16, of weights and of what they are multiplied with; or int8,
                of weights with a scale an output, multiplied with int16. Sums are float32. None
                takes the fastest for one stream that costs less than 0.005 bits a sample.
            threads: cores to spread several streams over; None takes all.
            lanes: what to compile for; None is the best of this processor.
            fine: levels of a mixture in a step of 16 bits, of all frames.
        """
        self.config, self.threads = config, threads or cores()
        self.lanes = lanes or Lanes.here()
        self.precision = precision or DEFAULTS[self.lanes.width]
        self.shape = shape_of(config, self.lanes.width, self.precision, fine)
        self.weights = packed(config, self.shape, weights, values, edges, self.precision)
        self.conditioning = conditioning(self.shape, weights) if self.shape.every else None
        self.pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def silence(self, batch: int) -> Any:
        """Returns the model's state after endless silence, as the reference has it."""
        config = self.config
        pasts = [(config.kernel_size - 1) * dilation for dilation in config.dilations]
        width = config.residual_channels
        blocks = tuple(np.zeros((batch, past, width), np.float32) for past in pasts)
        if not config.predictor_order:
            return blocks, ()

        def zeros(*size: int) -> np.ndarray:
            return np.zeros((batch, *size), np.float32)

        order, channels = config.predictor_order, config.channels
        errors = 1 + bool(config.condition_bands) + 3 * (channels > 1)
        past, one, again = (zeros(time, channels) for time in (WHITENING, 1, errors))
        heard, sums = zeros(order + config.predictor_hop, channels), zeros(channels, 3, order + 1)
        phase = np.zeros((batch, 1), np.int32)
        return blocks, (past, one, again, (heard, sums, zeros(channels, order), phase))

    def warm_up(self) -> None:
        """Compiles the kernel, for seconds once on a machine, or fetches it from the cache."""
        frames = np.zeros((1, 1 + (self.shape.every or 1), self.config.channels), np.int32)
        given = None
        if self.conditioning:
            width = len(self.conditioning[0]) + PARTS * self.config.channels * FILTER
            given = np.ones((1, 2, width), np.float32)
        self.prime(frames, given=given)

    def open(self, session: Any) -> Voices:
        """Returns voices that go on from a session, for many short draws; it is not changed."""
        return Voices(self, session)

    def log_prob(self, frames: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        """Returns the log-probability, nats `(time - 1, channels)`, of every frame but the first.

        Args:
            frames: int32 `(time, channels)` of one recording, heard from silence.
            given: to a conditioned model, `(hops + 1, ...)`, see `bands`.
        """
        voices, following = self.begun(frames[None])
        told = None if given is None else given[None]
        return voices.hear(following, JUDGE, told)[0][0]

    def distributions(
        self, frames: np.ndarray, session: Any = None, given: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """Returns the distributions of all frames but the first, and the session after them.

        Args:
            frames: int32 `(batch, time, channels)`, time >= 2.
            session: of an earlier call, which the frames continue; then all of them are counted.
            given: to a conditioned model, `(batch, hops + 1, ...)`, see `bands`.

        Returns:
            float32 `(batch, time - 1, channels, parameters)`, logits of the levels; or a mixture's
            log-weights, means from the linear prediction on and log-scales, both in its scale.
        """
        voices, frames = self.begun(frames, session)
        _, spellings = voices.hear(frames, JUDGE, given, spell=True)
        return spellings, voices.session()

    def steering(self, given: np.ndarray | None, hops: int) -> tuple[np.ndarray, ...]:
        """Returns what the kernel takes of what is given: `knots`, `filters`, `lead`, batch first.

        Args:
            given: `(batch, hops + 1, ...)`; None to a model without conditions, which takes none.
            hops: that it is given for, the last one perhaps in part.
        """
        if self.conditioning is None:
            return (np.zeros((0, 0), np.float32),) * 3
        found = None if given is None else np.shape(given)[1]
        assert found == hops + 1, f"{found} knots are given for {hops} hops"
        given = np.asarray(given, np.float32)
        first, bias, second, last = self.conditioning
        levels = given[..., : len(first)]
        knots = np.tanh(levels @ first + bias) @ second + last
        end = len(first) + PARTS * self.shape.channels * FILTER
        filters = given[:, :-1, len(first) : end].reshape(len(given), -1, FILTER)
        found = knots, filters[..., ::-1], self.leading(given[:, :-1, end:])
        return tuple(part.reshape(len(given), -1) for part in found)

    def leading(self, lead: np.ndarray) -> np.ndarray:
        """Returns what leads, `(batch, hops, ...)`, with taps in whole vectors; perhaps nothing."""
        if not lead.shape[-1]:
            return lead
        order = self.config.predictor_order
        parts = lead.reshape(*lead.shape[:2], self.shape.channels, order + self.shape.every)
        return np.pad(parts, [(0, 0)] * 3 + [(self.shape.lags - order, 0)])


class Voices:
    """Streams in the middle of being drawn: what a session was, with rings that turn in place."""

    def __init__(self, engine: NumbaCPU, session: Any) -> None:
        """Copies a session into rings, a few rows in each group."""
        self.engine = engine
        last, state = session
        self.last = np.array(last, np.int32)
        batch = len(self.last)
        size = min(GROUP, -(-batch // engine.threads))
        self.parts = [slice(at, min(at + size, batch)) for at in range(0, batch, size)]
        self.states, self.rooms = [], []
        for part in self.parts:
            rows = mapped(lambda array, part=part: np.asarray(array)[part], state)
            self.states.append(streams.rings(engine.shape, engine.precision, rows))
            room = streams.scratch(engine.shape, engine.precision, part.stop - part.start)
            self.rooms.append(room)

    def session(self) -> Any:
        """Returns the session as it stands: a value of its own."""
        engine = self.engine
        rows = [
            streams.unrolled(engine.shape, engine.precision, state, engine.config)
            for state in self.states
        ]
        return self.last.copy(), mapped(lambda *parts: np.concatenate(parts), *rows)

    def draw(
        self,
        noise: np.ndarray,
        given: np.ndarray | None = None,
        temperature: Any = 1.0,
        top_p: Any = 1.0,
    ) -> np.ndarray:
        """Returns the next frames, int32 `(batch, time, channels)`; see `Sessions.draw`."""
        batch, time, channels = noise.shape
        assert batch == len(self.last), f"noise of {batch} rows for {len(self.last)} streams"
        rows = np.stack([np.broadcast_to(value, (batch,)) for value in (temperature, top_p)], -1)
        tokens = np.zeros((batch, time + 1, channels), np.int32)
        tokens[:, :1] = self.last
        empty = np.zeros((batch, 0, channels), np.float32)
        # A copy: an array that must not be written to would be another type, compiled for again.
        noise, rows = np.array(noise, np.float32, order="C"), rows.astype(np.float32)
        steering = self.steering(given, 0, time)
        self.run(tokens, steering, noise, rows, DRAW, empty, empty[..., None])
        return tokens[:, 1:]

    def steering(self, given: np.ndarray | None, start: int, time: int) -> Any:
        """Returns what is given to `time` frames, the first of them in `given` being frame 0."""
        every = self.engine.shape.every
        if not every or given is None:
            return self.engine.steering(given, 0)
        hops = -(-time // every)
        return self.engine.steering(given[:, start // every : start // every + hops + 1], hops)

    def hear(
        self,
        frames: np.ndarray,
        mode: int,
        given: np.ndarray | None = None,
        spell: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hears frames; returns nats `(batch, time, channels)` and distributions, if wanted."""
        batch, time, channels = frames.shape
        shape = self.engine.shape
        size = (shape.levels or 3 * shape.mixtures) if spell else 0
        empty, rows = np.zeros((batch, 0, channels), np.float32), np.ones((batch, 2), np.float32)
        found = [(empty, np.zeros((batch, 0, channels, size), np.float32))]
        whole = shape.every or 1
        size_of_block = -(-BLOCK // whole) * whole
        for start in range(0, time, size_of_block):
            tokens = np.concatenate([self.last, frames[:, start : start + size_of_block]], axis=1)
            tokens = np.ascontiguousarray(tokens)  # another layout would be compiled for again
            count = tokens.shape[1] - 1 if mode == JUDGE else 0
            nats = np.zeros((batch, count, channels), np.float32)
            spellings = np.zeros((batch, count, channels, size), np.float32)
            steering = self.steering(given, start, tokens.shape[1] - 1)
            self.run(tokens, steering, empty, rows, mode, nats, spellings)
            found.append((nats, spellings))
        nats, spellings = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        return nats, spellings

    def run(
        self,
        tokens: np.ndarray,
        steering: tuple[np.ndarray, ...],
        noise: np.ndarray,
        controls: np.ndarray,
        mode: int,
        nats: np.ndarray,
        spellings: np.ndarray,
    ) -> None:
        """Runs the kernel on every group of rows, on all cores."""
        engine = self.engine

        def group(i: int) -> None:
            part = self.parts[i]
            kernel.run(
                engine.lanes, engine.shape, engine.weights, self.states[i], self.rooms[i],
                tokens[part], *(array[part].ravel() for array in steering), noise[part],
                controls[part], mode, nats[part], spellings[part],
            )  # fmt: skip

        if engine.pool and len(self.parts) > 1:
            list(engine.pool.map(group, range(len(self.parts))))
        else:
            for i in range(len(self.parts)):
                group(i)
        self.last = tokens[:, -1:].copy()


def warm_up(precision: str | None = None) -> None:
    """Compiles the kernel, or fetches it from the cache, before there is a model to draw from."""
    names = ("channels", "residual_channels", "gate_channels", "skip_channels", "post_channels")
    least = dict.fromkeys(names, 1) | dict(levels=4, kernel_size=2)
    least |= dict(predictor_order=0, condition_bands=0)
    config = SimpleNamespace(**least, dilations=(1,), head="softmax", mixture_shift=1.0)
    weights = {name: np.zeros(shape) for name, shape in weight_shapes(config).items()}
    NumbaCPU(config, weights, np.zeros(4), np.zeros(3), precision=precision).warm_up()
