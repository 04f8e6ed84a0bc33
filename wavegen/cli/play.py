"""Sound out of the loudspeaker while it is drawn, where there is one (the extra wavegen[play])."""

from __future__ import annotations

import argparse
from types import TracebackType
from typing import Any

import numpy as np

from wavegen.errors import OutputError, UsageError

INSTEAD = "leave out --play: the file is written anyway"
LATENCY = 0.2  # seconds that the device may run ahead of the ear


class Player:
    """Takes blocks like a file's writer, and waits when it is far enough ahead of the ear."""

    def __init__(self, device: Any, stream: Any) -> None:
        """Takes the library and its open output."""
        self.device, self.stream, self.underruns, self.broken = device, stream, 0, ""

    @classmethod
    def open(cls, config: Any, arguments: argparse.Namespace) -> Player:
        """Returns a player at the model's rate and channels.

        Raises:
            UsageError: more than one variation is asked for, or the library is not installed.
            OutputError: there is no sound device, or it refuses.
        """
        if arguments.count > 1:
            raise UsageError(f"--play plays one variation, not {arguments.count}; add -n 1")
        try:
            import sounddevice
        except ImportError as error:
            raise UsageError(
                f"--play needs sounddevice; pip install 'wavegen[play]', or {INSTEAD}"
            ) from error
        except OSError as error:
            raise OutputError(
                f"--play: the PortAudio library is missing; install libportaudio2, or {INSTEAD}"
            ) from error
        try:
            stream = sounddevice.OutputStream(
                config.sample_rate, channels=config.channels, dtype="float32", latency=LATENCY
            )
        except (sounddevice.PortAudioError, ValueError) as error:
            reason = str(error).split("\n")[0]
            raise OutputError(
                f"--play: no sound device to play on ({reason}); {INSTEAD}"
            ) from error
        return cls(sounddevice, stream)

    def write(self, signal: np.ndarray) -> None:
        """Plays a block `(channels, samples)`; a device that goes away stops nothing but itself."""
        if self.broken:
            return
        try:
            late = self.stream.write(np.ascontiguousarray(signal.T, np.float32))
            self.underruns += bool(late)
        except self.device.PortAudioError as error:
            self.broken = str(error).split("\n")[0]

    def __enter__(self) -> Player:
        """Starts the device."""
        self.stream.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        """Plays what is left and stops; an interrupt is obeyed at once."""
        if kind is None:
            self.stream.stop()
        else:
            self.stream.abort()
