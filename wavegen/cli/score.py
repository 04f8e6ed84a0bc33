"""`wavegen score`: how likely sound is under a model, beside honest baselines."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wavegen import audio, checkpoint, listing
from wavegen.cli.display import Console, hushed
from wavegen.errors import AudioError, Error


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Scores every file and all of them together; returns 0 only if each could be read."""
    path = checkpoint.find_model(arguments.model, arguments.runs)
    console.note(f"model: {path}")
    file = checkpoint.read_model(path)
    files = listing.list_audio([Path(name) for name in arguments.files]).files
    if not files:
        raise AudioError(f"{' '.join(arguments.files)}: no sound files there; name a WAV to score")
    with hushed():
        from wavegen import heldout, models
        from wavegen.engines.reference import Reference

        model = models.load(file)
    arrays = checkpoint.part_of(file.tensors, "baselines/")
    yardsticks = heldout.Yardsticks.from_arrays(file.config, arrays)
    engine, codec, code = Reference(model), type(model).codec(file.config), 0
    found: list[tuple[str, dict, dict]] = []
    for sound in files:
        try:
            with console.live(f"scoring {audio.shown(sound)}"):
                frames = pieces(sound, codec, file.config)
                found.append((str(sound), *heldout.judge_frames(engine, yardsticks, frames)))
        except Error as error:
            if len(files) == 1:
                raise
            console.error(str(error))
            code = error.exit_code
    if not found:
        return code
    rows = []
    if len(found) > 1:
        costs = heldout.joined([one[1] for one in found])
        others = heldout.joined([one[2] for one in found])
        found.append((f"all {len(found)} files", costs, others))
    for name, costs, others in found:
        scores = heldout.table(yardsticks, costs, others)
        verdict = heldout.verdict(yardsticks, costs, others)
        rows.append({"file": name, "scores": [dataclasses.asdict(s) for s in scores]})
        rows[-1]["verdict"] = verdict
        if not arguments.json:
            show(name, scores, verdict, console)
    if arguments.json:
        console.result(json.dumps(rows, indent=2))
    return code


def pieces(path: Path, codec: Any, config: Any) -> Iterator[np.ndarray]:
    """Yields frames of one file piece by piece, so that a file of any length fits."""
    from wavegen.heldout import PIECE_SECONDS, frames_of

    size = round(5 * PIECE_SECONDS * config.sample_rate)
    kept = np.zeros((config.channels, 0), "float32")
    shortest = 2 * codec.frame_samples + 1
    for block in audio.blocks(path, sample_rate=config.sample_rate, channels=config.channels):
        kept = np.concatenate([kept, block], axis=1)
        while kept.shape[1] > size + shortest:
            yield frames_of(codec, kept[:, :size])
            kept = kept[:, size:]
    if kept.shape[1] < shortest:
        raise AudioError(
            f"{audio.shown(path)}: holds {kept.shape[1]} samples at the model's rate; "
            f"scoring needs at least {shortest}"
        )
    yield frames_of(codec, kept)


def show(name: str, scores: list[Any], verdict: str, console: Console) -> None:
    """Prints one table and its sentence."""
    rows = [
        [score.name, f"{score.mean:.3f}", f"{score.low:.3f} .. {score.high:.3f}"]
        for score in scores
    ]
    console.result(name)
    console.table(["", scores[0].unit, "95 % interval"], rows, to_stdout=True)
    console.result(f"{verdict}\n")
