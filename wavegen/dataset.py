"""Recordings as one body of sound to learn from: decoded, checked, counted once and split by time.

The last tenth of every recording is held out to judge by, behind a short gap, so that no reverb or
phrase is on both sides. What a recording's samples still need (its DC offset off, peaks beyond
full scale scaled back) happens while they are read; the cache keeps them as they were decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wavegen import gate
from wavegen.cache import Cache
from wavegen.errors import AudioError, UsageError, shown
from wavegen.gate import Progress, count
from wavegen.listing import list_audio
from wavegen.recording import Recording

PARTS = ("train", "heldout")
Paths = str | Path | Iterable[str | Path]

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
        words = [f"{count(len(rates), 'recording')}, {spoken(total)}"]
        if resampled:
            words.append(f"{resampled} resampled to {self.sample_rate} Hz")
        if self.skipped:
            words.append(f"{len(self.skipped)} of {count(self.files, 'file')} skipped")
        if self.duplicates:
            words.append(f"{count(len(self.duplicates), 'duplicate')} left out")
        return "; ".join([*words, f"{spoken(self.seconds('heldout'))} held out"])


def load(
    paths: Paths,
    *,
    sample_rate: int,
    channels: int,
    heldout: float = 0.1,
    gap_seconds: float = 1.0,
    minimum_seconds: float = gate.MINIMUM_SECONDS,
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
    sifted = gate.sift(
        list_audio(paths),
        sample_rate=sample_rate,
        channels=channels,
        minimum_seconds=minimum_seconds,
        cache=cache,
        strict=strict,
        progress=progress,
    )
    if not sifted.recordings:
        raise AudioError(sifted.nothing_usable(paths))
    dataset = Dataset(sifted.recordings, sample_rate, channels, heldout, gap_seconds)
    dataset.files, dataset.skipped = sifted.files, sifted.skipped
    dataset.duplicates = sifted.duplicates
    return dataset


def spoken(seconds: float) -> str:
    """Returns "3.2 s", "4.5 min" or "2.1 h" from seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
