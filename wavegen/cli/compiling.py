"""A live line while the drawing engine is compiled, which happens once on a machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from wavegen.cli.display import Console

SECONDS = 10  # that compiling takes, about
PATIENCE = 1.0  # seconds without a word: fetching from the cache takes less


def show_compiling(work: Callable[[], None], console: Console) -> None:
    """Does the work, which compiles an engine or fetches it, and says so if it takes long.

    An interrupt is obeyed at once: the compiler, which hears none, is left to itself.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread, began, said = threading.Thread(target=run, daemon=True), time.monotonic(), False
    with console.live("compiling") as live:
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
            taken = time.monotonic() - began
            if taken >= PATIENCE and not said and thread.is_alive():
                console.note(
                    f"compiling the engine for this machine and precision, once: about {SECONDS} s"
                )
                said = True
            if said:
                live.update(min(taken / SECONDS, 0.99), f"{taken:.0f} s")
    if failed:
        raise failed[0]
