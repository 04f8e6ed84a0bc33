"""`wavegen check --fix DIR`: corrected copies, beside the recordings and never over anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wavegen import audio
from wavegen.cli.display import Console, Live, Pace
from wavegen.correction import Correction, corrected, correction_of
from wavegen.errors import OutputError, shown
from wavegen.survey import Survey

SUBTYPES = {"PCM_16": "PCM_16", "PCM_24": "PCM_24"}  # of a WAV; others become float


def refuse(folder: Path, roots: Sequence[Path]) -> None:
    """Raises OutputError where copies may not go: among the recordings, or where no folder can be.

    Args:
        folder: what `--fix` names.
        roots: the files and folders of the recordings.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{shown(folder)}: is no folder; choose another --fix")
    for root in roots:
        home = root if root.is_dir() else root.parent
        inside = root.is_dir() and home.resolve() in folder.resolve().parents
        if folder.resolve() == home.resolve() or inside:
            raise OutputError(
                f"{shown(folder)}: lies among the recordings, copies would be heard twice; choose "
                "another --fix"
            )


def fix(
    found: Sequence[Survey], roots: Sequence[Path], folder: Path, console: Console
) -> dict[Path, Path]:
    """Writes a corrected copy of every usable recording in which something can be put right.

    Args:
        found: the files.
        roots: what they were found in; their folders are made again below `folder`.
        folder: where to write.
        console: says what was done.

    Returns:
        The copies by their recordings.

    Raises:
        OutputError: a copy exists already, or cannot be written.
    """
    plans = []
    for one in found:
        if one.findings and one.info and not one.reason:
            correction = correction_of(one.findings, one.zeroed)
            if correction.words:
                plans.append((one, correction, folder / _place(one.path, roots)))
    taken: set[Path] = set()
    for _, _, target in plans:  # before anything is written
        if target.exists() or target in taken:
            raise OutputError(f"{shown(target)}: exists; choose an empty folder for --fix")
        taken.add(target)
    copies = {}
    for one, correction, target in plans:
        assert one.info
        with console.live(f"writing {shown(target)}") as live:
            _write(one.path, one.info, correction, target, live)
        copies[one.path] = target
        console.note(f"{shown(one.path)}: {', '.join(correction.words)}")
    if not copies:
        console.note("nothing that can be put right: no copies written")
    return copies


def _write(path: Path, info: audio.Info, correction: Correction, target: Path, live: Live) -> None:
    """Writes one copy, whole or not at all."""
    subtype = SUBTYPES.get(info.subtype, "FLOAT")
    if target.suffix.lower() == ".flac" and subtype == "FLOAT":
        subtype = "PCM_24"
    known, pace = audio.metadata(path), Pace(live)
    rate, length = info.sample_rate, max(1, correction.stop - correction.start)
    repair = audio.Repair() if correction.zeroed else None
    with audio.Writer(target, rate, info.channels, subtype=subtype, metadata=known) as writer:
        try:
            for part in corrected(audio.blocks(path, block_frames=rate, repair=repair), correction):
                writer.write(part)
                pace(writer.frames / length)
        except KeyboardInterrupt:  # of a drawing, half would be kept
            writer.abort()
            raise


def _place(path: Path, roots: Sequence[Path]) -> Path:
    """Returns where below the folder a copy goes."""
    root = next((root for root in roots if root.is_dir() and path.is_relative_to(root)), None)
    place = path.relative_to(root) if root else Path(path.name)
    writable = path.suffix.lower() in (".wav", ".flac")
    return place if writable else place.with_name(f"{place.name}.wav")
