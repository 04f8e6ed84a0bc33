"""What the compiled engines have in common: sessions in, frames out.

A session is `(last frame, model state)`, nested tuples of arrays: a value. Between two of them
streams are voices, which an engine keeps as it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LISTEN, DRAW, JUDGE = 0, 1, 2  # what a call of a kernel does with the frames after the first


class Sessions:
    """The verbs of an engine; its frames' numbers, silence and voices are its own."""

    name = "numba"
    dtype: Any  # of a frame's numbers

    def silence(self, batch: int) -> Any:
        """Returns the model's state after endless silence, as the reference has it."""
        raise NotImplementedError

    def open(self, session: Any) -> Any:
        """Returns voices that go on from a session, for many short draws; it is not changed."""
        raise NotImplementedError

    def begun(self, frames: np.ndarray, session: Any = None) -> tuple[Any, np.ndarray]:
        """Returns voices and the frames they have yet to hear; from silence, all but the first."""
        frames = np.asarray(frames, self.dtype)
        if session is not None:
            return self.open(session), frames
        return self.open((frames[:, :1], self.silence(len(frames)))), frames[:, 1:]

    def prime(self, frames: np.ndarray, session: Any = None, given: Any = None) -> Any:
        """Returns the session after hearing frames.

        Args:
            frames: `(batch, time, features)`, time >= 1.
            session: of an earlier call, which the frames continue.
            given: to a conditioned model, which hears whole hops, and from silence one frame
                before them: `(batch, hops + 1, ...)`, see `bands`.
        """
        voices, frames = self.begun(frames, session)
        voices.hear(frames, LISTEN, *given_to(given))
        return voices.session()

    def draw(
        self, session: Any, noise: np.ndarray, given: Any = None, **controls: Any
    ) -> tuple[np.ndarray, Any]:
        """Returns the next frames `(batch, time, features)` and the session after them.

        Args:
            session: of `prime` or an earlier `draw`, batch rows.
            noise: `(batch, time, *noise_shape)`, as the family has it.
            given: as for `prime`.
            **controls: of the family; one number, or one per row.
        """
        voices = self.open(session)
        frames = voices.draw(noise, *given_to(given), **controls)
        return frames, voices.session()


def given_to(given: Any) -> tuple:
    """Returns (given,), or nothing where nothing is given: not every family takes it."""
    return () if given is None else (given,)


def mapped(function: Callable, *nests: Any) -> Any:
    """Returns nested tuples of what the function makes of the nests' arrays."""
    if isinstance(nests[0], tuple):
        return tuple(mapped(function, *parts) for parts in zip(*nests, strict=True))
    return function(*nests)
