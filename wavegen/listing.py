"""The recordings in files and folders: which there are, and which are none and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wavegen import audio
from wavegen.entry import reason
from wavegen.errors import AudioError, shown


@dataclass
class Listing:
    """What was found.

    Attributes:
        files: the files to try, in the order of their names, folder by folder.
        skipped: what looks like a recording and is none, or cannot be looked at, with the reason.
        others: how many other files there are, by suffix.
    """

    files: list[Path] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def list_audio(paths: str | Path | Iterable[str | Path]) -> Listing:
    """Returns the recordings in files and folders.

    Folders are searched to the bottom, following links but entering each folder once. In them only
    files with a suffix of `audio.EXTENSIONS` count; a file that is named itself is always tried.
    Names that start with a dot are left out, except where they stand for a missing recording.

    Args:
        paths: a file, a folder, or several of them.

    Raises:
        AudioError: one of the paths does not exist.
    """
    listing, folders, files = Listing(), set[tuple[int, int]](), dict[str, None]()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if os.path.isdir(path):
            _walk(os.fspath(path), listing, folders, files)
        elif os.path.lexists(path):
            files.setdefault(os.fspath(path))
        else:
            raise AudioError(f"{shown(path)}: no such file or folder")
    listing.files = [Path(name) for name in files]
    return listing


def _walk(
    top: str, listing: Listing, folders: set[tuple[int, int]], files: dict[str, None]
) -> None:
    stack = [top]
    while stack:
        path = stack.pop()
        if not os.path.isdir(path):
            files.setdefault(path)
            continue
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in folders:
                continue
            folders.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            listing.skipped.append((Path(path), reason(error)))
            continue
        stack.extend(entry.path for entry in found if _wanted(entry, listing))


def _wanted(entry: os.DirEntry[str], listing: Listing) -> bool:
    """Returns whether an entry is a folder or a recording; counts it where it is neither."""
    name = entry.name
    if name.startswith("."):
        if why := _stand_in(name):
            listing.skipped.append((Path(entry.path), why))
        return False
    try:
        if entry.is_dir():
            return True
    except OSError:  # a link to itself: trying to read it will say so
        pass
    suffix = os.path.splitext(name)[1].lower()
    if suffix in audio.EXTENSIONS:
        return True
    listing.others[suffix] += 1
    return False


def _stand_in(name: str) -> str:
    """Returns why a hidden file is not the recording that it stands for, or nothing."""
    suffix = os.path.splitext(name.removesuffix(".icloud"))[1].lower()
    if suffix not in audio.EXTENSIONS:
        return ""
    if name.startswith("._"):
        return "AppleDouble data of macOS, not sound; delete it"
    return "still in iCloud; download it first" if name.endswith(".icloud") else ""
