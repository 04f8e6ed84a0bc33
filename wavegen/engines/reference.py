"""The reference engine: any family, in Keras, compiled by XLA; other engines are tested against it.

A session is `(last frame, model state)`, a value: one heard state can be answered many times, and
by another engine. Priming is one long teacher-forced step; drawing is a loop inside one compiled
call a block, its chance handed in as an array.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen import backend
from wavegen.errors import UsageError
from wavegen.streaming import Ring, ordered, parameters, pure

LEAST = 64  # frames that a loop is compiled for


class Reference:
    """Draws from a built model of any family.

    Rows of a batch are heard and drawn one after the other, by computations for a single row,
    because matrix products of another batch size round differently: a variation must not depend on
    how many were asked for.
    """

    name, precision = "reference", "float32"

    def __init__(self, model: keras.Model, together: bool = False) -> None:
        """Takes a snapshot of the model's parameters; later changes of the model are not seen.

        Args:
            model: of any family.
            together: hear and draw all rows of a batch in one computation. Many streams are then
                faster, but a variation depends, by rounding, on how many were asked for. Rows that
                differ in a control are drawn one after the other all the same.
        """
        self.model, self.together = model, together
        self.params = parameters(model)
        self.step, self.draw_frame = pure(model, "step"), pure(model, "draw")
        self.conditioned = bool(getattr(model.config, "condition_bands", 0))
        if self.conditioned:
            self.steering, self.steered = pure(model, "steering"), pure(model, "steered")
        self.judge, self.spell = pure(model, "log_prob"), pure(model, "distributions")
        # Convolutions' pasts become rings while a block is drawn; a recurrent family has none.
        self.map_pasts = getattr(model, "map_pasts", lambda function, state: state)
        # A WaveNet's one long step is a few large operations; an LSTM's is a loop over time, which
        # only a compiler makes fast.
        wrap = backend.compiled if model.config.frame_samples > 1 else functools.partial
        self.listen = wrap(self.step, self.params)
        whole = getattr(model.config, "condition_hop", 1)
        # Frames scored in one call; whole hops of what may condition them.
        self.block = -(-16384 // whole) * whole if model.config.frame_samples == 1 else 256
        self._loops: dict[tuple, Any] = {}  # compiled loops, by the controls they fix
        self._scorer: Any = None

    def warm_up(self) -> None:
        """Does nothing: what is compiled depends on what is drawn."""

    def open(self, session: Any) -> Voices:
        """Returns voices that go on from a session, for many short draws; it is not changed."""
        return Voices(self, session)

    def prime(self, frames: np.ndarray, session: Any = None, given: Any = None) -> Any:
        """Returns the session after hearing frames.

        Args:
            frames: `(batch, time, features)`, time >= 1. A conditioned model hears whole hops, and
                from silence one sample before them.
            session: of an earlier `prime` or `draw`, which the frames continue.
            given: to a conditioned model, `(batch, hops + 1, ...)`, see `bands`.
        """
        sessions = []
        for rows in self.parts(len(frames)):
            heard, state = self.resumed(frames[rows], session, rows)
            if heard.shape[1] > 1:
                told = given_to(rows, given)
                _, state = self.listen(ops.convert_to_tensor(heard[:, :-1]), state, *told)
            sessions.append((heard[:, -1:], state))
        return joined(sessions)

    def distributions(
        self, frames: np.ndarray, session: Any = None, given: Any = None
    ) -> tuple[np.ndarray, Any]:
        """Returns teacher-forced distributions and the session after the frames.

        Args:
            frames: int32 `(batch, time, channels)`; time >= 2, or >= 1 after a session.
            session: of an earlier call of any verb, which the frames continue.
            given: as for `prime`.

        Returns:
            float32 `(batch, time - 1, channels, parameters)`, of `WaveNet.distributions`: of each
            frame but the first, given those before it (the right sample given the left one of its
            instant); after a session of each frame, `time` of them. And the session.

        Raises:
            UsageError: a family without levels, or too few frames.
        """
        if not hasattr(self.model, "distributions"):
            raise UsageError(
                f"{type(self.model).family} has no distributions; compare its log_prob"
            )
        if frames.shape[1] < 2 and session is None:
            raise UsageError(f"{frames.shape[1]} frames have no distribution; give 2, or a session")
        found, sessions = [], []
        for rows in self.parts(len(frames)):
            heard, state = self.resumed(frames[rows], session, rows)
            told = given_to(rows, given)
            y, state = self.listen(ops.convert_to_tensor(heard[:, :-1]), state, *told)
            found.append(self.spell(self.params, y, ops.convert_to_tensor(heard[:, 1:])))
            sessions.append((heard[:, -1:], state))
        return np.concatenate([np.asarray(part) for part in found]), joined(sessions)

    def parts(self, batch: int, controls: dict[str, Any] | None = None) -> list[slice]:
        """Returns the rows of a batch that one computation takes, for each computation."""
        if self.together and all(np.ndim(value) == 0 for value in (controls or {}).values()):
            return [slice(0, batch)]
        return [slice(row, row + 1) for row in range(batch)]

    def resumed(self, frames: np.ndarray, session: Any, rows: slice) -> tuple[np.ndarray, Any]:
        """Returns all frames not yet heard, a session's last one first, and the state before."""
        if session is None:
            return frames, self.model.initial_state(len(frames))
        last, state = rows_of(session, rows)
        return np.concatenate([last, frames], axis=1), state

    def log_prob(self, frames: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        """Returns the log-probability, nats `(time - 1, values)`, of every frame but the first.

        Teacher-forced in blocks whose state carries on, so any length fits; the last block is
        filled up and the filling cut off.

        Args:
            frames: `(time, features)` of one recording, heard from silence.
            given: to a conditioned model, of `Bands.along`.
        """
        if self._scorer is None:
            self._scorer = backend.compiled(self.scored)  # the judge of a run changes `params`
        block, total = self.block, len(frames) - 1
        state = self.model.initial_state(1)
        found = []
        for start in range(0, total, block):
            part = frames[start : start + block + 1]
            short = block + 1 - len(part)
            part = np.pad(part, [(0, short), (0, 0)])[None]
            more: tuple = ()
            if given is not None:
                hop = self.model.config.condition_hop
                knots = given[start // hop : start // hop + block // hop + 1]
                knots = np.pad(knots, [(0, block // hop + 1 - len(knots)), (0, 0)], mode="edge")
                more = (ops.convert_to_tensor(knots[None]),)
            values, state = self._scorer(self.params, ops.convert_to_tensor(part), state, *more)
            found.append(np.asarray(values)[0, : block - short])
        return np.concatenate(found) if found else np.zeros((0, 1), "float32")

    def scored(self, params: Any, frames: Any, state: Any, *given: Any) -> tuple[Any, Any]:
        """Returns `(1, time, values)` log-probabilities of `frames[:, 1:]`, and the next state."""
        y, state = self.step(params, frames[:, :-1], state, *given)
        return self.judge(params, y, frames[:, 1:]), state

    def draw(
        self, session: Any, noise: np.ndarray, given: Any = None, **controls: float
    ) -> tuple[np.ndarray, Any]:
        """Returns the next frames `(batch, time, features)` and the session after them.

        Args:
            session: of `prime` or an earlier `draw`, batch rows.
            noise: `(batch, time, *noise_shape)`, as the family has it; whole hops if conditioned.
            given: as for `prime`.
            **controls: of the family, e.g. temperature; one number, or one per row.
        """
        found, sessions, session = [], [], backend.to_numpy(session)
        for rows in self.parts(len(noise), controls):
            own = row_controls(controls, rows.start)
            told = given_to(rows, given)
            frames, following = self.draw_rows(rows_of(session, rows), noise[rows], own, *told)
            found.append(frames)
            sessions.append(following)
        return np.concatenate([np.asarray(frames) for frames in found]), joined(sessions)

    def draw_rows(
        self, session: Any, noise: np.ndarray, controls: dict[str, float], *given: Any
    ) -> Any:
        """Returns frames and session of some rows; the loop runs inside one compiled call."""
        # top-p sorts every distribution: left out of the loop when it has nothing to do.
        fixed = tuple(name for name in ("top_p",) if controls.get(name) == 1.0)
        free = {name: np.float32(v) for name, v in controls.items() if name not in fixed}
        if fixed not in self._loops:
            self._loops[fixed] = backend.compiled(self.loop, self.params)
        free = {name: ops.convert_to_tensor(value) for name, value in free.items()}
        # A loop is compiled for each number of frames that there is noise for: so there are few.
        time = noise.shape[1]
        short = max(LEAST, 1 << (time - 1).bit_length()) - time
        noise = np.pad(noise, [(0, 0), (0, short), *[(0, 0)] * (noise.ndim - 2)])
        tensors = ops.convert_to_tensor(noise), ops.convert_to_tensor(time, "int32")
        frames, session = self._loops[fixed](session, *tensors, free, *given)
        return frames[:, :time], session

    def loop(
        self, params: Any, session: Any, noise: Any, time: Any, controls: dict, *given: Any
    ) -> Any:
        """Draws frame after frame, `time` of them, as many as there is noise for."""
        last, state = session
        batch, map_pasts = noise.shape[0], self.map_pasts
        frames = ops.zeros((batch, noise.shape[1], last.shape[-1]), dtype=last.dtype)
        steering = self.steering(params, *given) if self.conditioned else ()
        step = self.steered if steering else self.step

        def body(t: Any, last: Any, state: Any, frames: Any) -> Any:
            # Carried are the rings' rows; the frame's number is the position of all of them.
            more: tuple = ()
            if steering:  # of the whole block; this frame's is cut out
                more = (tuple(one_of(part, t) for part in steering),)
            y, state = step(params, last, map_pasts(lambda rows: Ring(rows, t), state), *more)
            state = map_pasts(lambda heard: heard.rows, state)
            at = ops.stack([0, t, *[0] * (len(noise.shape) - 2)])
            now = ops.slice(noise, at, (batch, 1, *noise.shape[2:]))
            last = ops.cast(self.draw_frame(params, y, now, **controls), last.dtype)
            start = ops.stack([0, t, 0])
            return t + 1, last, state, ops.slice_update(frames, start, last)

        _, last, state, frames = ops.while_loop(
            lambda t, *_: t < time, body, (ops.convert_to_tensor(0, "int32"), last, state, frames)
        )
        return frames, (last, map_pasts(lambda rows: ordered(Ring(rows, time)), state))


class Voices:
    """Streams in the middle of being drawn."""

    def __init__(self, drawer: Reference, session: Any) -> None:
        """Begins with a session."""
        self.drawer, self.now = drawer, session

    def session(self) -> Any:
        """Returns the session as it stands."""
        return self.now

    def draw(self, noise: np.ndarray, given: Any = None, **controls: Any) -> np.ndarray:
        """Returns the next frames `(batch, time, features)`; see `Reference.draw`."""
        frames, self.now = self.drawer.draw(self.now, noise, given, **controls)
        return frames


def rows_of(session: Any, rows: slice) -> Any:
    """Returns a session of some rows out of a session of several."""
    return keras.tree.map_structure(lambda array: np.asarray(array)[rows], session)


def joined(sessions: list[Any]) -> Any:
    """Returns a session of all rows, of NumPy arrays: cutting it needs no call of the backend."""
    sessions = backend.to_numpy(sessions)
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *sessions)


def given_to(rows: slice, given: Any) -> tuple:
    """Returns (what some rows are given,), or nothing where nothing is given."""
    return () if given is None else (ops.convert_to_tensor(np.asarray(given)[rows]),)


def one_of(array: Any, t: Any) -> Any:
    """Returns the frame `t` of an array `(batch, time, ...)`, time 1."""
    start = ops.stack([0, t, *[0] * (len(array.shape) - 2)])
    return ops.slice(array, start, (array.shape[0], 1, *array.shape[2:]))


def row_controls(controls: dict[str, Any], row: int) -> dict[str, float]:
    """Returns the controls of one row: a number counts for all, a sequence has one per row."""
    return {
        name: float(value if np.ndim(value) == 0 else value[row])
        for name, value in controls.items()
    }
