"""`wavegen check`: what is in the recordings, before an hour is spent on them."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wavegen import advice, config, presets
from wavegen.cli import fixing
from wavegen.cli.display import Console, Pace, clock
from wavegen.dataset import spoken
from wavegen.errors import AudioError, shown
from wavegen.findings import Findings
from wavegen.gate import Sifted, count
from wavegen.listing import list_audio
from wavegen.survey import Survey, survey


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Prints what was found; returns 0 if training would start.

    Raises:
        AudioError: nothing usable is there, or with `--strict` a file cannot be used: what `train`
            would say.
        OutputError: `--fix` cannot write, or would touch recordings.
    """
    family = config.family_name(arguments.arch or config.UNASKED)
    preset = arguments.preset or "small"
    model, _ = presets.from_preset(family, preset, {})
    paths = [Path(path) for path in arguments.recordings]
    if arguments.fix:
        fixing.refuse(Path(arguments.fix), paths)
    listing = list_audio(paths)
    with console.live("listening") as live:
        found, sifted = survey(
            listing,
            sample_rate=model.sample_rate,
            channels=model.channels,
            repair=arguments.repair,
            progress=Pace(live),
        )
    fixed = fixing.fix(found, paths, Path(arguments.fix), console) if arguments.fix else {}
    if arguments.json:
        rows = [facts(one) | {"fixed": written(fixed.get(one.path))} for one in found]
        console.result(json.dumps(rows, indent=2))
    else:
        show(found, paths, console)
        summarize(found, sifted, model, preset, arguments, console)
        for copy in fixed.values():
            console.result(shown(copy))
    if not sifted.recordings:
        raise AudioError(sifted.nothing_usable(paths))
    if arguments.strict and sifted.skipped:
        path, reason = sifted.skipped[0]
        raise AudioError(f"{shown(path)}: {reason}")
    return 0


def rounded(value: float | None, digits: int) -> float | None:
    """Returns a number as JSON holds it."""
    return None if value is None else round(value, digits)


MEASURED: dict[str, Callable[[Findings], Any]] = {
    "seconds": lambda found: rounded(found.seconds, 4),
    "peak_db": lambda found: rounded(found.peak_db, 2),
    "rms_db": lambda found: rounded(found.rms_db, 2),
    "clipped": lambda found: rounded(found.clipped, 6),
    "dc_offset": lambda found: [round(offset, 6) for offset in found.dc_offset],
    "bandwidth_hz": lambda found: round(found.bandwidth_hz),
    "band_limited": lambda found: found.cut,
    "silent": lambda found: rounded(found.silent, 4),
    "silent_start": lambda found: rounded(found.silent_start, 2),
    "silent_end": lambda found: rounded(found.silent_end, 2),
    "correlation": lambda found: rounded(found.correlation, 4),
    "out_of_phase": lambda found: found.opposed,
}


def facts(one: Survey) -> dict[str, Any]:
    """Returns what `--json` says of a file; docs/check.schema.json describes it."""
    info, found = one.info, one.findings
    row: dict[str, Any] = {
        "path": str(one.path),
        "usable": not one.reason,
        "reason": one.reason or None,
        "warnings": list(one.warnings),
        "duplicate_of": written(one.duplicate_of),
        "near_duplicates": [str(path) for path in one.near_duplicates],
        "container": info.container if info else None,
        "subtype": info.subtype if info else None,
        "sample_rate": info.sample_rate if info else None,
        "channels": info.channels if info else None,
    }
    return row | {name: measure(found) if found else None for name, measure in MEASURED.items()}


def written(path: Path | None) -> str | None:
    """Returns a path as JSON holds it."""
    return None if path is None else str(path)


def show(found: Sequence[Survey], paths: Sequence[Path], console: Console) -> None:
    """Prints the table, then what is dropped and what is doubtful, a line each."""
    columns = ["file", "rate", "ch", "length", "dB", "kHz", "silent", "use"]
    root = paths[0] if len(paths) == 1 and paths[0].is_dir() else None
    console.table(columns, [cells(one, root) for one in found], to_stdout=True)
    console.result("")
    for one in found:
        if one.reason:
            console.result(f"dropped: {shown(one.path)}: {one.reason}")
    for one in found:
        for warning in one.warnings:
            console.result(f"{shown(one.path)}: {warning}")


def cells(one: Survey, root: Path | None) -> list[str]:
    """Returns one row of the table; names begin at the only folder that was asked about."""
    info, found = one.info, one.findings
    name = one.path.relative_to(root) if root and one.path.is_relative_to(root) else one.path
    row = [shown(name), f"{info.sample_rate}" if info else "-"]
    row.append(f"{info.channels}" if info else "-")
    if found is None:
        row += ["-"] * 4
    else:
        length = clock(found.seconds) if found.seconds >= 60 else f"{found.seconds:.1f} s"
        row += [length, "-" if found.peak_db is None else f"{found.peak_db:.1f}"]
        row += [f"{found.bandwidth_hz / 1000:.1f}", f"{found.silent:.0%}"]
    return [*row, "no" if one.reason else "note" if one.warnings else "yes"]


def summarize(
    found: Sequence[Survey],
    sifted: Sifted,
    model: Any,
    preset: str,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Prints how much there is, what to expect of it, and what to do next."""
    heard = [one.findings for one in found if one.findings]
    usable = sum(recording.seconds for recording in sifted.recordings)
    words = [f"{len(sifted.recordings)} of {count(sifted.files, 'file')} usable"]
    words.append(f"{spoken(usable)} of {spoken(sum(one.seconds for one in heard))}")
    if sifted.skipped:
        words.append(f"{len(sifted.skipped)} skipped")
    if sifted.duplicates:
        words.append(f"{count(len(sifted.duplicates), 'duplicate')} left out")
    near = sum(bool(one.near_duplicates) for one in found)
    if near:
        words.append(f"{near} hold a performance that another holds too")
    console.result("; ".join(words))
    if not sifted.recordings:
        return
    taken = [one.findings for one in found if one.findings and not one.reason]
    order = sorted(taken, key=lambda one: one.bandwidth_hz)
    middle = np.searchsorted(np.cumsum([one.seconds for one in order]), usable / 2)
    most = order[min(int(middle), len(order) - 1)].bandwidth_hz if order else 0.0
    advised = advice.advise(usable, most, model, preset)
    console.result(f"what to expect of so much: {advised.expectation}")
    flags = f" --arch {arguments.arch}" if arguments.arch else ""
    flags += f" --preset {advised.preset}" if advised.preset != "small" else ""
    flags += " --repair" if any(one.zeroed for one in found) else ""
    where = " ".join(shlex.quote(shown(path)) for path in arguments.recordings)
    minutes = round(advised.seconds / 60)
    console.result(
        f"try: python -m wavegen train {where}{flags} --for {minutes}m   (on two CPU cores)"
    )
    if advised.remark:
        console.result(advised.remark)
