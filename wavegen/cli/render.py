"""`wavegen render`: play a sound on the instrument that a conditioned WaveNet has become."""

from __future__ import annotations

import argparse
import contextlib
import functools
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wavegen import __version__, audio, checkpoint, engines
from wavegen.chance import uniforms
from wavegen.cli import drawing, naming
from wavegen.cli.compiling import show_compiling
from wavegen.cli.display import Console, clock
from wavegen.climate import SECONDS, level_db
from wavegen.draft import check_folder
from wavegen.errors import CheckpointError, Error
from wavegen.modelfile import judge_of
from wavegen.recipe import Rendering, digest
from wavegen.rendering import Instrument

STEP = 2.0**-15  # of 16 bits, linear amplitude
FAR = 1 << 52  # where the chance of what is added begins, beyond all of what is drawn


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Renders every sound; returns 0 only if each of them worked."""
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(10**6)
    engines.check_names(arguments.engine, arguments.precision)
    sounds = [Path(name) for name in arguments.sounds]
    for sound in sounds:
        drawing.check_seed(sound)  # say what is wrong with it before anything is loaded
    check_folder(Path(arguments.out))
    file = checkpoint.read_model(find_model(arguments))
    console.note(f"model: {audio.shown(file.path)}")
    paths = [naming.name_of(sound, file, 0, arguments) for sound in sounds]
    naming.check_different(paths)
    instrument = prepare(file, arguments.engine, arguments.precision, console)
    code = 0
    for sound, path in zip(sounds, paths, strict=True):
        try:
            render(sound, path, instrument, file, arguments, console)
        except Error as error:
            if len(sounds) == 1:
                raise
            console.error(str(error))
            code = error.exit_code
    return code


def find_model(arguments: argparse.Namespace) -> Path:
    """Returns the model to use; where none has been trained, it says which ones can render."""
    try:
        return checkpoint.find_model(arguments.model, arguments.runs)
    except CheckpointError:
        if arguments.model is not None:
            raise
        raise CheckpointError(
            f"{audio.shown(arguments.runs)}: holds no model yet; add -m demo-wavenet, or run: "
            "python -m wavegen train --arch duet"
        ) from None


def render(
    sound: Path,
    path: Path,
    instrument: Instrument,
    file: checkpoint.ModelFile,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Renders one sound into a file that carries how it was made."""
    naming.refuse(path, sound, arguments.force, *map(Path, arguments.sounds))
    made = Rendering(
        __version__, file.sha256, str(file.path), str(sound), digest(sound), arguments.seed,
        arguments.temperature, arguments.follow, instrument.engine.name,
        instrument.engine.precision,
    )  # fmt: skip
    write_rendered(instrument, made, sound, path, arguments.subtype, arguments.force, console)
    console.result(str(path))


def prepare(
    file: checkpoint.ModelFile, engine: str | None, precision: str | None, console: Console
) -> Instrument:
    """Returns an instrument that is ready to play."""
    instrument = Instrument(judge_of(file), engine, precision)
    show_compiling(instrument.engine.warm_up, console)
    return instrument


def write_rendered(
    instrument: Instrument,
    made: Rendering,
    sound: Path,
    path: Path,
    subtype: str | None,
    force: bool,
    console: Console,
) -> None:
    """Writes what an instrument makes of a sound; memory does not grow with its length.

    Args:
        instrument: that plays.
        made: the recipe, which the file carries.
        sound: to be played.
        path: of the result.
        subtype: of the result's samples; None is 16 bits.
        force: a result that exists may be replaced.
        console: told of speed.

    Raises:
        Error: the sound cannot be read, or the result not be written.
    """
    config, info = instrument.config, audio.info(sound)
    seconds = info.frames / info.sample_rate
    began, done = time.monotonic(), 0
    telling = drawing.told_if_interrupted([path], console)
    with telling, contextlib.ExitStack() as stack, console.live("rendering") as live:
        writer = stack.enter_context(
            audio.Writer(
                path, config.sample_rate, config.channels, subtype=subtype or "PCM_16",
                metadata=made.metadata(), force=force,
            )
        )  # fmt: skip
        silence = np.zeros((config.channels, 0), np.float32)
        told = functools.partial(heard, sound, config.sample_rate, config.channels, made.seed)
        for block in instrument.play(
            told(),
            silence,
            rng_seed=made.seed,
            temperature=made.temperature,
            follow=made.follow,
            loudest_db=loudest_db(told(), config.sample_rate),
        ):
            writer.write(block[0])
            done += block.shape[-1]
            speed = done / config.sample_rate / (time.monotonic() - began)
            left = max(0.0, seconds - done / config.sample_rate) / speed
            share = min(1.0, done / config.sample_rate / max(seconds, 1e-9))
            live.update(share, f"{speed:.2f} x real time  {clock(left)} left")
    taken, length = time.monotonic() - began, done / config.sample_rate
    console.note(
        f"{clock(length)} in {clock(taken)} ({length / taken:.2f} x real time), seed {made.seed}"
    )


def loudest_db(blocks: Iterator[np.ndarray], sample_rate: int) -> float:
    """Returns the RMS level of the loudest half second or so of blocks, dB under full scale."""
    loudest = -np.inf
    for block in blocks:
        count = max(1, round(block.shape[-1] / (SECONDS * sample_rate)))
        loudest = max(loudest, *(level_db(p) for p in np.array_split(block, count, axis=-1)))
    return loudest


def heard(sound: Path, sample_rate: int, channels: int, seed: int) -> Iterator[np.ndarray]:
    """Yields blocks `(1, channels, samples)` of a file at the model's rate and channels.

    Where it sounds, noise of a step of 16 bits is added: the filters of a sound that has none at
    all, as a synthesizer's has, gain so much that what is drawn bursts out.
    """
    start = FAR
    for block in audio.blocks(sound, sample_rate=sample_rate, channels=channels):
        noise = 2 * uniforms(seed, 0, start, block.shape[1], (channels,)).T - 1
        yield (block + np.where(block == 0, np.float32(0), np.float32(STEP) * noise))[None]
        start += block.shape[1]
