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
from wavegen.cli.compiling import show_compiling
from wavegen.cli.display import Console, hushed
from wavegen.codec import codec_of
from wavegen.errors import AudioError, Error
from wavegen.modelfile import judge_of, plain


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Scores every file and all of them together; returns 0 only if each could be read."""
    path = checkpoint.find_model(arguments.model, arguments.runs)
    console.note(f"model: {path}")
    file = judge_of(checkpoint.read_model(path))
    files = listing.list_audio([Path(name) for name in arguments.files]).files
    if not files:
        raise AudioError(f"{' '.join(arguments.files)}: no sound files there; name a WAV to score")
    with hushed():
        from wavegen import engines, heldout

        judges = {"model": engines.make(file, arguments.engine or "reference", "float32")}
        for precision in arguments.precision or []:
            judges[f"model in {precision}"] = engines.make(file, "numba", precision)
    for judge in judges.values():
        show_compiling(judge.warm_up, console)
    arrays = checkpoint.part_of(file.tensors, "baselines/")
    yardsticks = heldout.Yardsticks.from_arrays(file.config, arrays)
    codec, code = codec_of(file.config), 0
    found: list[tuple[str, dict, dict]] = []
    for sound in files:
        try:
            with console.live(f"scoring {audio.shown(sound)}"):
                frames = pieces(sound, codec, file.config)
                found.append((str(sound), *heldout.judge_frames(judges, yardsticks, frames)))
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
        sixteen = costs.pop(heldout.SIXTEEN, None)
        model, losses = {"model": costs["model"]}, heldout.losses(yardsticks, costs)
        scores = heldout.table(yardsticks, model, others)
        verdict = heldout.verdict(yardsticks, model, others)
        if sixteen is not None:
            scores += heldout.table(yardsticks, {f"model, {heldout.SIXTEEN}": sixteen}, {})
        row: dict[str, Any] = {"file": name, "scores": [dataclasses.asdict(s) for s in scores]}
        rows.append(row | {"verdict": verdict, "losses": [dataclasses.asdict(s) for s in losses]})
        if not arguments.json:
            show(name, scores, verdict, losses, console)
    if arguments.json:
        console.result(json.dumps(plain(rows), indent=2, allow_nan=False))
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


def show(name: str, scores: list[Any], verdict: str, losses: list[Any], console: Console) -> None:
    """Prints one table, its sentence, and what other precisions cost."""
    rows = [
        [score.name, f"{score.mean:.3f}", f"{score.low:.3f} .. {score.high:.3f}"]
        for score in scores
    ]
    console.result(name)
    console.table(["", scores[0].unit, "95 % interval"], rows, to_stdout=True)
    console.result(verdict)
    for loss in losses:
        between = f"{loss.low:+.5f} .. {loss.high:+.5f}"
        console.result(f"{loss.name}: {loss.mean:+.5f} {loss.unit} ({between})")
    console.result("")
