"""Speed of a duet: how fast it plays, when its first block is there, and who takes the time.

    python benchmarks/duet.py [--presets small fullband] [--runs RUN...] [--seconds 10] [--cores 1]

A preset is trained for one step on the shipped recordings (what it plays is noise; how fast, does
not hang on that), `mono` being `small` at 16 kHz in one channel; a run is played as it is. Figures
are medians of rounds: times real time; milliseconds from the seed being heard to the first 20 ms
of sound; and shares of the time in the composer, in telling (bands, predictor and excitation,
limiter) and in the renderer's engine. With the guard, as `sample` does it, and without.
"""

# ruff: noqa: E402 - NumPy and Keras look at the cores when they are imported

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def arguments() -> argparse.Namespace:
    """Returns the choices of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--presets", nargs="*", default=["mono", "small", "fullband"], help="mono, or of train")
    add("--runs", nargs="*", default=[], help="duets that are trained")
    add("--seconds", type=float, default=10.0, help="to play (10)")
    add("--rounds", type=int, default=3, help="of each measurement (3)")
    add("--cores", type=int, default=1, help="cores to play on (1)")
    return parser.parse_args()


def pin(cores: int | None) -> None:
    """Keeps this process, and those that it starts, on the first cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, ALL_CORES[:cores])


OPTIONS = arguments()
ALL_CORES = sorted(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
pin(OPTIONS.cores)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from wavegen import audio, checkpoint
from wavegen.duet import Duet

RECORDINGS = Path(__file__).parents[1] / "recordings" / "shipped"
SEED_SECONDS = 4.0
PRESETS = {"mono": ["--preset", "small", "--sample-rate", "16000", "--channels", "1"]}
COLUMNS = ("x real time", "first ms", "composer %", "telling %", "renderer %")


def models(scratch: str) -> Iterator[tuple[str, checkpoint.ModelFile]]:
    """Yields names and duets, those of presets made here."""
    for preset in OPTIONS.presets:
        command = [sys.executable, "-m", "wavegen", "train", str(RECORDINGS), "--arch", "duet"]
        command += [*PRESETS.get(preset, ["--preset", preset]), "--steps", "1", "-q"]
        command += ["--sample-seconds", "0.1", "--runs", scratch, "--name", preset]
        pin(None)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        pin(OPTIONS.cores)
        yield preset, checkpoint.read_model(checkpoint.find_model(preset, scratch))
    for run in OPTIONS.runs:
        yield run, checkpoint.read_model(checkpoint.find_model(run))


class Watch:
    """Adds up the seconds that pass in a function, or until a generator yields."""

    def __init__(self) -> None:
        """Starts at 0."""
        self.seconds = 0.0

    def of(self, function: Any) -> Any:
        """Returns the function, watched."""

        def watched(*values: Any, **named: Any) -> Any:
            began = time.perf_counter()
            found = function(*values, **named)
            self.seconds += time.perf_counter() - began
            return found

        return watched

    def each(self, generator: Any) -> Any:
        """Returns a function that makes a generator, which is watched."""

        def watched(*values: Any, **named: Any) -> Iterator[Any]:
            blocks = generator(*values, **named)
            following = self.of(lambda: next(blocks, None))
            while (block := following()) is not None:
                yield block

        return watched


def measured(duet: Duet, heard: Any, guard: bool) -> list[float]:
    """Returns the columns of one round."""
    composer, renderer = Watch(), Watch()
    stream, opened = duet.composer.stream, duet.renderer.engine.open

    def voices(session: Any) -> Any:
        found = opened(session)
        found.draw = renderer.of(found.draw)
        return found

    duet.composer.stream = composer.each(stream)  # type: ignore[method-assign]
    duet.renderer.engine.open = voices
    try:
        began = time.perf_counter()
        blocks = duet.stream(heard, OPTIONS.seconds, guard=guard)
        next(blocks)
        first = time.perf_counter() - began
        for _ in blocks:
            pass
        whole = time.perf_counter() - began
    finally:
        duet.composer.stream = stream  # type: ignore[method-assign]
        duet.renderer.engine.open = opened
    shares = np.array([composer.seconds, 0.0, renderer.seconds]) / whole
    shares[1] = 1.0 - shares.sum()
    return [OPTIONS.seconds / whole, 1000 * first, *(100 * shares)]


def main() -> None:
    """Prints a row a duet, with the guard and without."""
    print(f"{'':24}{''.join(f'{name:>13}' for name in COLUMNS)}")
    with tempfile.TemporaryDirectory() as scratch:
        for name, file in models(scratch):
            duet, config = Duet(file), file.config
            path = min(RECORDINGS.glob("*.wav"))
            sound = audio.read(path, sample_rate=config.sample_rate, channels=config.channels)[0]
            duet.warm_up()
            heard = duet.listen(sound[:, -round(SEED_SECONDS * config.sample_rate) :])
            for guard in (True, False):
                rounds = [measured(duet, heard, guard) for _ in range(OPTIONS.rounds + 1)][1:]
                values = "".join(f"{value:13.1f}" for value in np.median(rounds, axis=0))
                print(f"{name + ('' if guard else ', no guard'):24}{values}", flush=True)


if __name__ == "__main__":
    main()
