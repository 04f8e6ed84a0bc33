"""TensorBoard as an extra: the same rows as log.jsonl, as curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wavegen.errors import UsageError


class Board:
    """Writes what `fit` reports where TensorBoard finds it: `runs/NAME/tensorboard`."""

    def __init__(self, folder: Path) -> None:
        """Opens the log.

        Raises:
            UsageError: TensorBoard is not installed.
        """
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise UsageError(
                "--tensorboard needs TensorBoard; pip install 'wavegen[tensorboard]'"
            ) from None
        self.event, self.summary = Event, Summary
        self.writer = EventFileWriter(str(folder / "tensorboard"))

    def __call__(self, event: dict) -> None:
        """Writes the numbers of one event."""
        if event["event"] == "step":
            self.write(event["step"], {k: event[k] for k in ("loss", "rate", "frames_per_second")})
        if event["event"] == "validation":
            means = {f"held out/{score['name']}": score["mean"] for score in event["scores"]}
            self.write(event["step"], means)

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Writes scalars of one step."""
        rows = [self.summary.Value(tag=k, simple_value=v) for k, v in values.items()]
        self.writer.add_event(self.event(step=step, summary=self.summary(value=rows)))

    def close(self) -> None:
        """Flushes the log."""
        self.writer.close()
