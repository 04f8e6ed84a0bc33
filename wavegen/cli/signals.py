"""SIGINT and SIGTERM while training: finish the step and save; a second one leaves at once."""

from __future__ import annotations

import signal
import socket
import threading
from typing import Any

from wavegen.cli.display import Console


class Signals:
    """Turns the first SIGINT or SIGTERM into "stop after this step", the second into an exit.

    A thread hears them: Python's own handlers must wait while TensorFlow compiles, for up to a
    minute. Where all that was learned is saved already, the first one, too, leaves at once.

    Attributes:
        received: number of the first signal, 0 before.
        worth_saving: whether steps have been taken that are to be saved.
    """

    def __init__(self, console: Console) -> None:
        """Remembers where to say so."""
        self.console, self.received, self.worth_saving = console, 0, False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        """Takes both signals over."""
        self.reader, self.writer = socket.socketpair()
        self.writer.setblocking(False)
        self.woken = signal.set_wakeup_fd(self.writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, lambda *_: None)  # the thread hears it
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Gives both signals back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self.woken)
        self.writer.close()  # which ends the thread

    def listen(self) -> None:
        """Takes one signal after the other, by its number."""
        with self.reader:
            while heard := self.reader.recv(1):
                if heard[0] in (signal.SIGINT, signal.SIGTERM):
                    self.receive(heard[0])

    def receive(self, number: int) -> None:
        """Notes the first signal once there is something to save; else leaves at once."""
        if self.received or not self.worth_saving:
            self.console.leave(
                "stopped; the same command continues from what is saved", 128 + number
            )
        self.received = number
        self.console.note("finishing this step and saving; once more stops at once")

    def stopped(self) -> bool:
        """Returns whether a signal has come."""
        return bool(self.received)
