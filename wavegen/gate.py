"""Which files can be learned from, and why the others cannot.

`train` lets in what passes here, and `check` says what would: both ask the same question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wavegen import audio
from wavegen.cache import Cache
from wavegen.errors import AudioError, shown
from wavegen.listing import Listing
from wavegen.recording import Recording, check_length, judge

MINIMUM_SECONDS = 0.5  # shorter recordings are skipped
Progress = Callable[[int, int, Path], None]


@dataclass(frozen=True)
class Sifted:
    """What passed, and what did not.

    Attributes:
        recordings: what can be learned from, in the order of their names.
        files: how many files were looked at.
        skipped: those that cannot be used, with the reason.
        duplicates: those left out because the same sound is there already, with its path.
        others: how many other files lie about, by suffix.
    """

    recordings: list[Recording]
    files: int
    skipped: list[tuple[Path, str]]
    duplicates: list[tuple[Path, Path]]
    others: Counter[str]

    def nothing_usable(self, paths: Sequence[str | Path]) -> str:
        """Returns the one line for when no recording is left.

        Args:
            paths: what the user named.
        """
        where = shown(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
        if not self.files:
            others = self.others.total()
            names = ", ".join(suffix or "no suffix" for suffix, _ in self.others.most_common(3))
            beside = f" (only {count(others, 'other file')}: {names})" if others else ""
            return f"{where}: no recordings found{beside}; put WAV files there"
        path, reason = self.skipped[0]
        return (
            f"{where}: no usable audio: {len(self.skipped)} of {count(self.files, 'file')} skipped,"
            f" first: {shown(path)}: {reason}"
        )


def sift(
    listing: Listing,
    *,
    sample_rate: int,
    channels: int,
    minimum_seconds: float = MINIMUM_SECONDS,
    cache: Cache | str | Path | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Sifted:
    """Returns which of the files can be learned from, each decoded into the cache.

    Args:
        listing: the files.
        sample_rate: the model's, Hz; recordings at other rates are resampled.
        channels: the model's, 1 or 2; recordings are mixed.
        minimum_seconds: recordings shorter than this are skipped.
        cache: the cache or its folder; None is the user's (`cache.default_folder`).
        strict: a file that cannot be used is an error instead of skipped.
        progress: called as progress(done, files, path) after each file.

    Raises:
        AudioError: `strict` and a file cannot be used.
        OutputError: the cache cannot be written.
    """
    skipped = list(listing.skipped)
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
    files = len(listing.files) + len(listing.skipped)
    return Sifted(list(found.values()), files, skipped, duplicates, listing.others)


def count(number: int, noun: str) -> str:
    """Returns "1 file" or "3 files"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
