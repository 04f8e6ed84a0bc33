"""`wavegen runs`: what has been trained here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from wavegen import checkpoint
from wavegen.cli.display import Console, clock
from wavegen.errors import CheckpointError, UsageError, shown


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Prints a line per run, the newest first."""
    if Path(arguments.runs).is_file():
        raise UsageError(f"{shown(arguments.runs)}: is a file, not a folder of runs")
    found = [row(one) for one in checkpoint.runs(arguments.runs)]
    if arguments.json:
        console.result(json.dumps(found, indent=2))
    elif not found:
        console.note(f"no runs in {arguments.runs}/; python -m wavegen train makes one")
    else:
        columns = ["run", "family", "steps", "time", "held out", "unit", "verdict"]
        rows = [[str(one[column]) for column in columns] for one in found]
        console.table(columns, rows, to_stdout=True)
    return 0


def row(one: checkpoint.Run) -> dict[str, Any]:
    """Returns the facts of one run."""
    facts: dict[str, Any] = dict.fromkeys(["family", "steps", "time", "held out", "unit"], "-")
    facts = {"run": one.folder.name, **facts, "verdict": "no model yet"}
    if not one.model_path.exists():
        return facts
    try:
        file = checkpoint.read_model(one.model_path)
    except CheckpointError as error:
        return {**facts, "verdict": str(error)}
    scores = file.extra.get("scores") or [{}]
    facts |= {"family": file.family, "verdict": file.extra.get("verdict", "")}
    facts |= {"steps": file.extra.get("step", "-"), "time": clock(file.extra.get("seconds") or 0)}
    if scores[0].get("mean") is not None:
        facts |= {"held out": f"{scores[0]['mean']:.3f}", "unit": scores[0].get("unit", "")}
    return facts
