"""`wavegen info`: what a model or a recording is, and which presets there are."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from wavegen import audio, checkpoint, config
from wavegen.cli.display import Console, clock, large
from wavegen.config import EMBEDDING
from wavegen.errors import UsageError
from wavegen.presets import PRESETS, from_preset


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
    weights = {n: a for n, a in file.tensors.items() if n.startswith("weights/")}
    rate = file.config.sample_rate
    found: dict[str, Any] = {"file": str(path), "family": file.family, "wavegen": file.version}
    found |= {"weights": large(sum(a.size for a in weights.values())), "sha256": file.sha256}
    found |= {"receptive field": f"{1000 * file.config.receptive_field / rate:.0f} ms"}
    found |= {name: str(value) for name, value in dataclasses.asdict(file.config).items()}
    found |= {
        "trained": f"{file.extra.get('step', '?')} steps, "
        f"{clock(file.extra.get('seconds', 0))} on {file.extra.get('recordings', '?')}"
    }
    for score in file.extra.get("scores", []):
        found[f"held out, {score['name']}"] = f"{score['mean']:.3f} {score['unit']}"
    return found | {"verdict": file.extra.get("verdict", "")}


def presets() -> list[dict[str, Any]]:
    """Returns a row per preset: what it is, how large, what it hears."""
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
            rows.append(row | {"window": settings.window})
    return rows


def parameters(model_config: Any) -> int:
    """Returns the number of weights a configuration leads to, counted without building it."""
    c = model_config
    if isinstance(c, config.WaveNetConfig):
        layers, r, g = len(c.dilations), c.residual_channels, c.gate_channels
        block = (c.kernel_size * r + 1) * 2 * g + (g + 1) * r
        softmax, known = c.head == "softmax", 5 if c.predictor_order else 1  # features a channel
        heads = (c.post_channels + 1) * c.outputs * c.channels
        given = (c.levels if softmax else 3) * c.post_channels if c.channels > 1 else 0
        post = (c.skip_channels + 1) * c.post_channels * c.channels
        inputs = (known * c.channels + 1) * r + (c.levels * r * c.channels if softmax else 0)
        coupling = 1 if c.predictor_order else 0
        skip = (layers * g + 1) * c.skip_channels
        return layers * block + skip + post + heads + given + inputs + coupling
    coefficients = c.channels * c.n_fft // 2
    lstm = c.layers * 4 * c.units * (2 * c.units + 1)
    if c.head == "codes":
        features, width = c.channels * (max(c.band_of) + 1), c.renderer_units
        heard = (EMBEDDING + 1) * c.units + (c.units + 1) * c.codes + 2 * EMBEDDING * c.codes
        hidden = (2 * EMBEDDING + 3 * features + 1) * width + (width + 1) * width
        return lstm + heard + hidden + (width + 1) * (coefficients + 5 * features)
    values = 7 if c.head == "student_t" else 2
    front = (5 * coefficients + 1) * c.units
    return front + lstm + (c.units + 1) * values * coefficients + coefficients
