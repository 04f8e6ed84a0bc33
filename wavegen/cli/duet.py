"""`wavegen train --arch duet`: a run that holds two, one for each model."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from functools import partial
from pathlib import Path

from wavegen import presets
from wavegen.checkpoint import Run
from wavegen.cli.display import Console
from wavegen.cli.settings import overrides
from wavegen.draft import check_folder
from wavegen.duet import join
from wavegen.duet_config import DUET, PARTS
from wavegen.errors import CheckpointError, shown

COMPOSING = 0.6  # of the time, the composer's share


def is_meant(folder: Path, arguments: argparse.Namespace) -> bool:
    """Returns whether a duet is to be trained: it is asked for, or the run is one already."""
    there = any((folder / part).is_dir() for part in PARTS)
    return arguments.arch == DUET or (arguments.arch is None and there)


def refuse_one(folder: Path, arguments: argparse.Namespace) -> None:
    """Raises CheckpointError where a single model would take the place of a duet's file."""
    there = any((folder / part).is_dir() for part in PARTS)
    if there and not arguments.fresh:
        raise CheckpointError(
            f"{shown(folder)}: this run trains a duet, not a {arguments.arch}; use another --name "
            "or --fresh"
        )


def run(folder: Path, arguments: argparse.Namespace, console: Console) -> int:
    """Trains composer and renderer one after the other, in runs of their own within the run.

    The one file that both are is written anew whenever the renderer has become better.
    """
    from wavegen.cli import train as training  # which has looked here first

    if not arguments.dry_run:
        check_folder(folder)
        if folder.is_dir() and arguments.fresh:
            training.move_aside(folder, console)
    given, preset = overrides(arguments), arguments.preset or "small"
    asked = presets.of_duet(preset, given)
    data = training.load(arguments, *asked["renderer"], console)
    box = arguments.seconds
    if box is None and arguments.steps is None:
        box = training.DEFAULT_SECONDS
    shares = {"composer": COMPOSING, "renderer": 1.0 - COMPOSING}
    scratch = tempfile.TemporaryDirectory() if arguments.dry_run else contextlib.nullcontext()
    with scratch as elsewhere:
        for part, (model_config, settings) in asked.items():
            own = argparse.Namespace(**{**vars(arguments), "fresh": False})
            own.seconds = None if box is None else box * shares[part]
            console.note(f"the {part}:")
            if elsewhere:
                training.dry_run(Path(elsewhere) / part, model_config, settings, own, console)
                continue
            saved = training.saved_in(folder / part, own, console)
            if saved and not (arguments.preset or given):
                model_config, settings = training.wanted(own, PARTS[part], saved)
            elif saved:
                later = presets.later(training.begun_with(saved, PARTS[part]))
                model_config, settings = presets.of_duet(preset, later | given)[part]
            kept = partial(join_parts, folder) if part == "renderer" else lambda: None
            run_folder = Run.open(folder / part, create=True)
            with Run.open(folder, create=True).lock(), run_folder.lock():
                code = training.train(run_folder, data, model_config, settings, own, console, kept)
                if code:
                    return code
                kept()
    return 0 if arguments.dry_run else training.tell_result(Run(folder), console)


def join_parts(folder: Path) -> None:
    """Writes the one file of a duet from the models of its two runs."""
    parts = {part: Run(folder / part).model_path for part in PARTS}
    join(Run(folder).model_path, parts)
