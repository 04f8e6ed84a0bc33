"""What the user asked of a training, and how its pace is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LISTENED = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7)  # shares of the box after which samples are drawn


class Stopped(Exception):
    """The user wants to stop: whatever takes long between two steps is given up."""


@dataclass
class Plan:
    """What the user asked of one training: the box, and who listens.

    Attributes:
        seconds: length of the time box over all sessions of the run, or None.
        steps: number of steps over all sessions, or None for no limit but the time.
        report: called with a dict for every event: "step", "validation", "note", "kept", "saved".
        listen: called with (model, step, climate) at early moments and at the end.
        stop: returns True when the user wants to stop after the present step.
    """

    seconds: float | None = None
    steps: int | None = None
    report: Callable[[dict], None] = field(default=lambda event: None)
    listen: Callable[[Any, int, Any], None] = field(default=lambda model, step, climate: None)
    stop: Callable[[], bool] = field(default=lambda: False)

    def check(self) -> None:
        """Raises Stopped if the user wants to stop."""
        if self.stop():
            raise Stopped

    def progress(self, step: int, elapsed: float) -> float:
        """Returns the share of the box that is full: of its steps or its time, the fuller one."""
        shares = [0.0]
        if self.steps is not None:
            shares.append(step / max(self.steps, 1))
        if self.seconds is not None:
            shares.append(elapsed / self.seconds)
        return min(1.0, max(shares))

    def is_validation_time(self, last: float, cost: float) -> bool:
        """Returns whether to score again; it may take 4 % of the time.

        Args:
            last: when it was done last, by `time.monotonic`.
            cost: how long it took, s.
        """
        pause = max(25.0 * cost, 20.0, (self.seconds or 0.0) / 25)
        return time.monotonic() - last > pause

    def is_listening_time(self, listened: float, progress: float) -> bool:
        """Returns whether one of the early moments has passed since the last listening."""
        return any(listened < at <= progress < 1.0 for at in LISTENED)


class Clock:
    """The seconds spent on a run, those of earlier sessions counted."""

    def __init__(self, spent: float = 0.0) -> None:
        """Starts; `spent` are those of earlier sessions."""
        self.spent, self.began = spent, time.monotonic()

    def elapsed(self) -> float:
        """Returns them."""
        return self.spent + time.monotonic() - self.began

    def spare(self, box: float | None) -> None:
        """Lets what came before the first step count as half of the rest of the box at most.

        Starting takes a minute on a slow machine, and a short box is there to be trained in.
        """
        if box is not None:
            self.began = max(self.began, time.monotonic() - max(box - self.spent, 0.0) / 2)


class Meter:
    """A running mean of the loss and of the speed, over about the last two seconds."""

    def __init__(self) -> None:
        """Starts with nothing."""
        self.rows: list[tuple[float, float, int]] = []
        self.logged = 0.0

    def add(self, loss: float, frames: int) -> None:
        """Takes one step's loss and number of frames."""
        now = time.monotonic()
        self.rows.append((now, loss, frames))
        while len(self.rows) > 8 and self.rows[0][0] < now - 2.0:
            self.rows.pop(0)

    def pause(self) -> None:
        """Forgets the past: what comes next must not count the time of a validation."""
        self.rows = []

    def read(self) -> tuple[float, float]:
        """Returns (mean loss, frames a second)."""
        span = self.rows[-1][0] - self.rows[0][0]
        frames = sum(row[2] for row in self.rows[1:])
        return float(np.mean([row[1] for row in self.rows])), frames / span if span else 0.0

    def due(self) -> bool:
        """Returns True about once a second."""
        now = time.monotonic()
        if now - self.logged < 1.0:
            return False
        self.logged = now
        return True
