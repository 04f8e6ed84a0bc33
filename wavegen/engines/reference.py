"""The reference engine: any family, in Keras, compiled by XLA; other engines are tested against it.

A session is `(last frame, model state)`, a value: one heard state can be answered many times, and
by another engine. Priming is one long teacher-forced step; drawing is a loop inside one compiled
call a block, its chance handed in as an array.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen import backend
from wavegen.streaming import parameters, pure


class Reference:
    """Draws from a built model of any family.

    Rows of a batch are heard and drawn one after the other, by computations for a single row,
    because matrix products of another batch size round differently: a variation must not depend on
    how many were asked for.
    """

    def __init__(self, model: keras.Model) -> None:
        """Takes a snapshot of the model's parameters; later changes of the model are not seen."""
        self.model = model
        self.params = parameters(model)
        self.step, self.draw_frame = pure(model, "step"), pure(model, "draw")
        self.judge = pure(model, "log_prob")
        # A WaveNet's one long step is a few large operations; an LSTM's is a loop over time, which
        # only a compiler makes fast.
        self.listen = backend.compiled(self.step) if model.carries_state else self.step
        self.block = 16384 if model.config.frame_samples == 1 else 256  # frames scored in one call
        self._loops: dict[tuple, Any] = {}  # compiled loops, by the controls they fix
        self._scorer: Any = None

    def prime(self, frames: np.ndarray, session: Any = None) -> Any:
        """Returns the session after hearing frames.

        Args:
            frames: `(batch, time, features)`, time >= 1.
            session: of an earlier `prime` or `draw`, which the frames continue.
        """
        rows = []
        for row in range(len(frames)):
            heard, state = frames[row : row + 1], self.model.initial_state(1)
            if session is not None:
                last, state = row_of(session, row)
                heard = np.concatenate([np.asarray(last), heard], axis=1)
            if heard.shape[1] > 1:
                _, state = self.listen(self.params, ops.convert_to_tensor(heard[:, :-1]), state)
            rows.append((ops.convert_to_tensor(heard[:, -1:]), state))
        return joined(rows)

    def log_prob(self, frames: np.ndarray) -> np.ndarray:
        """Returns the log-probability, nats `(time - 1, values)`, of every frame but the first.

        Teacher-forced in blocks whose state carries on, so any length fits; the last block is
        filled up and the filling cut off.

        Args:
            frames: `(time, features)` of one recording, heard from silence.
        """
        if self._scorer is None:
            self._scorer = backend.compiled(self.scored)
        block, total = self.block, len(frames) - 1
        state = self.model.initial_state(1)
        found = []
        for start in range(0, total, block):
            part = frames[start : start + block + 1]
            short = block + 1 - len(part)
            part = np.pad(part, [(0, short), (0, 0)])[None]
            values, state = self._scorer(self.params, ops.convert_to_tensor(part), state)
            found.append(np.asarray(values)[0, : block - short])
        return np.concatenate(found) if found else np.zeros((0, 1), "float32")

    def scored(self, params: Any, frames: Any, state: Any) -> tuple[Any, Any]:
        """Returns `(1, time, values)` log-probabilities of `frames[:, 1:]`, and the next state."""
        y, state = self.step(params, frames[:, :-1], state)
        return self.judge(params, y, frames[:, 1:]), state

    def draw(self, session: Any, noise: np.ndarray, **controls: float) -> tuple[np.ndarray, Any]:
        """Returns the next frames `(batch, time, features)` and the session after them.

        Args:
            session: of `prime` or an earlier `draw`, batch rows.
            noise: uniforms `(batch, time, *noise_shape)`.
            **controls: of the family, e.g. temperature; one number, or one per row.
        """
        rows = []
        for row in range(len(noise)):
            one, own = row_of(session, row), row_controls(controls, row)
            rows.append(self.draw_row(one, noise[row : row + 1], own))
        frames = np.concatenate([np.asarray(row[0]) for row in rows])
        return frames, joined([row[1] for row in rows])

    def draw_row(self, session: Any, noise: np.ndarray, controls: dict[str, float]) -> Any:
        """Returns frames and session of one row; the loop runs inside one compiled call."""
        # top-p sorts every distribution: left out of the loop when it has nothing to do.
        fixed = tuple(name for name in ("top_p",) if controls.get(name) == 1.0)
        free = {name: np.float32(v) for name, v in controls.items() if name not in fixed}
        if fixed not in self._loops:
            self._loops[fixed] = backend.compiled(self.loop)
        free = {name: ops.convert_to_tensor(value) for name, value in free.items()}
        return self._loops[fixed](self.params, session, ops.convert_to_tensor(noise), free)

    def loop(self, params: Any, session: Any, noise: Any, controls: dict) -> Any:
        """Draws frame after frame, `noise.shape[1]` of them."""
        last, state = session
        time = noise.shape[1]
        frames = ops.zeros((1, time, last.shape[-1]), dtype=last.dtype)

        def body(t: Any, last: Any, state: Any, frames: Any) -> Any:
            y, state = self.step(params, last, state)
            at = ops.stack([0, t, *[0] * (len(noise.shape) - 2)])
            now = ops.slice(noise, at, (1, 1, *noise.shape[2:]))
            last = ops.cast(self.draw_frame(params, y, now, **controls), last.dtype)
            start = ops.stack([0, t, 0])
            return t + 1, last, state, ops.slice_update(frames, start, last)

        _, last, state, frames = ops.while_loop(
            lambda t, *_: t < time, body, (ops.convert_to_tensor(0, "int32"), last, state, frames)
        )
        return frames, (last, state)


def row_of(session: Any, row: int) -> Any:
    """Returns a session of one row out of a session of several."""
    return keras.tree.map_structure(lambda array: array[row : row + 1], session)


def joined(sessions: list[Any]) -> Any:
    """Returns a session of all rows."""
    return keras.tree.map_structure(lambda *parts: ops.concatenate(parts, axis=0), *sessions)


def row_controls(controls: dict[str, Any], row: int) -> dict[str, float]:
    """Returns the controls of one row: a number counts for all, a sequence has one per row."""
    return {
        name: float(value if np.ndim(value) == 0 else value[row])
        for name, value in controls.items()
    }


ENGINES: dict[str, type] = {"reference": Reference}
