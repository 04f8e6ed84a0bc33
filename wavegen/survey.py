"""What is in a body of recordings: what training takes and leaves out, and what each one is like.

The gate decides with training's own rules; a second thread listens meanwhile to the files as they
are. Then recordings of the same performance are found.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wavegen import audio, findings, fingerprint, gate
from wavegen.cache import Cache
from wavegen.errors import AudioError, shown
from wavegen.findings import Findings
from wavegen.listing import Listing
from wavegen.recording import CLIPPED, OVERSHOOT, Recording


@dataclass(frozen=True)
class Survey:
    """One file, looked at.

    Attributes:
        path: of the file.
        reason: why training leaves it out, "" if it does not.
        warnings: what is doubtful, a line each without the file's name; training's own come first.
        duplicate_of: the file that holds exactly the same sound and is taken in its place.
        near_duplicates: usable recordings that hold the same performance.
        info: what its header says, None where that cannot be read.
        findings: what its sound is like, None where it cannot be decoded.
        zeroed: how many values that are no sound became zeros, where that was asked for.
    """

    path: Path
    reason: str = ""
    warnings: tuple[str, ...] = ()
    duplicate_of: Path | None = None
    near_duplicates: tuple[Path, ...] = ()
    info: audio.Info | None = None
    findings: Findings | None = None
    zeroed: int = 0


def survey(
    listing: Listing,
    *,
    sample_rate: int,
    channels: int,
    repair: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[list[Survey], gate.Sifted]:
    """Returns what is in the files, in their order, and what the gate says of them all.

    Args:
        listing: the files.
        sample_rate: of the model that would be trained, Hz.
        channels: of that model, 1 or 2.
        repair: whether values that are no sound become zeros, instead of an error.
        progress: called with the share of the work that is done, 0 .. 1, from two threads.

    Raises:
        OutputError: the cache of decoded recordings cannot be written.
    """
    pace = _Pace(listing.files, progress)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            looks: dict[Path, Future[_Look]] = {
                path: pool.submit(_look, path, stop, pace, repair) for path in listing.files
            }
            sifted = gate.sift(
                listing,
                sample_rate=sample_rate,
                channels=channels,
                cache=Cache(repair=repair),
                progress=lambda done, files, path: pace.passed(path, 1.0, 0),
            )
            heard = {path: look.result() for path, look in looks.items()}
        except BaseException:  # an interrupt, too, must not wait for the other thread
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    reasons, twins = dict(sifted.skipped), dict(sifted.duplicates)
    taken = {recording.path: recording for recording in sifted.recordings}
    found = []
    for path in [*listing.files, *(path for path, _ in listing.skipped)]:
        look = heard.get(path, _Look())
        twin, reason = twins.get(path), reasons.get(path, "")
        if twin:
            reason = f"the same recording as {shown(twin)}: counted once"
        warnings = _warnings(look, reason, taken.get(path))
        facts = (look.info, look.findings, look.zeroed)
        found.append(Survey(path, reason, warnings, twin, (), *facts))
    return _paired(found), sifted


@dataclass
class _Look:
    """What a file's header says, what its sound is like, and why there is no more of either."""

    info: audio.Info | None = None
    findings: Findings | None = None
    error: str = ""
    zeroed: int = 0


def _look(path: Path, stop: threading.Event, pace: _Pace, repair: bool) -> _Look:
    """Returns what can be told of a file without training's rules."""
    look, repairs = _Look(), audio.Repair() if repair else None

    def seconds(info: audio.Info) -> Iterator[np.ndarray]:
        done = 0
        for block in audio.blocks(path, block_frames=info.sample_rate, repair=repairs):
            if stop.is_set():
                return
            done += block.shape[1]
            pace.passed(path, min(done / info.frames, 1.0), 1)
            yield block

    try:
        look.info = info = audio.info(path)
        look.findings = findings.examine(seconds(info), info.sample_rate, info.channels)
        look.zeroed = repairs.values if repairs else 0
    except AudioError as error:
        look.error = str(error).removeprefix(f"{shown(path)}: ")
    pace.passed(path, 1.0, 1)
    return look


def _warnings(look: _Look, reason: str, recording: Recording | None) -> tuple[str, ...]:
    """Returns what training says about a recording, and what it would not notice."""
    remarks = findings.remarks(look.findings) if look.findings else {}
    if recording is None:
        more = [look.error] if look.info and look.error and look.error != reason else []
        return (*(look.info.warnings if look.info else ()), *more, *remarks.values())
    said = {
        "phase": recording.entry.antiphase,
        "offset": bool(recording.offsets),
        "clipped": recording.entry.levels.clipped >= CLIPPED,
        "peak": recording.scale < 1 / OVERSHOOT,
    }
    return (*recording.warnings, *(text for what, text in remarks.items() if not said.get(what)))


def _paired(found: list[Survey]) -> list[Survey]:
    """Returns the same with near duplicates named on both sides; the later one is warned about."""
    places = {one.path: number for number, one in enumerate(found)}
    numbers = [n for n, one in enumerate(found) if one.findings and not one.reason]
    prints = [one.findings.fingerprint for n in numbers if (one := found[n]).findings]
    for match in fingerprint.matches(prints):
        first, second = numbers[match.first], numbers[match.second]
        for here, there in ((first, second), (second, first)):
            near = (*found[here].near_duplicates, found[there].path)
            found[here] = replace(found[here], near_duplicates=near)
    for here, one in enumerate(found):
        before = [path for path in one.near_duplicates if places[path] < here]
        if before:
            others = f" and {len(before) - 1} more" if len(before) > 1 else ""
            warning = (
                f"the same performance as {shown(before[0])}{others}: it counts twice, and "
                "training hears what is held out of the other"
            )
            found[here] = replace(one, warnings=(*one.warnings, warning))
    return found


class _Pace:
    """How much is done of two passes through the same files, by their size."""

    def __init__(self, files: list[Path], progress: Callable[[float], None]) -> None:
        self.progress, self.sizes = progress, dict.fromkeys(files, 1)
        for path in files:
            with contextlib.suppress(OSError):
                self.sizes[path] += os.stat(path).st_size
        self.total = 2 * max(1, sum(self.sizes.values()))
        self.done: list[dict[Path, float]] = [{}, {}]
        self.lock = threading.Lock()
        self.bytes = 0.0

    def passed(self, path: Path, share: float, which: int) -> None:
        """Notes how much of a file one of the passes has behind it."""
        with self.lock:
            before = self.done[which].get(path, 0.0)
            self.done[which][path] = share
            self.bytes += (share - before) * self.sizes[path]
            done = self.bytes / self.total
        self.progress(done)
