"""From recipes to files: what `sample` and `again` have in common.

Both draw from the recipe that the file will carry, so that what it says is what was done.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wavegen import audio, checkpoint
from wavegen.cli.compiling import show_compiling
from wavegen.cli.display import Console, Live, clock, hushed
from wavegen.duet import sampler_of
from wavegen.errors import AudioError, UsageError
from wavegen.findings import SILENCE
from wavegen.levels import QUIET
from wavegen.recipe import Recipe
from wavegen.sampling import BLOCK_SECONDS

FILE_SECONDS = 0.125  # drawn at a time where nobody listens meanwhile
ROOM = 160  # bytes of a WAV's comment kept for what the guard has to say
ROUGH_SECONDS = 0.05  # so exactly is told where a seed falls silent
KEPT_SECONDS = 30.0  # to tell what went wrong
LEAST_SAMPLES = 256  # of a seed: fewer are a click, most likely a file gone wrong


def prepare(
    file: checkpoint.ModelFile,
    engine: str | None,
    precision: str | None,
    sustain: float | None,
    guard: bool,
    console: Console,
) -> Any:
    """Returns a `Sampler`, or a `Duet`, that is ready to draw."""
    with hushed():
        sampler = sampler_of(file, engine, precision, sustain=sustain)
    if guard and not sampler.climate:
        console.note("the model does not say what its recordings are like: it is left alone")
    show_compiling(sampler.warm_up, console)
    return sampler


def check_seed(seed: Path) -> None:
    """Raises AudioError where a file is no sound, or too little of it to go on from."""
    info = audio.info(seed)
    if info.frames < LEAST_SAMPLES:
        raise AudioError(
            f"{audio.shown(seed)}: too short ({info.frames / info.sample_rate:.3f} s, "
            f"{info.frames} samples); give one of at least {LEAST_SAMPLES}"
        )


def check_seconds(seconds: float, rate: int) -> None:
    """Raises UsageError for a length, at a model's rate in Hz, that holds no sample."""
    if not round(seconds * rate):
        raise UsageError(
            f"--seconds {seconds:g} is less than a sample of the model's {rate} Hz; ask for more"
        )


def samples_in(seconds: float, rate: int) -> int:
    """Returns how many samples at a rate in Hz so many seconds are, one at least."""
    return max(1, round(seconds * rate))


def read_end(
    seed: Path | None, rate: int, channels: int, seconds: float, stop: int | None = None
) -> tuple[np.ndarray, int]:
    """Returns the end of a seed, and where in it that end is.

    Args:
        seed: a file of sound; None has no samples.
        rate: of the model, Hz.
        channels: of the model.
        seconds: how much of it; at least a sample.
        stop: samples at the model's rate to read; None reads the whole file.

    Returns:
        float32 `(channels, samples)` and the number of samples read.

    Raises:
        AudioError: it cannot be read or holds nothing.
    """
    wanted = samples_in(seconds, rate)
    tail, position = np.zeros((channels, 0), "float32"), 0
    if seed is None:
        return tail, position
    for block in audio.blocks(seed, sample_rate=rate, channels=channels):
        block = block[:, : None if stop is None else stop - position]
        tail = np.concatenate([tail, block], axis=1)[:, -wanted:]
        position += block.shape[1]
        if position == stop:
            break
    if not tail.shape[1]:
        raise AudioError(f"{audio.shown(seed)}: contains no audio; give another seed")
    return tail, position


def sounding(seed: Path, rate: int, channels: int) -> int:
    """Returns up to which sample, at the model's rate, a seed is more than silence.

    Args:
        seed: a file of sound.
        rate: of the model, Hz.
        channels: of the model.

    Raises:
        AudioError: it cannot be read.
    """
    size, peaks, last = round(ROUGH_SECONDS * rate), [], 0
    for block in audio.blocks(seed, sample_rate=rate, channels=channels, block_frames=size):
        peaks.append(float(np.abs(block).max()))
        last += block.shape[1]
    heard = np.flatnonzero(np.array(peaks) >= max(QUIET, SILENCE * max(peaks, default=0.0)))
    return min(last, (int(heard[-1]) + 1) * size) if len(heard) else last


@contextlib.contextmanager
def told_if_interrupted(paths: Sequence[Path], console: Console) -> Iterator[None]:
    """Says of an interruption that what is in the files by then is kept."""
    try:
        yield
    except KeyboardInterrupt:
        console.note("what was drawn so far is kept")
        for path in paths:
            if path.exists():
                console.result(str(path))
        raise


def write_drawn(
    sampler: Any,
    heard: np.ndarray,
    recipes: Sequence[Recipe],
    paths: Sequence[Path],
    console: Console,
    *,
    subtype: str | None = None,
    force: bool = False,
    player: Any = None,
    limit: int | None = None,
) -> np.ndarray:
    """Draws variations of one seed into files, block by block, and tells how fast it went.

    Args:
        sampler: of the model.
        heard: `(channels, samples)`, the seed's end.
        recipes: one a file; they differ in variation and controls only.
        paths: of the files.
        console: to tell it to.
        subtype: of the files; 16 bits by default.
        force: replace files that exist.
        player: hears the (only) variation while it is drawn.
        limit: samples that each file gets at most; what follows is not drawn.

    Returns:
        the last half minute of the continuations `(count, channels, samples)`.

    Raises:
        OutputError: a file cannot be written.
    """
    began, seconds = time.monotonic(), recipes[0].ends[-1]
    telling = told_if_interrupted(paths, console)
    with telling, contextlib.ExitStack() as stack, console.live("drawing") as live:
        writers = [
            stack.enter_context(
                audio.Writer(
                    path,
                    sampler.config.sample_rate,
                    sampler.config.channels,
                    subtype=subtype or "PCM_16",
                    metadata=recipe.metadata(),
                    room=ROOM,
                    force=force,
                )
            )
            for recipe, path in zip(recipes, paths, strict=True)
        ]
        if player:
            stack.enter_context(player)

        again: list[list[float]] = [[] for _ in recipes]

        def tell(variation: int, second: float, what: str) -> None:
            row = variation - recipes[0].variation
            writers[row].remark(f" guard {second:g}s {what}")
            if not again[row]:  # the others are counted
                console.note(f"{audio.shown(paths[row])}: {what} at {second:.1f} s, drawn again")
            again[row].append(second)

        drawn = _draw(sampler, heard, recipes, writers, player, limit, tell, live)
    for path, times in zip(paths, again, strict=True):
        if len(times) > 1:
            console.note(
                f"{audio.shown(path)}: drawn again {len(times)} times, last at {times[-1]:.1f} s"
            )
    taken, count = time.monotonic() - began, len(recipes)
    console.note(
        f"{count} x {seconds:g} s in {clock(taken)} "
        f"({count * seconds / taken:.2f} x real time), seed {recipes[0].seed}"
    )
    return drawn


def _draw(
    sampler: Any,
    heard: np.ndarray,
    recipes: Sequence[Recipe],
    writers: list[audio.Writer],
    player: Any,
    limit: int | None,
    tell: Callable[[int, float, str], None],
    live: Live,
) -> np.ndarray:
    """Writes the seed's end, if wanted, and the continuation; returns its last half minute."""
    one, rate, delay = recipes[0], sampler.config.sample_rate, sampler.codec.delay_samples
    # The stream begins `delay` samples before the seed's end, where both overlap.
    skip = 0 if one.with_prime and heard.shape[1] >= delay else delay
    session = sampler.listen(heard)  # before anything is played, so that no gap is heard
    left = np.iinfo(np.int64).max if limit is None else limit

    def write(signals: np.ndarray) -> None:
        nonlocal left
        signals = signals[..., :left]
        left -= signals.shape[-1]
        for writer, signal in zip(writers, signals, strict=True):
            writer.write(signal)
        if player:
            player.write(signals[0])

    if one.with_prime:
        write(np.repeat(heard[None, :, : max(0, heard.shape[1] - delay)], len(writers), axis=0))
    began, done, total = time.monotonic(), -delay, round(one.ends[-1] * rate)
    kept: list[np.ndarray] = []
    block_seconds = BLOCK_SECONDS if player else FILE_SECONDS
    blocks = sampler.stream(
        session,
        one.ends[-1],
        count=len(recipes),
        rng_seed=one.seed,
        first_variation=one.variation,
        block_seconds=block_seconds,
        guard=one.guard,
        candidates=one.candidates,
        ends=one.ends[:-1],
        tell=tell,
        **{name: [recipe.controls[name] for recipe in recipes] for name in one.controls},
    )
    for block in blocks:
        new = block[..., min(skip, block.shape[-1]) :]
        skip -= block.shape[-1] - new.shape[-1]
        write(new)
        kept = [*kept, new][-round(KEPT_SECONDS / block_seconds) :]
        done += block.shape[-1]
        speed = max(done, 0) / rate / (time.monotonic() - began)
        rest = (total - done) / rate / speed if speed else 0
        live.update(max(done, 0) / total, f"{speed:.2f} x real time  {clock(rest)} left")
        if not left:
            break
    return np.concatenate(kept, axis=-1)
