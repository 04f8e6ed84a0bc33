"""Where a continuation is written to, and what its file says about how it was made."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from wavegen import __version__, audio, checkpoint
from wavegen.cli.display import clock, large
from wavegen.draft import check_folder, existing
from wavegen.errors import AudioError, OutputError, UsageError
from wavegen.guard import default_candidates
from wavegen.pcm import BYTES
from wavegen.recipe import Recipe, fingerprint

LONG_SECONDS = 3600.0  # ask before drawing more than this
TRIED_SECONDS = 2.0  # drawn to tell how long it would take


class Page(str):
    """What stands for a variation in the name of the page of all; written as it is everywhere."""

    def __format__(self, form: str) -> str:
        """Returns the text, also where a number is to be written with so many digits."""
        return str(self)


def name_of(
    seed: Path | None,
    file: checkpoint.ModelFile,
    variation: int | str,
    arguments: argparse.Namespace,
) -> Path:
    """Returns the path of one result."""
    own = file.path.absolute()  # of a run, which gives its folder's name, though it be this one
    model = own.parent.name if own.name == "model.safetensors" else own.stem
    fields = {
        "seed_name": seed.stem if seed else "unseeded",
        "model": model,
        "seed": arguments.seed,
        "variation": variation,
    }
    try:
        name = arguments.filename.format(**fields)
        if not name or name.endswith("/"):
            raise ValueError("names no file")
    except (LookupError, AttributeError, MemoryError, TypeError, ValueError) as error:
        known = ", ".join("{" + field + "}" for field in fields)
        raise UsageError(
            f"--filename {arguments.filename!r}: {str(error) or 'is too long'}; it may hold {known}"
        ) from None
    return Path(arguments.out) / f"{name}.{arguments.format}"


def check_different(paths: Iterable[Path]) -> None:
    """Raises UsageError if two results of one command would have the same name."""
    found = set()
    for path in paths:
        place = os.path.normcase(os.path.abspath(path))
        if place in found:
            raise UsageError(
                f"{audio.shown(path)}: two results would be called so; put {{seed_name}} and "
                "{variation} into --filename, or give each its own command and -o"
            )
        found.add(place)


def refuse(path: Path, seed: Path | None, force: bool, *others: Path | None) -> None:
    """Raises OutputError before anything is drawn if the result may not be written.

    Args:
        path: of the result.
        seed: that it continues.
        force: a result that exists may be replaced; a seed or a recording never.
        *others: seeds that are continued by the same command.
    """
    name = audio.shown(path)
    check_folder(path.parent)
    if not os.path.lexists(path):
        return
    if any(one is not None and path.exists() and path.samefile(one) for one in (seed, *others)):
        raise OutputError(f"{name}: would overwrite the seed; choose another -o")
    if not force:
        raise OutputError(f"{name}: exists; add --force to replace it, or another --seed or -o")
    if path.is_file() and not is_drawn(path):
        raise OutputError(f"{name}: was not drawn by wavegen, so it is kept; choose another -o")


def is_drawn(path: Path) -> bool:
    """Returns whether wavegen wrote a sound, a picture or a report, by what it says of itself."""
    if path.suffix == ".png":
        return b"Software\0wavegen " in path.read_bytes()[:1000]
    if path.suffix.lower() in (".html", ".htm"):
        return b'name="generator" content="wavegen"' in path.read_bytes()[:1000]
    with contextlib.suppress(AudioError):
        return audio.metadata(path).get("software", "").startswith("wavegen ")
    return False


def check_length(sampler: Any, seeds: int, arguments: argparse.Namespace) -> None:
    """Looks whether there is room for the results, and tells what very long ones take.

    Raises:
        OutputError: the disk has not that much room.
        UsageError: a result is longer than an hour, and --yes was not given.
    """
    config, width = sampler.config, BYTES[arguments.subtype or "PCM_16"]
    seconds = arguments.seconds * arguments.count * seeds
    size = seconds * config.sample_rate * config.channels * width
    disk = shutil.disk_usage(existing(Path(arguments.out)))
    if size > disk.free and disk.total and arguments.format == "wav":
        raise OutputError(
            f"{audio.shown(arguments.out)}: the results take {large(size)}B, "
            f"{large(disk.free)}B are free; choose another -o or a shorter --seconds"
        )
    if arguments.seconds <= LONG_SECONDS or arguments.yes:
        return
    began = time.monotonic()
    silence = np.zeros((config.channels, config.sample_rate), np.float32)
    options = {"guard": arguments.guard, "candidates": arguments.candidates}
    sampler.generate(silence, TRIED_SECONDS, count=arguments.count, **options)
    taken = (time.monotonic() - began) / TRIED_SECONDS * arguments.seconds * seeds
    raise UsageError(
        f"{clock(seconds)} of sound take about {clock(taken)} to draw and {large(size)}B; "
        "add --yes if that is what you want"
    )


def recipe(
    file: checkpoint.ModelFile,
    seed: Path | None,
    heard: np.ndarray,
    position: int,
    sampler: Any,
    arguments: argparse.Namespace,
) -> Recipe:
    """Returns what all variations of a seed have in common, as the recipe of the first."""
    return Recipe(
        version=__version__,
        model=file.sha256,
        model_path=str(file.path),
        after=str(seed or ""),
        heard=fingerprint(heard),
        position=position,
        prime=arguments.prime,
        with_prime=arguments.with_prime,
        seed=arguments.seed,
        variation=0,
        controls={},
        engine=sampler.engine.name,
        precision=sampler.engine.precision,
        sustain=sampler.sustain,
        guard=arguments.guard,
        candidates=arguments.candidates or default_candidates(sampler.config),
        ends=(arguments.seconds,),
    )


def varied(shared: Recipe, variation: int, controls: dict[str, Any]) -> Recipe:
    """Returns the recipe of one variation; a list in `controls` has one value for each."""
    own = {k: float(v[variation] if isinstance(v, list) else v) for k, v in controls.items()}
    return dataclasses.replace(shared, variation=variation, controls=own)
