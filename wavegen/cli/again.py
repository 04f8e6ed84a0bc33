"""`wavegen again`: makes a drawn file again from the recipe that it carries, or plays it on."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wavegen import __version__, audio, checkpoint, engines, listing, recipe
from wavegen.cli import drawing, naming
from wavegen.cli import render as rendering
from wavegen.cli.display import Console, clock
from wavegen.demo import DEMOS
from wavegen.errors import AudioError, CheckpointError, Error, UsageError, shown
from wavegen.recipe import Recipe, Rendering
from wavegen.writer import SUBTYPES


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Draws every file again; returns 0 only if each is the same, bit for bit."""
    code = 0
    naming.check_different(target_of(Path(name), arguments) for name in arguments.files)
    for name in arguments.files:
        try:
            make_again(Path(name), arguments, console)
        except Error as error:
            if len(arguments.files) == 1:
                raise
            console.error(str(error))
            code = error.exit_code
    return code


def make_again(path: Path, arguments: argparse.Namespace, console: Console) -> None:
    """Draws one file again beside or in place of none, and compares the two.

    Raises:
        Error: what was drawn, on this machine, is not what the file holds.
    """
    made = recipe.read_any(path)
    info = audio.info(path)
    target = target_of(path, arguments)
    naming.refuse(target, path, arguments.force)
    file = find_model(made, path, arguments)
    rate, channels = file.config.sample_rate, file.config.channels
    if (info.sample_rate, info.channels) != (rate, channels):
        raise AudioError(
            f"{shown(path)}: was converted to {info.sample_rate} Hz, {info.channels} channels; "
            f"use the file as it was drawn ({rate} Hz, {channels})"
        )
    engines.check_names(made.engine, made.precision)
    if made.version != __version__:
        console.warning(f"{shown(path)}: drawn by wavegen {made.version}, this is {__version__}")
    kind = target.suffix.lower()
    subtype = info.subtype if info.subtype in SUBTYPES[kind] else None
    if isinstance(made, Rendering):
        if arguments.seconds is not None:
            raise UsageError(f"{shown(path)}: was rendered, and is as long as what it plays")
        sound = find_played(made, path, arguments)
        naming.refuse(target, sound, arguments.force)
        instrument = rendering.prepare(file, made.engine, made.precision, console)
        rendering.write_rendered(instrument, made, sound, target, subtype, arguments.force, console)
    else:
        draw_again(made, path, target, file, info.frames, subtype, arguments, console)
    console.result(str(target))
    compare(path, target, console)


def draw_again(
    made: Recipe,
    path: Path,
    target: Path,
    file: checkpoint.ModelFile,
    frames: int,
    subtype: str | None,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Draws a take again, or on, into the target; `frames` is how long the file is."""
    rate, channels = file.config.sample_rate, file.config.channels
    heard, seed = find_seed(made, path, rate, channels, arguments)
    naming.refuse(target, seed, arguments.force)
    sampler = drawing.prepare(file, made.engine, made.precision, made.sustain, made.guard, console)
    sampler.check_controls(dict(made.controls))
    written = heard.shape[1] if made.with_prime else 0
    new, limit = made, frames
    if arguments.seconds is not None:
        drawing.check_seconds(arguments.seconds, rate)
        wanted = round(arguments.seconds * rate)
        new, limit = played_on(made, arguments.seconds), written + wanted
    drawing.write_drawn(
        sampler, heard, [new], [target], console, subtype=subtype, force=arguments.force,
        limit=limit,
    )  # fmt: skip


def target_of(path: Path, arguments: argparse.Namespace) -> Path:
    """Returns where the sound goes: another name than the file's own, of a kind we can write."""
    suffix = path.suffix if path.suffix.lower() in SUBTYPES else ".wav"
    mark = "again" if arguments.seconds is None else f"{arguments.seconds:g}s"
    return Path(arguments.out) / f"{path.stem}-{mark}{suffix}"


def played_on(made: Recipe, seconds: float) -> Recipe:
    """Returns the recipe of a take of another length, in which all that is there stays.

    An end that was planned stays one, even of a take that was interrupted before it: it decides
    how the last second before it was drawn.

    Args:
        made: the file's.
        seconds: length of the continuation wanted; a shorter one has the same recipe.
    """
    if seconds <= made.ends[-1]:
        return made
    return dataclasses.replace(made, ends=(*made.ends, seconds))


def find_model(
    made: Recipe | Rendering, path: Path, arguments: argparse.Namespace
) -> checkpoint.ModelFile:
    """Returns the model that drew a file.

    Raises:
        CheckpointError: it is not here, or no longer what it was.
    """
    if arguments.model is not None:
        file = checkpoint.read_model(checkpoint.find_model(arguments.model, arguments.runs))
        if file.sha256 != made.model:
            raise CheckpointError(
                f"{shown(file.path)}: is {file.sha256[:12]}, not the model {made.model[:12]} that "
                f"drew {shown(path)}; name that one"
            )
        return file
    there = Path(made.model_path)
    known = [run.model_path for run in checkpoint.runs(arguments.runs)]
    for place in [there, *known, *DEMOS.values()]:
        with contextlib.suppress(CheckpointError):
            file = checkpoint.read_model(place)
            if file.sha256 == made.model:
                return file
    with contextlib.suppress(OSError):
        if there.exists():
            raise CheckpointError(
                f"{shown(path)}: {shown(there)} has changed since it drew this (training went "
                f"on?); name a copy of the model {made.model[:12]} with -m"
            )
    raise CheckpointError(
        f"{shown(path)}: the model that drew it, {shown(there)} ({made.model[:12]}), is not here; "
        "name a copy of it with -m, or its folder of runs with --runs"
    )


def find_seed(
    made: Recipe, path: Path, rate: int, channels: int, arguments: argparse.Namespace
) -> tuple[np.ndarray, Path | None]:
    """Returns what was heard of the seed, `(channels, samples)`, as it was then, and its file.

    It is looked for where it was, then by its name beside the file and in recordings/, and at last
    in the beginning of the file itself, which is the seed's end if that needed no conversion.

    Raises:
        AudioError: it is not here, or no longer what it was.
    """
    if not made.after and arguments.after is None:
        return drawing.read_end(None, rate, channels, made.prime)[0], None
    changed = ""
    for place in [Path(arguments.after)] if arguments.after else places(made, path):
        try:
            heard, _ = drawing.read_end(place, rate, channels, made.prime, made.position)
        except AudioError:
            if arguments.after:
                raise
            continue
        if recipe.fingerprint(heard) == made.heard:
            return heard, place
        changed = changed or shown(place)
    if made.with_prime and not arguments.after:
        length = min(made.position, drawing.samples_in(made.prime, rate))
        heard, _ = drawing.read_end(path, rate, channels, made.prime, length)
        if recipe.fingerprint(heard) == made.heard:
            return heard, path
    cure = "name the sound as it was then with --after"
    if changed:
        raise AudioError(
            f"{shown(path)}: {changed} is not, or no longer, the sound that it follows; {cure}"
        )
    raise AudioError(
        f"{shown(path)}: the sound that it follows, {shown(made.after)}, is not here; {cure}"
    )


def find_played(made: Rendering, path: Path, arguments: argparse.Namespace) -> Path:
    """Returns the sound that was rendered, looked for where a seed is.

    Raises:
        AudioError: it is not here, or no longer what it was.
    """
    for place in [Path(arguments.after)] if arguments.after else places(made, path):
        with contextlib.suppress(OSError):
            if place.is_file() and recipe.digest(place) == made.played:
                return place
    raise AudioError(
        f"{shown(path)}: the sound that it plays, {shown(made.after)}, is not here, or no longer "
        "what it was; name it with --after"
    )


def places(made: Recipe | Rendering, path: Path) -> Iterator[Path]:
    """Yields where a seed may be."""
    there = Path(made.after)
    yield there
    yield path.with_name(there.name)
    if Path("recordings").is_dir():
        yield from (f for f in listing.list_audio("recordings").files if f.name == there.name)


def compare(path: Path, target: Path, console: Console) -> None:
    """Says that two files begin alike, bit for bit.

    Raises:
        Error: they do not; it says from where on.
    """
    rate, same = audio.info(path).sample_rate, 0
    for ours, theirs in zip(audio.blocks(target), audio.blocks(path), strict=False):
        length = min(ours.shape[1], theirs.shape[1])
        differ = np.any(ours[:, :length] != theirs[:, :length], axis=0)
        if differ.any():
            second = (same + int(np.argmax(differ))) / rate
            raise Error(
                f"{shown(target)}: differs from {shown(path)} from {second:.3f} s on; it was "
                "changed since, or drawn on another machine or other versions of the libraries"
            )
        same += length
    lengths = [audio.info(one).frames for one in (path, target)]
    whole = "all of it" if lengths[0] == lengths[1] else f"its first {clock(same / rate)}"
    console.note(f"the same as {shown(path)}, bit for bit: {whole}")
