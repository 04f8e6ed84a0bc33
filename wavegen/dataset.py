"""Recordings as one body of sound to learn from: decoded, checked, counted once and split by time.

The last tenth of every recording is held out to judge by, behind a short gap, so that no reverb or
phrase is on both sides. What a recording's samples still need (its DC offset off, peaks beyond
full scale scaled back) happens while they are read; the cache keeps them as they were decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from wavegen import audio
from wavegen.cache import Cache
from wavegen.errors import AudioError, UsageError, shown
from wavegen.listing import Listing, list_audio
from wavegen.recording import Recording, check_length, judge

PARTS = ("train", "heldout")
Paths = str | Path | Iterable[str | Path]
Progress = Callable[[int, int, Path], None]

LEAST_HELDOUT_SECONDS = 0.25  # a shorter held-out part judges nothing
GAP_SHARE = 0.05  # the gap takes no more than this of a recording


class Dataset:
    """Recordings at one sample rate, split in time; made by `load`.

    Attributes:
        recordings: those used, in the order of their names.
        sample_rate: of all of them, Hz.
        channels: of all of them.
        files: how many files were looked at.
        skipped: those that cannot be used, with the reason.
        duplicates: those left out because the same sound is there already, with its path.
        warnings: one line each on what was changed or is doubtful.
        undivided: how many recordings are too short to hold out a part of; training has them whole.
        fingerprint: a hash that changes when the sound, its order, the split or the rate does.
    """

    def __init__(
        self,
        recordings: list[Recording],
        sample_rate: int,
        channels: int,
        heldout: float = 0.1,
        gap_seconds: float = 1.0,
    ) -> None:
        """Splits recordings in time.

        Args:
            recordings: what to learn from.
            sample_rate: of all of them, Hz.
            channels: of all of them.
            heldout: share of each recording, at its end, that is kept from training, 0 .. 0.5.
            gap_seconds: what is left out before it, at most a twentieth of the recording.
        """
        self.recordings = recordings
        self.sample_rate, self.channels = sample_rate, channels
        self.files = len(recordings)
        self.skipped: list[tuple[Path, str]] = []
        self.duplicates: list[tuple[Path, Path]] = []
        self.warnings = [
            f"{shown(recording.path)}: {warning}"
            for recording in recordings
            for warning in recording.warnings
        ]
        samples = np.array([recording.samples for recording in recordings], np.int64)
        held = (samples * heldout).astype(np.int64)
        held[held < LEAST_HELDOUT_SECONDS * sample_rate] = 0
        gap = np.minimum(int(gap_seconds * sample_rate), (samples * GAP_SHARE).astype(np.int64))
        ends = samples - np.where(held > 0, held + gap, 0)
        numbers, divided = np.arange(len(samples)), held > 0
        self.undivided = int(np.count_nonzero(~divided)) if heldout else 0
        self._tables = {
            "train": np.stack([numbers, np.zeros_like(ends), ends], 1),
            "heldout": np.stack([numbers, samples - held, samples], 1)[divided],
        }
        digest = hashlib.sha256(f"{sample_rate} {channels}".encode())
        for recording in recordings:
            digest.update(recording.entry.key.encode())
        for part in PARTS:
            digest.update(self._tables[part].astype("<i8").tobytes())
        self.fingerprint = digest.hexdigest()

    @property
    def keys(self) -> set[str]:
        """The recordings' content hashes: what was added or removed since another run."""
        return {recording.entry.key for recording in self.recordings}

    def table(self, part: str) -> np.ndarray:
        """Returns the segments of a part as int64 rows of (recording, start, stop) in samples.

        Args:
            part: "train" or "heldout".

        Raises:
            UsageError: another part.
        """
        if part not in self._tables:
            raise UsageError(f"part={part!r} must be one of {', '.join(PARTS)}")
        return self._tables[part]

    def segments(self, part: str) -> list[tuple[int, int, int]]:
        """Returns the segments of a part as a list of (recording, start, stop) in samples."""
        return [(int(number), int(start), int(stop)) for number, start, stop in self.table(part)]

    def seconds(self, part: str) -> float:
        """Returns how much sound a part holds, in seconds."""
        table = self.table(part)
        return float((table[:, 2] - table[:, 1]).sum()) / self.sample_rate

    def signal(self, recording: int, start: int, stop: int) -> np.ndarray:
        """Returns a cut of a recording as float32 `(channels, stop - start)` within -1 .. 1.

        Args:
            recording: its number in `recordings`.
            start: first sample.
            stop: one past the last sample.

        Raises:
            OutputError: the cache was cleared or damaged meanwhile.
        """
        return self.recordings[recording].read(start, stop)

    def summary(self) -> str:
        """Returns one line: how much there is, what was left out and what is held out."""
        rates = [recording.entry.source_sample_rate for recording in self.recordings]
        resampled = sum(rate != self.sample_rate for rate in rates)
        total = sum(recording.seconds for recording in self.recordings)
        words = [f"{_count(len(rates), 'recording')}, {_duration(total)}"]
        if resampled:
            words.append(f"{resampled} resampled to {self.sample_rate} Hz")
        if self.skipped:
            words.append(f"{len(self.skipped)} of {_count(self.files, 'file')} skipped")
        if self.duplicates:
            words.append(f"{_count(len(self.duplicates), 'duplicate')} left out")
        return "; ".join([*words, f"{_duration(self.seconds('heldout'))} held out"])


def load(
    paths: Paths,
    *,
    sample_rate: int,
    channels: int,
    heldout: float = 0.1,
    gap_seconds: float = 1.0,
    minimum_seconds: float = 0.5,
    cache: Cache | str | Path | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Returns the recordings in files and folders, each decoded into the cache at its first use.

    Args:
        paths: a file, a folder (searched to the bottom), or several of them.
        sample_rate: the model's, Hz; recordings at other rates are resampled.
        channels: the model's, 1 or 2; recordings are mixed.
        heldout: share of each recording that training must not see, 0 .. 0.5. It is the end, and
            none of it where it would be shorter than a quarter of a second.
        gap_seconds: what neither part gets between them, at most a twentieth of the recording.
        minimum_seconds: recordings shorter than this are skipped.
        cache: the cache or its folder; None is the user's (`cache.default_folder`).
        strict: a file that cannot be used is an error instead of skipped.
        progress: called as progress(done, files, path) after each file.

    Raises:
        AudioError: nothing usable is there, or `strict` and a file cannot be used.
        OutputError: the cache cannot be written.
        UsageError: a value out of range.
    """
    if not 0 <= heldout <= 0.5:
        raise UsageError(f"heldout={heldout} must lie in 0 .. 0.5; 0.1 holds out a tenth")
    if gap_seconds < 0 or minimum_seconds < 0:
        raise UsageError("gap_seconds and minimum_seconds must not be negative")
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    if not paths:
        raise UsageError("no recordings named; name a folder of WAV files")
    listing = list_audio(paths)
    files, skipped = len(listing.files) + len(listing.skipped), listing.skipped
    if strict and skipped:
        raise AudioError(f"{shown(skipped[0][0])}: {skipped[0][1]}")
    cache = cache if isinstance(cache, Cache) else Cache(cache)
    found: dict[str, Recording] = {}  # by the digest of the decoded sound
    duplicates: list[tuple[Path, Path]] = []
    for done, path in enumerate(listing.files, 1):
        try:
            entry = cache.find(path, sample_rate, channels)
            if entry is None:
                info = audio.info(path)  # refuses most bad files before they are hashed or decoded
                check_length(path, info.frames, info.sample_rate, minimum_seconds)
                entry = cache.decode(path, info, sample_rate, channels)
            if entry.digest in found:
                duplicates.append((path, found[entry.digest].path))
            else:
                found[entry.digest] = judge(path, entry, minimum_seconds)
        except AudioError as error:
            if strict:
                raise
            skipped.append((path, str(error).removeprefix(f"{shown(path)}: ")))
        if progress:
            progress(done, len(listing.files), path)
    if not found:
        raise AudioError(_nothing_usable(paths, listing, files))
    dataset = Dataset(list(found.values()), sample_rate, channels, heldout, gap_seconds)
    dataset.files, dataset.skipped, dataset.duplicates = files, skipped, duplicates
    return dataset


def _nothing_usable(paths: list[str | Path], listing: Listing, files: int) -> str:
    """Returns the one line for when no recording is left."""
    where = shown(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    if not files:
        others = listing.others.total()
        names = ", ".join(suffix or "no suffix" for suffix, _ in listing.others.most_common(3))
        beside = f" (only {_count(others, 'other file')}: {names})" if others else ""
        return f"{where}: no recordings found{beside}; put WAV files there"
    path, reason = listing.skipped[0]
    return (
        f"{where}: no usable audio: {len(listing.skipped)} of {_count(files, 'file')} skipped,"
        f" first: {shown(path)}: {reason}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
