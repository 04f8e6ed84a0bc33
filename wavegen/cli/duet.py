"""`wavegen train --arch duet`: a run that holds two, one for each model."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from wavegen import presets
from wavegen.checkpoint import Run
from wavegen.cli.display import Console, clock
from wavegen.cli.settings import overrides
from wavegen.duet import join
from wavegen.duet_config import DUET, PARTS
from wavegen.errors import CheckpointError, shown

COMPOSING = 0.6  # of the time, the composer's share
COMMON = ("sample_rate", "channels", "heldout", "gap_seconds")  # to both parts, as they begin


def is_meant(folder: Path, arguments: argparse.Namespace) -> bool:
    """Returns whether a duet is to be trained: it is asked for, or the run is one already."""
    return arguments.arch == DUET or (arguments.arch is None and is_duet(folder))


def is_duet(folder: Path) -> bool:
    """Returns whether a run has been begun as a duet."""
    return any((folder / part).is_dir() for part in PARTS)


def refuse_other(folder: Path, arguments: argparse.Namespace) -> None:
    """Raises CheckpointError where a single model would take the place of a duet, or one of it."""
    if arguments.fresh or arguments.dry_run or not folder.is_dir():
        return
    name, one = shown(folder), Run(folder)
    if is_duet(folder):
        if arguments.arch not in (None, DUET):
            raise CheckpointError(
                f"{name}: this run trains a duet, not a {arguments.arch}; use another --name "
                "or --fresh"
            )
    elif arguments.arch == DUET and (one.model_path.exists() or one.states()):
        raise CheckpointError(
            f"{name}: this run trains one model, not a duet; use another --name or --fresh"
        )


def run(folder: Path, arguments: argparse.Namespace, console: Console) -> int:
    """Trains composer and renderer one after the other, in runs of their own within the run.

    The one file that both are is written anew whenever the renderer has become better.
    """
    from wavegen.cli import train as training  # which has looked here first

    saved: dict[str, Any] = dict.fromkeys(PARTS)
    if not arguments.dry_run:
        training.saved_in(folder, arguments)  # it must not be in use
        saved = {part: training.saved_in(folder / part, arguments) for part in PARTS}
    asked = wanted(arguments, saved)
    data = training.load(arguments, *asked["renderer"], console)
    if arguments.fresh and not arguments.dry_run:
        training.move_aside(folder, console)
    box = arguments.seconds
    if box is None and arguments.steps is None:
        box = training.DEFAULT_SECONDS
    shares = {"composer": COMPOSING, "renderer": 1.0 - COMPOSING}
    whole = f"--steps {arguments.steps}" if box is None else f"--for {clock(box)}"
    scratch = tempfile.TemporaryDirectory() if arguments.dry_run else contextlib.nullcontext()
    with scratch as elsewhere:
        for part, (model_config, settings) in asked.items():
            own = argparse.Namespace(**vars(arguments))
            own.seconds = None if box is None else box * shares[part]
            console.note(f"the {part}:")
            if elsewhere:
                training.dry_run(Path(elsewhere) / part, model_config, settings, own, console)
                continue
            kept = partial(join_parts, folder) if part == "renderer" else lambda: None
            full = f"the {part} has had its share of {whole} already; give the run more to go on"
            run_folder = Run.open(folder / part, create=True)
            with Run.open(folder, create=True).lock(), run_folder.lock():
                code = training.train(
                    run_folder, data, model_config, settings, own, console, kept, full
                )
                if code:
                    return code
                kept()
    return 0 if arguments.dry_run else training.tell_result(Run(folder), console)


def wanted(arguments: argparse.Namespace, saved: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns what each part is to be: as it has begun, but for what is asked for.

    Args:
        arguments: of the command.
        saved: of each part its state, or None; a renderer that has none yet is to fit the composer.
    """
    begun = {part: presets.begun_with(state, PARTS[part]) for part, state in saved.items()}
    preset = arguments.preset or presets.likest(begun["composer"])
    if arguments.preset:
        begun = {part: presets.later(fields) for part, fields in begun.items()}
    elif not begun["renderer"]:
        composer = begun["composer"]
        begun["renderer"] = {name: composer[name] for name in COMMON if name in composer}
    return presets.of_duet(preset, overrides(arguments), begun)


def join_parts(folder: Path) -> None:
    """Writes the one file of a duet from the models of its two runs."""
    parts = {part: Run(folder / part).model_path for part in PARTS}
    join(Run(folder).model_path, parts)
