"""Peaks beyond full scale: turned down in time, where a file or a loudspeaker would cut them off.

A look-ahead limiter (Giannoulis, Massberg and Reiss 2012, J. Audio Eng. Soc. 60:399). It looks a
few milliseconds ahead, so that it is down when the peak is there, and comes back slowly; all
channels are turned alike, so that the image stays. Sound with no such peak near passes untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

KNOT_SECONDS = 0.001  # from one value of the gain to the next; between them it is a line
AHEAD = 8  # knots in which it comes down
BACK_SECONDS = 0.08  # in which it comes back by all but a third
NOTHING = 1e-4  # of gain that may come back at once
COMING = np.cos(np.pi / 2 * np.arange(AHEAD) / AHEAD) ** 2  # of what a peak so far ahead asks


def reach_of(sample_rate: int) -> int:
    """Returns how many samples ahead of what it lets go a limiter has to know."""
    return (AHEAD + 1) * knot_of(sample_rate)


def knot_of(sample_rate: int) -> int:
    """Returns how many samples lie between knots."""
    return max(1, round(KNOT_SECONDS * sample_rate))


class Limiter:
    """Turns down what is too loud of a stream, whatever the lengths of its blocks."""

    def __init__(self, sample_rate: int) -> None:
        """Begins after silence."""
        self.knot = knot_of(sample_rate)
        self.back = np.exp(-self.knot / sample_rate / BACK_SECONDS)
        self.held: Any = None  # (rows, channels, samples), not let go yet
        self.down: Any = None  # (rows,), what is taken off for the sake of peaks that are past

    def step(self, sound: np.ndarray) -> np.ndarray:
        """Takes the next samples in, and returns what can be let go, `reach_of` samples late.

        Args:
            sound: float32 `(rows, channels, samples)`, any size; rows stay as many.
        """
        if self.held is None:
            self.held, self.down = sound[..., :0], np.zeros(len(sound))
        held = np.concatenate([self.held, sound], axis=-1)
        whole = held.shape[-1] // self.knot
        ready = max(0, whole - AHEAD)
        self.held = held[..., ready * self.knot :]
        return self.turned(held[..., : whole * self.knot], ready) if ready else held[..., :0]

    def rest(self) -> np.ndarray:
        """Returns what was not let go yet; silence follows."""
        samples = self.held.shape[-1]
        silence = np.zeros((*self.held.shape[:-1], (AHEAD + 1) * self.knot), np.float32)
        return self.step(silence)[..., :samples]

    def turned(self, sound: np.ndarray, ready: int) -> np.ndarray:
        """Returns the first knots' samples, none beyond full scale.

        Args:
            sound: `(rows, channels, (ready + AHEAD) * knot)`.
            ready: how many knots to let go.
        """
        rows, channels, _ = sound.shape
        let_go = sound[..., : ready * self.knot]
        each = np.abs(sound).reshape(rows, channels, -1, self.knot)
        asked = 1.0 - 1.0 / np.maximum(each.max(axis=(1, 3), initial=1.0).astype(float), 1.0)
        if not asked.any() and not self.down.any():
            return let_go
        knots = np.empty((rows, ready + 1))
        for knot in range(ready + 1):
            coming = np.max(COMING * asked[:, knot : knot + AHEAD], axis=1)
            knots[:, knot] = np.maximum(self.down, coming)
            if knot < ready:
                down = self.down * self.back
                self.down = np.maximum(asked[:, knot], np.where(down < NOTHING, 0.0, down))
        line = np.arange(self.knot) / self.knot
        taken = knots[:, :-1, None] + np.diff(knots)[..., None] * line
        gain = 1.0 - taken.reshape(rows, 1, -1)
        return np.clip(let_go * gain, -1.0, 1.0).astype(np.float32)


def limited(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Yields blocks `(rows, channels, samples)` of the same sound, as many samples, limited."""
    limiter = Limiter(sample_rate)
    for block in blocks:
        if (ready := limiter.step(block)).size:
            yield ready
    if limiter.held is not None and limiter.held.size:
        yield limiter.rest()
