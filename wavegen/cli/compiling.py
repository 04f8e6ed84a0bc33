"""A live line while the drawing engine is compiled, which happens once on a machine."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from wavegen.cli.display import Console

SECONDS = 30  # that compiling takes, about
PATIENCE = 1.0  # seconds without a word: fetching from the cache takes less


def compiled(work: Callable[[], None], console: Console) -> None:
    """Does the work, which compiles an engine or fetches it, and says so if it takes long."""
    with ThreadPoolExecutor(1) as pool, console.live("compiling") as live:
        future, began, said = pool.submit(work), time.monotonic(), False
        while not future.done():
            concurrent.futures.wait([future], 0.1)
            taken = time.monotonic() - began
            if taken >= PATIENCE and not said and not future.done():
                console.note(f"compiling the engine for this machine, once: about {SECONDS} s")
                said = True
            if said:
                live.update(min(taken / SECONDS, 0.99), f"{taken:.0f} s")
        future.result()
