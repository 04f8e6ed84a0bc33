"""`wavegen sample`: continue each seed, writing while it is drawn."""

from __future__ import annotations

import argparse
import contextlib
import re
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wavegen import audio, checkpoint, engines
from wavegen.cli import naming, play
from wavegen.cli.compiling import show_compiling
from wavegen.cli.display import Console, Live, clock, hushed
from wavegen.config import Config
from wavegen.draft import check_folder
from wavegen.errors import AudioError, Error, UsageError
from wavegen.sampling import BLOCK_SECONDS, Sampler

FILE_SECONDS = 0.125  # drawn at a time where nobody listens meanwhile
ROOM = 160  # bytes of a WAV's comment kept for what the guard has to say
KEPT_SECONDS = 30.0  # to tell what went wrong


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Continues every seed; returns 0 only if each of them worked."""
    temperatures = spread(arguments.temperature or [], arguments.count)
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(10**6)
    engines.check_names(arguments.engine, arguments.precision)
    if arguments.play:
        play.check(arguments)
    seeds: list[Path | None] = [Path(seed) for seed in arguments.seeds] or [None]
    for seed in seeds:
        if seed is not None:
            audio.info(seed)  # say what is wrong with it before anything is trained or loaded
    if arguments.out == "-":
        raise UsageError("-o - is no folder; results are files, name a folder")
    check_folder(Path(arguments.out))
    path = find_model(arguments, console)
    console.note(f"model: {path}")
    file = checkpoint.read_model(path)
    player = play.Player.open(file.config) if arguments.play else None
    sampler = prepare(file, arguments, console)
    controls: dict[str, Any] = {"temperature": temperatures} if temperatures else {}
    given = {"top_p": arguments.top_p, "noisiness": arguments.noisiness}
    controls |= {name: value for name, value in given.items() if value is not None}
    controls = sampler.check_controls(controls)
    naming.check_length(sampler, len(seeds), arguments)
    code = 0
    for seed in seeds:
        try:
            continue_one(seed, sampler, file, controls, player, arguments, console)
        except Error as error:
            if len(seeds) == 1:
                raise
            console.error(str(error))
            code = error.exit_code
    return code


def prepare(file: checkpoint.ModelFile, arguments: argparse.Namespace, console: Console) -> Any:
    """Returns a sampler that is ready to draw."""
    with hushed():
        sampler = Sampler(file, arguments.engine, arguments.precision, sustain=arguments.sustain)
    if arguments.guard and not sampler.climate:
        console.note("the model does not say what its recordings are like: it is left alone")
    show_compiling(sampler.engine.warm_up, console)
    return sampler


def find_model(arguments: argparse.Namespace, console: Console) -> Path:
    """Returns the model to use; with no run at all it trains a first one, for under a minute."""
    if arguments.model is None and not any(
        r.model_path.exists() for r in checkpoint.runs(arguments.runs)
    ):
        from wavegen.cli import main

        if arguments.seconds > naming.LONG_SECONDS and not arguments.yes:
            raise UsageError(
                f"{clock(arguments.seconds)} of sound is a lot; add --yes if that is what you want"
            )
        recordings = Path("recordings")
        if not recordings.is_dir():
            raise UsageError(
                "there is no model yet and no recordings/ folder here to learn from; "
                "put WAVs into recordings/ and run: python -m wavegen train"
            )
        console.note(
            "no model yet: training a tiny first one on recordings/ for under a minute; "
            "`python -m wavegen train` makes a better one"
        )
        command = ["train", str(recordings), "--name", "first", "--preset", "tiny", "--for", "40s"]
        command += ["--runs", arguments.runs, "--sample-seconds", "1"]
        with contextlib.redirect_stdout(sys.stderr):  # the only result is the sound to come
            code = main(command + (["--quiet"] if arguments.quiet else []))
        if code:
            raise KeyboardInterrupt if code == 130 else UsageError("the first training failed")
    return checkpoint.find_model(arguments.model, arguments.runs)


def continue_one(
    seed: Path | None,
    sampler: Any,
    file: checkpoint.ModelFile,
    controls: dict[str, Any],
    player: play.Player | None,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Draws all variations of one seed and writes each to its file, block by block."""
    rate, channels = sampler.config.sample_rate, sampler.config.channels
    heard = read_end(seed, sampler.config, arguments.prime, console)
    paths = [
        naming.name_of(seed, file, variation, arguments) for variation in range(arguments.count)
    ]
    for path in paths:
        naming.refuse(path, seed, arguments.force, *map(Path, arguments.seeds))
    began = time.monotonic()
    try:
        with contextlib.ExitStack() as stack, console.live("drawing") as live:
            writers = [
                stack.enter_context(
                    audio.Writer(
                        path,
                        rate,
                        channels,
                        subtype=arguments.subtype or "PCM_16",
                        metadata=naming.recipe(file, seed, variation, controls, sampler, arguments),
                        room=ROOM,
                        force=arguments.force,
                    )
                )
                for variation, path in enumerate(paths)
            ]
            outputs = [*writers, *([stack.enter_context(player)] if player else [])]

            def tell(variation: int, second: float, what: str) -> None:
                writers[variation].remark(f" guard {second:g}s {what}")
                console.note(
                    f"{audio.shown(paths[variation])}: {what} at {second:g} s, drawn again"
                )

            drawn = draw(sampler, heard, outputs, controls, tell, arguments, live)
    except KeyboardInterrupt:
        console.note("what was drawn so far is kept")
        for path in paths:
            if path.exists():
                console.result(str(path))
        raise
    taken = time.monotonic() - began
    if player and player.broken:
        console.warning(f"stopped playing: {player.broken}; the file is whole")
    elif player and player.underruns:
        console.warning(f"playing fell behind {player.underruns} times; the file is whole")
    console.note(
        f"{arguments.count} x {arguments.seconds:g} s in {clock(taken)} "
        f"({arguments.count * arguments.seconds / taken:.2f} x real time), seed {arguments.seed}"
    )
    tell_collapse(drawn, heard, rate, paths, console)
    if arguments.rank:
        paths = ranked(sampler, heard, paths, arguments, console)
    for path in paths:
        console.result(str(path))


def draw(
    sampler: Any,
    heard: np.ndarray,
    outputs: list[Any],
    controls: dict[str, Any],
    tell: Callable[[int, float, str], None],
    arguments: argparse.Namespace,
    live: Live,
) -> np.ndarray:
    """Writes the seed's end, if wanted, and the continuation; returns its last half minute."""
    rate, delay = sampler.config.sample_rate, sampler.codec.delay_samples
    # The stream begins `delay` samples before the seed's end, where both overlap.
    skip = 0 if arguments.with_prime and heard.shape[1] >= delay else delay
    session = sampler.listen(heard)  # before anything is played, so that no gap is heard
    if arguments.with_prime:
        for output in outputs:
            output.write(heard[:, : max(0, heard.shape[1] - delay)])
    began, done, total = time.monotonic(), -delay, round(arguments.seconds * rate)
    kept: list[np.ndarray] = []
    block_seconds = BLOCK_SECONDS if arguments.play else FILE_SECONDS
    blocks = sampler.stream(
        session,
        arguments.seconds,
        count=arguments.count,
        rng_seed=arguments.seed,
        block_seconds=block_seconds,
        guard=arguments.guard,
        candidates=arguments.candidates,
        tell=tell,
        **controls,
    )
    for block in blocks:
        new = block[..., min(skip, block.shape[-1]) :]
        skip -= block.shape[-1] - new.shape[-1]
        for i, output in enumerate(outputs):
            output.write(new[min(i, len(new) - 1)])  # a player comes last
        kept = [*kept, new][-round(KEPT_SECONDS / block_seconds) :]
        done += block.shape[-1]
        speed = max(done, 0) / rate / (time.monotonic() - began)
        left = (total - done) / rate / speed if speed else 0
        live.update(max(done, 0) / total, f"{speed:.2f} x real time  {clock(left)} left")
    return np.concatenate(kept, axis=-1)


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
        nats = float(np.mean(sampler.engine.log_prob(frames)[-count:]))
        found.append((-nats / np.log(2) if hop == 1 else -nats, path))
    unit = "bits per sample" if hop == 1 else "nats per coefficient"
    for place, (cost, path) in enumerate(sorted(found), 1):
        console.note(f"{place}. {audio.shown(path)}: {cost:.3f} {unit}")
    return [path for _, path in sorted(found)]


def read_end(seed: Path | None, config: Config, seconds: float, console: Console) -> np.ndarray:
    """Returns the last `seconds` of the seed `(channels, samples)` at the model's rate."""
    rate, channels = config.sample_rate, config.channels
    wanted = round(seconds * rate)
    if seed is None:
        return np.zeros((channels, wanted), "float32")
    tail = np.zeros((channels, 0), "float32")
    for block in audio.blocks(seed, sample_rate=rate, channels=channels):
        tail = np.concatenate([tail, block], axis=1)[:, -wanted:]
    info = audio.info(seed)
    for warning in info.warnings:
        console.warning(f"{audio.shown(seed)}: {warning}")
    if (info.sample_rate, info.channels) != (rate, channels):
        console.note(
            f"{audio.shown(seed)}: {info.sample_rate} Hz, {info.channels} channels, taken as "
            f"{rate} Hz, {channels} (the model's)"
        )
    if not tail.shape[1]:
        raise AudioError(f"{audio.shown(seed)}: contains no audio; give another seed")
    needed = config.receptive_field
    if tail.shape[1] < min(wanted, needed):
        console.note(
            f"{audio.shown(seed)}: holds {tail.shape[1]} samples, and the model hears back "
            f"{needed}; {needed - tail.shape[1]} of silence are put before them"
        )
    if np.abs(tail).max() < 1e-4:
        console.warning(f"{audio.shown(seed)}: its end is silent; the model continues silence")
    return tail


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
    if not np.abs(music).max() > 1e-4:
        return
    from wavegen import score

    for path, signal in zip(paths, drawn, strict=True):
        if found := score.collapse(signal, music, rate):
            console.warning(f"{audio.shown(path)}: {'; '.join(found)}")
