"""Where a continuation is written to, and what its file says about how it was made."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wavegen import __version__, audio, checkpoint
from wavegen.errors import OutputError, UsageError
from wavegen.take import default_candidates


def name_of(
    seed: Path | None, file: checkpoint.ModelFile, variation: int, arguments: argparse.Namespace
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
    variation: int,
    controls: dict[str, Any],
    sampler: Any,
    arguments: argparse.Namespace,
) -> dict[str, str]:
    """Returns what it takes to make this sound again, for the file's metadata."""
    settings = {k: v[variation] if isinstance(v, list) else v for k, v in controls.items()}
    text = f"model {file.sha256[:16]} seed {arguments.seed} variation {variation}"
    text += "".join(f" {name} {value:g}" for name, value in settings.items())
    text += f" engine {sampler.engine.name} precision {sampler.engine.precision}"
    text += f" sustain {sampler.sustain:g}"
    candidates = arguments.candidates or default_candidates(sampler.config)
    text += f" candidates {candidates}" if arguments.guard else " no-guard"
    text += f" prime {arguments.prime:g} after {seed.name if seed else 'silence'}"
    return {"software": f"wavegen {__version__}", "comment": text}
