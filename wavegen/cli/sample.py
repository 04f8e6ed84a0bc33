"""`wavegen sample`: continue each seed, writing while it is drawn."""

from __future__ import annotations

import argparse
import re
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from wavegen import audio, checkpoint, demo, engines, plots
from wavegen.cli import drawing, naming, picture, play
from wavegen.cli import report as reporting
from wavegen.cli.display import Console
from wavegen.draft import check_folder
from wavegen.errors import Error, UsageError
from wavegen.findings import SILENCE


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Continues every seed; returns 0 only if each of them worked."""
    temperatures = spread(arguments.temperature or [], arguments.count)
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(10**6)
    engines.check_names(arguments.engine, arguments.precision)
    if arguments.play:
        play.check(arguments)
    if arguments.report or arguments.picture:
        plots.figure([1.0])  # says now what is missing
    if arguments.at is not None and not arguments.seeds:
        raise UsageError("--at is a place in a seed; name one")
    seeds: list[Path | None] = [Path(seed) for seed in arguments.seeds] or [None]
    for seed in seeds:
        if seed is not None:
            drawing.check_seed(seed)  # say what is wrong before anything is loaded
    if arguments.out == "-":
        raise UsageError("-o - is no folder; results are files, name a folder")
    check_folder(Path(arguments.out))
    path = find_model(arguments, console)
    console.note(f"model: {path}")
    file = checkpoint.read_model(path)
    drawing.check_seconds(arguments.seconds, file.config.sample_rate)
    results = [results_of(seed, file, arguments) for seed in seeds]
    naming.check_different(path for parts in results for part in parts for path in part)
    player = play.Player.open(file.config) if arguments.play else None
    sampler = drawing.prepare(
        file, arguments.engine, arguments.precision, arguments.sustain, arguments.guard, console
    )
    controls: dict[str, Any] = {"temperature": temperatures} if temperatures else {}
    given = {name: getattr(arguments, name) for name in ("top_p", "noisiness", "memory")}
    controls |= {name: value for name, value in given.items() if value is not None}
    controls = sampler.check_controls(controls)
    naming.check_length(sampler, len(seeds), arguments)
    code = 0
    for seed, named in zip(seeds, results, strict=True):
        try:
            continue_one(seed, named, sampler, file, controls, player, arguments, console)
        except Error as error:
            if len(seeds) == 1:
                raise
            console.error(str(error))
            code = error.exit_code
    return code


def find_model(arguments: argparse.Namespace, console: Console) -> Path:
    """Returns the model to use; where nothing has been trained, one that comes with wavegen."""
    named = arguments.model
    if named is None and not any(r.model_path.exists() for r in checkpoint.runs(arguments.runs)):
        named = demo.DEFAULT
        console.note(
            f"no model of your own yet: {named} plays, which has learned recordings/shipped; "
            "put your music into recordings/ and run: python -m wavegen train"
        )
    return checkpoint.find_model(named, arguments.runs)


def results_of(
    seed: Path | None, file: checkpoint.ModelFile, arguments: argparse.Namespace
) -> tuple[list[Path], list[Path], list[Path]]:
    """Returns the paths of a seed's sounds, of the pictures beside them, and of a page."""
    paths = [naming.name_of(seed, file, each, arguments) for each in range(arguments.count)]
    pictures = [picture.beside(path) for path in paths] if picture.wanted(arguments) else []
    if not reporting.wanted(arguments):
        return paths, pictures, []
    page = naming.name_of(seed, file, naming.Page("report"), arguments)
    return paths, pictures, [page.with_suffix(".html")]


def continue_one(
    seed: Path | None,
    named: tuple[list[Path], list[Path], list[Path]],
    sampler: Any,
    file: checkpoint.ModelFile,
    controls: dict[str, Any],
    player: play.Player | None,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Draws all variations of one seed and writes each to its file, block by block."""
    rate, channels = sampler.config.sample_rate, sampler.config.channels
    paths, pictures, pages = named
    for path in [*paths, *pages, *pictures]:
        naming.refuse(path, seed, arguments.force, *map(Path, arguments.seeds))
    at = None if arguments.at is None else drawing.samples_in(arguments.at, rate)
    heard, position = drawing.read_end(seed, rate, channels, arguments.prime, at)
    if seed is not None and at is not None and position < at:
        raise UsageError(
            f"{audio.shown(seed)}: --at {arguments.at:g} lies beyond its end; it is "
            f"{position / rate:.1f} s long"
        )
    if seed is not None and at is None and np.abs(heard[:, -rate:]).max() < SILENCE:
        stop = drawing.sounding(seed, rate, channels)
        if stop < position:
            console.note(
                f"{audio.shown(seed)}: its last {(position - stop) / rate:.1f} s are silent; "
                "it is continued from its last sound"
            )
            heard, position = drawing.read_end(seed, rate, channels, arguments.prime, stop)
    if seed is not None:
        tell_seed(seed, heard, sampler, arguments.prime, console)
    elif not sampler.climate:
        console.warning("from silence this model plays silence; name a sound to go on from")
    shared = naming.recipe(file, seed, heard, position, sampler, arguments)
    recipes = [naming.varied(shared, each, controls) for each in range(arguments.count)]
    drawn = drawing.write_drawn(
        sampler,
        heard,
        recipes,
        paths,
        console,
        subtype=arguments.subtype,
        force=arguments.force,
        player=player,
    )
    if player and player.broken:
        console.warning(f"stopped playing: {player.broken}; the file is whole")
    elif player and player.underruns:
        console.warning(f"playing fell behind {player.underruns} times; the file is whole")
    tell_collapse(drawn, heard, rate, paths, console)
    if arguments.rank:
        paths = ranked(sampler, heard, paths, arguments, console)
    for path in paths:
        console.result(str(path))
    for path in paths if pictures else []:
        split = heard.shape[1] / rate if arguments.with_prime and heard.shape[1] else None
        drawn_as = picture.write(path, split, arguments.force)
        console.note(f"to hear: {audio.shown(path)}; to see: {audio.shown(drawn_as)}")
    for page in pages:
        reporting.of_variations(page, paths, file, arguments, console)


def ranked(
    sampler: Any,
    heard: np.ndarray,
    paths: list[Path],
    arguments: argparse.Namespace,
    console: Console,
) -> list[Path]:
    """Returns the results, the likeliest first: likelihood's extremes are most often broken."""
    hop, codec = sampler.codec.frame_samples, sampler.codec
    found = []
    for path in paths:
        signal = audio.read(path)[0]
        if not arguments.with_prime:
            signal = np.concatenate([heard, signal], axis=1)
        signal = np.pad(signal, [(0, 0), (0, -signal.shape[1] % hop)])
        frames, _ = codec.encode_step(signal, codec.encode_initial())
        count = max(1, round(arguments.seconds * sampler.config.sample_rate) // hop)
        nats = float(np.mean(sampler.log_prob(frames)[-count:]))
        found.append((-nats / np.log(2) if hop == 1 else -nats, path))
    unit = "bits per sample" if hop == 1 else "nats per coefficient"
    for place, (cost, path) in enumerate(sorted(found), 1):
        console.note(f"{place}. {audio.shown(path)}: {cost:.3f} {unit}")
    return [path for _, path in sorted(found)]


def tell_seed(
    seed: Path, heard: np.ndarray, sampler: Any, seconds: float, console: Console
) -> None:
    """Says what is odd about a seed, and that it was converted."""
    config = sampler.config
    rate, channels = config.sample_rate, config.channels
    info = audio.info(seed)
    for warning in info.warnings:
        console.warning(f"{audio.shown(seed)}: {warning}")
    if (info.sample_rate, info.channels) != (rate, channels):
        console.note(
            f"{audio.shown(seed)}: {info.sample_rate} Hz, {info.channels} channels, taken as "
            f"{rate} Hz, {channels} (the model's)"
        )
    needed = config.receptive_field
    if heard.shape[1] < min(round(seconds * rate), needed):
        console.note(
            f"{audio.shown(seed)}: holds {heard.shape[1]} samples, and the model hears back "
            f"{needed}; {needed - heard.shape[1]} of silence are put before them"
        )
    if sampler.climate and not np.any(heard):
        console.warning(f"{audio.shown(seed)}: it is silent; the model begins from nothing")
    elif np.abs(heard).max() < 1e-4:
        console.warning(f"{audio.shown(seed)}: its end is silent; the model continues silence")


def spread(texts: list[str], count: int) -> list[float]:
    """Returns one temperature per variation from "1", "0.9 1.1" or "0.8:1.2".

    Raises:
        UsageError: not numbers, or outside 0 .. 10 (0 is allowed, else at least 0.01).
    """
    values: list[float] = []
    for text in texts:
        if not re.fullmatch(r"[-+\w.]+(:[-+\w.]+)?", text):
            raise UsageError(f"--temperature {text!r} must be a number or a range like 0.8:1.2")
        try:
            ends = [float(part) for part in text.split(":")]
        except ValueError:
            raise UsageError(f"--temperature {text!r} is not a number") from None
        if not all(end == 0 or 0.01 <= end <= 10 for end in ends):
            raise UsageError(f"--temperature {text} must be 0 or lie in 0.01 .. 10")
        values += ends if len(ends) == 1 else list(np.linspace(ends[0], ends[-1], count))
    return [float(values[i % len(values)]) for i in range(count)] if values else []


def tell_collapse(
    drawn: np.ndarray, music: np.ndarray, rate: int, paths: list[Path], console: Console
) -> None:
    """Warns of results that are noise, silence, one tone or much too loud."""
    if not np.any(np.abs(music) > 1e-4):
        return
    from wavegen import score

    for path, signal in zip(paths, drawn, strict=True):
        if found := score.collapse(signal, music, rate):
            console.warning(f"{audio.shown(path)}: {'; '.join(found)}")
