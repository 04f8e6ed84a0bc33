"""Where a continuation is written to, and what its file says about how it was made."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from wavegen import __version__, audio, checkpoint
from wavegen.errors import OutputError, UsageError
from wavegen.recipe import Recipe, fingerprint
from wavegen.take import default_candidates


def name_of(
    seed: Path | None,
    file: checkpoint.ModelFile,
    variation: int | str,
    arguments: argparse.Namespace,
) -> Path:
    """Returns the path of one result."""
    model = file.path.parent.name if file.path.name == "model.safetensors" else file.path.stem
    fields = {
        "seed_name": seed.stem if seed else "silence",
        "model": model,
        "seed": arguments.seed,
        "variation": variation,
    }
    try:
        name = arguments.filename.format(**fields)
    except (KeyError, IndexError, ValueError) as error:
        known = ", ".join("{" + field + "}" for field in fields)
        raise UsageError(
            f"--filename {arguments.filename!r}: {error}; it may hold {known}"
        ) from None
    return Path(arguments.out) / f"{name}.{arguments.format}"


def refuse(path: Path, seed: Path | None, force: bool) -> None:
    """Raises OutputError before anything is drawn if the result may not be written."""
    if seed is not None and path.exists() and path.samefile(seed):
        raise OutputError(f"{audio.shown(path)}: would overwrite the seed; choose another -o")
    if path.exists() and not force:
        raise OutputError(
            f"{audio.shown(path)}: exists; add --force to replace it, or another --seed or -o"
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
