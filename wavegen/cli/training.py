"""What a training says of itself, as the terminal shows it."""

from __future__ import annotations

import time
from typing import Any

from wavegen.checkpoint import Run
from wavegen.cli.display import Console, Live, clock, large


class Show:
    """Renders what `fit` reports."""

    def __init__(
        self, console: Console, live: Live, run_folder: Run, seconds: Any, arguments: Any
    ) -> None:
        """Takes what it writes to and the box, for the ETA."""
        self.console, self.live, self.seconds, self.steps = console, live, seconds, arguments.steps
        self.trained, self.began, self.first = 0, time.monotonic(), 0.0
        self.board = None
        if arguments.tensorboard:
            from wavegen.cli.board import Board

            self.board = Board(run_folder.folder)

    def __call__(self, event: dict) -> None:
        """Shows one event."""
        getattr(self, f"on_{event['event']}")(event)
        if self.board:
            self.board(event)

    def on_step(self, event: dict) -> None:
        """Moves the live line: step, loss, speed, time left."""
        if not self.trained:
            self.began, self.first = time.monotonic(), event["progress"]
        self.trained += 1
        done = event["progress"] - self.first
        left = (1 - event["progress"]) / done * (time.monotonic() - self.began) if done else 0
        self.live.update(
            event["progress"],
            f"step {event['step']}  loss {event['loss']:.4f}  "
            f"{large(event['frames_per_second'])} frames/s  {clock(left)} left",
        )

    def on_validation(self, event: dict) -> None:
        """Prints the model's line beside the best baseline's, and the verdict."""
        if not event["scores"]:
            self.console.note(f"step {event['step']}: {event['verdict']}")
            return
        model = event["scores"][0]
        mark = " *" if event["best"] else ""
        self.console.note(
            f"step {event['step']:6}  {clock(event['seconds']):>7}  held out: {model['mean']:.3f} "
            f"{model['unit']}{mark}  {event['verdict']}"
        )

    def on_baselines(self, event: dict) -> None:
        """Prints the yardsticks once."""
        rows = [[s["name"], f"{s['mean']:.3f}"] for s in event["scores"]]
        self.console.table(["held out", event["scores"][0]["unit"]], rows)

    def on_note(self, event: dict) -> None:
        """Prints a sentence."""
        self.console.note(event["text"])

    def on_kept(self, event: dict) -> None:
        """Says nothing: the star beside the score does."""

    def on_saved(self, event: dict) -> None:
        """Says nothing: saving is routine."""

    def close(self) -> None:
        """Closes the TensorBoard log."""
        if self.board:
            self.board.close()
