"""`wavegen train`: recordings in, a run folder out."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from wavegen import config, dataset, engines, presets
from wavegen.cache import Cache
from wavegen.checkpoint import Run, check_name
from wavegen.cli import duet
from wavegen.cli.compiling import show_compiling
from wavegen.cli.display import Console, clock, hushed, large
from wavegen.cli.settings import overrides
from wavegen.cli.signals import Signals
from wavegen.cli.training import Show
from wavegen.draft import check_folder
from wavegen.errors import shown

DEFAULT_SECONDS = 20 * 60.0


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Trains or continues a run; returns 0, or 130 or 143 when a signal stopped it."""
    arch, name = arguments.arch or config.UNASKED, arguments.name
    if name is None:
        name = arch.replace("_", "-")
    check_name(name)
    folder = Path(arguments.runs) / name
    duet.refuse_other(folder, arguments)
    if duet.is_meant(folder, arguments):
        return duet.run(folder, arguments, console)
    family = config.family_name(arch)
    if arguments.dry_run:
        asked = wanted(arguments, family, None)
        with tempfile.TemporaryDirectory() as scratch:
            return dry_run(Path(scratch) / name, *asked, arguments, console)
    saved = saved_in(folder, arguments)
    if saved and not arguments.arch:
        family = saved[1]["family"]
    model_config, settings = wanted(arguments, family, saved)
    data = load(arguments, model_config, settings, console)
    if arguments.fresh:
        move_aside(folder, console)
    run_folder = Run.open(folder, create=True)
    with run_folder.lock():
        code = train(run_folder, data, model_config, settings, arguments, console)
    return code or tell_result(run_folder, console)


def saved_in(folder: Path, arguments: argparse.Namespace) -> Any:
    """Returns the state that a run goes on from, or None: it is not there, or to begin anew.

    Raises:
        OutputError: another process is training it.
    """
    check_folder(folder)
    if not folder.is_dir():
        return None
    existing = Run.open(folder, create=False)
    with existing.lock():  # before recordings are decoded, which can take minutes
        return None if arguments.fresh else existing.resumable()


def dry_run(
    folder: Path,
    model_config: Any,
    settings: Any,
    arguments: argparse.Namespace,
    console: Console,
) -> int:
    """Takes eight steps in a folder that is thrown away, and says what training would be like."""
    data = load(arguments, model_config, settings, console)
    run_folder = Run.open(folder, create=True)
    start_engine(console)
    from wavegen.plan import Plan
    from wavegen.train import fit

    at: list[float] = []  # when each step ended

    def measure(event: dict) -> None:
        if event["event"] == "step":
            at.append(time.monotonic())

    with console.live("trying"), run_folder.lock():
        fit(run_folder, data, model_config, settings, Plan(steps=8, report=measure))
    saved = run_folder.load_state()
    batch = saved[1]["settings"]["batch"] if saved else settings.batch
    speed = batch * settings.window / min(b - a for a, b in itertools.pairwise(at))
    seconds = speed * model_config.frame_samples / model_config.sample_rate
    epoch = data.seconds("train") / seconds
    peak = ""
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = f", {size / (2**30 if sys.platform == 'darwin' else 2**20):.1f} GiB of memory"
    console.note(
        f"{large(speed)} frames a second with batches of {batch} x {settings.window}{peak}: "
        f"all recordings are heard once in {clock(epoch)}; nothing was kept"
    )
    return 0


def start_engine(console: Console) -> None:
    """Imports what computes, which takes seconds, and says where it does; GPUs may be broken."""
    console.note("starting the engine (a few seconds)")
    with hushed():
        import wavegen.train  # noqa: F401
        from wavegen import backend

        place = backend.device()
    console.note(f"computing on {place}")


def wanted(arguments: argparse.Namespace, family: str, saved: Any) -> tuple[Any, Any]:
    """Returns the configuration asked for; what is not asked for stays as the run has it."""
    known = presets.begun_with(saved, family)
    if arguments.preset:
        known = presets.later(known)
    return presets.from_preset(family, arguments.preset or "small", known | overrides(arguments))


def move_aside(folder: Path, console: Console) -> None:
    """Renames a run, if there is one, so that a fresh one can take its name."""
    if not folder.is_dir():
        return
    with Run.open(folder, create=False).lock():
        pass  # nobody is training it
    count = 1
    while (aside := folder.with_name(f"{folder.name}-old-{count}")).exists():
        count += 1
    folder.rename(aside)
    console.note(f"the old run is kept as {aside}")


def load(
    arguments: argparse.Namespace, model_config: Any, settings: Any, console: Console
) -> dataset.Dataset:
    """Returns the recordings, decoded and cached, after saying what was heard and skipped."""
    with console.live("listening") as live:
        data = dataset.load(
            arguments.recordings,
            sample_rate=model_config.sample_rate,
            channels=model_config.channels,
            heldout=settings.heldout,
            gap_seconds=settings.gap_seconds,
            cache=Cache(repair=arguments.repair),
            strict=arguments.strict,
            progress=lambda done, total, path: live.update(
                done / max(total, 1), f"{done} of {total} files"
            ),
        )
    for path, reason in data.skipped:
        console.warning(f"skipped {shown(path)}: {reason}")
    for path, same in data.duplicates:
        console.note(f"{shown(path)} is the same recording as {shown(same)}: counted once")
    for warning in data.warnings:
        console.note(warning)
    console.note(data.summary())
    return data


def train(
    run_folder: Run,
    data: dataset.Dataset,
    model_config: Any,
    settings: Any,
    arguments: argparse.Namespace,
    console: Console,
    kept: Callable[[], None] = lambda: None,
    full: str = "",
) -> int:
    """Runs the training under a live line, with signals turned into a clean stop.

    Args:
        run_folder: of the run, whose lock is held.
        data: at the model's rate and channels.
        model_config: of the model.
        settings: of the training.
        arguments: of the command.
        console: to tell it to.
        kept: called whenever a better model has been kept.
        full: what to say where all of its time was spent already; by default that it was.
    """
    start_engine(console)
    from wavegen.cli.listening import Listener
    from wavegen.plan import Plan
    from wavegen.train import fit

    seconds = arguments.seconds
    if seconds is None and arguments.steps is None:
        seconds = DEFAULT_SECONDS
    show_compiling(partial(engines.warm_up, model_config), console)
    with console.live("training") as live, Signals(console) as signals:
        show = Show(console, live, run_folder, seconds, arguments)

        def report(event: dict) -> None:
            if event["event"] in ("step", "saved"):
                signals.worth_saving = event["event"] == "step"
            show(event)
            if event["event"] == "kept":
                kept()

        plan = Plan(seconds, arguments.steps, report, stop=signals.stopped)
        plan.listen = Listener(run_folder, data, arguments.sample_seconds, console, plan.check)
        outcome = fit(run_folder, data, model_config, settings, plan)
    show.close()
    if outcome == "stopped":
        console.note("saved; the same command continues")
        return 128 + signals.received
    if show.trained == 0:
        given = f"--for {clock(seconds)}" if seconds else f"--steps {arguments.steps}"
        console.note(
            full
            or f"nothing was trained: {given} is for the whole run and already full; give it more "
            "to go on, or --fresh to begin anew"
        )
    console.note(f"listening samples are in {run_folder.samples}")
    return 0


def tell_result(run_folder: Run, console: Console) -> int:
    """Says where the model is and what to do with it; returns 0."""
    console.note(f"try: python -m wavegen sample SEED.wav -m {run_folder.folder}")
    console.result(str(run_folder.model_path))
    return 0
