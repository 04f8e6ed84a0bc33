"""`wavegen info`: what a model or a recording is, and which presets there are."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from wavegen import audio, checkpoint
from wavegen.cli.display import Console, clock, large
from wavegen.counting import parameters
from wavegen.errors import UsageError
from wavegen.presets import MEASURED, PRESETS, from_preset


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Prints facts about each thing named."""
    if arguments.presets:
        found = presets()
    elif not arguments.what:
        raise UsageError("name a model, a run or a recording; wavegen doctor tells of this machine")
    else:
        found = [facts_of(what, arguments.runs) for what in arguments.what]
    if arguments.json:
        console.result(json.dumps(found, indent=2))
    elif arguments.presets:
        console.table(
            list(found[0]), [[str(v) for v in one.values()] for one in found], to_stdout=True
        )
        console.note(
            "trains, draws: seconds of sound a second, on two cores of an Intel Xeon and on one; "
            "train --dry-run and doctor say how fast it is here"
        )
    else:
        for one in found:
            console.table(["", ""], [[k, str(v)] for k, v in one.items()], to_stdout=True)
    return 0


def facts_of(what: str, runs: str) -> dict[str, Any]:
    """Returns the facts of a sound file, or of a model by file, folder or run name."""
    if Path(what).suffix.lower() in audio.EXTENSIONS:
        return sound(Path(what))
    return model(checkpoint.find_model(what, runs))


def sound(path: Path) -> dict[str, Any]:
    """Returns the facts of a file of sound."""
    info = audio.info(path)
    found = {"file": str(path), "format": f"{info.container} {info.subtype}"}
    found |= {"sample rate": f"{info.sample_rate} Hz", "channels": str(info.channels)}
    found |= {"length": f"{clock(info.frames / info.sample_rate)} ({info.frames} samples)"}
    found |= {f"warning {i + 1}": text for i, text in enumerate(info.warnings)}
    return found | audio.metadata(path)


def model(path: Path) -> dict[str, Any]:
    """Returns the facts of a model file."""
    file = checkpoint.read_model(path)
    weights = {n: a for n, a in file.tensors.items() if "weights/" in n}
    rate = file.config.sample_rate
    found: dict[str, Any] = {"file": str(path), "family": file.family, "wavegen": file.version}
    found |= {"weights": large(sum(a.size for a in weights.values())), "sha256": file.sha256}
    found |= {"receptive field": f"{1000 * file.config.receptive_field / rate:.0f} ms"}
    for name, value in dataclasses.asdict(file.config).items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        found |= {f"{name} {field}".strip(): str(one) for field, one in parts}
    found |= {
        "trained": f"{file.extra.get('step', '?')} steps, "
        f"{clock(file.extra.get('seconds') or 0)} on {file.extra.get('recordings', '?')}"
    }
    for score in file.extra.get("scores", []):
        mean = "unknown" if score.get("mean") is None else f"{score['mean']:.3f}"
        found[f"held out, {score.get('name')}"] = f"{mean} {score.get('unit')}"
    return found | {"verdict": file.extra.get("verdict", "")}


def presets() -> list[dict[str, Any]]:
    """Returns a row per preset: what it is, how large, what it hears, and how fast it was."""
    rows = []
    for family, named in PRESETS.items():
        for name in named:
            model_config, settings = from_preset(family, name, {})
            rate = model_config.sample_rate
            field = 1000 * model_config.receptive_field / rate
            row: dict[str, Any] = {"family": family, "preset": name, "rate": f"{rate} Hz"}
            row |= {
                "channels": model_config.channels,
                "parameters": large(parameters(model_config)),
            }
            row |= {"receptive field": f"{field:.0f} ms", "batch": settings.batch}
            row |= {"window": settings.window}
            trained, drawn = (f"{speed:g} x" for speed in MEASURED[family][name])
            rows.append(row | {"trains": trained, "draws": drawn})
    return rows
