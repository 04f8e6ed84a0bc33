"""Sound out of the loudspeaker while it is drawn, where there is one (the extra wavegen[play])."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from wavegen.errors import OutputError, UsageError

INSTEAD = "leave out --play: the file is written anyway"
LATENCY = 0.2  # seconds that the device may run ahead of the ear


def check(arguments: argparse.Namespace) -> None:
    """Raises what speaks against playing before anything is trained, loaded or drawn.

    Raises:
        UsageError: more than one variation is asked for, or the library is not installed.
        OutputError: the system's own sound library is missing.
    """
    if arguments.count > 1:
        raise UsageError(f"--play plays one variation, not {arguments.count}; add -n 1")
    try:
        import sounddevice  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--play needs sounddevice; pip install 'wavegen[play]', or {INSTEAD}"
        ) from error
    except OSError as error:
        raise OutputError(
            f"--play: the PortAudio library is missing; install libportaudio2, or {INSTEAD}"
        ) from error


class Player:
    """Takes blocks like a file's writer, and waits when it is far enough ahead of the ear."""

    def __init__(self, device: Any, stream: Any, block: int) -> None:
        """Takes the library, its open output, and how many samples to hand over at a time."""
        self.device, self.stream, self.block = device, stream, block
        self.underruns, self.broken = 0, ""

    @classmethod
    def open(cls, config: Any) -> Player:
        """Returns a player at the model's rate and channels.

        Raises:
            OutputError: there is no sound device, or it refuses.
        """
        import sounddevice

        try:
            stream = sounddevice.OutputStream(
                config.sample_rate, channels=config.channels, dtype="float32", latency=LATENCY
            )
        except (sounddevice.PortAudioError, ValueError) as error:
            reason = str(error).split("\n")[0]
            raise OutputError(
                f"--play: no sound device to play on ({reason}); {INSTEAD}"
            ) from error
        return cls(sounddevice, stream, max(1, round(LATENCY * config.sample_rate)))

    def write(self, signal: np.ndarray) -> None:
        """Plays a block `(channels, samples)`; a device that goes away stops nothing but itself."""
        for start in range(0, signal.shape[1], self.block):  # between two, Ctrl-C is heard
            part = signal[:, start : start + self.block]
            if not self.broken:
                late = self.tried(self.stream.write, np.ascontiguousarray(part.T, np.float32))
                self.underruns += bool(late)

    def tried(self, verb: Callable, *arguments: Any) -> Any:
        """Returns what a verb of the device returns, or remembers that it is broken."""
        try:
            return verb(*arguments)
        except self.device.PortAudioError as error:
            self.broken = str(error).split("\n")[0]
            return None

    def __enter__(self) -> Player:
        """Starts the device."""
        self.underruns, self.broken = 0, ""
        self.tried(self.stream.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        """Plays what is left and stops; an interrupt is obeyed at once."""
        self.tried(self.stream.stop if kind is None else self.stream.abort)
