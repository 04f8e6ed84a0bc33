"""One decoded recording on disk: a page of JSON, then interleaved float32 samples.

An entry is written as a draft under a name of its own and renamed when it is complete and safe on
disk: a kill at any moment leaves no half entry behind. Silence is left as holes and takes no disk.

Samples are read, not mapped: a recording of ten hours then adds nothing to the process's memory,
and a failing disk is an error message instead of SIGBUS.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavegen.errors import OutputError, shown
from wavegen.levels import Levels, Meter

HEADER = 4096  # bytes before the samples, one page of a file system
PAGE_FRAMES = 16384  # samples a channel that are looked at, hashed and written at once


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording in the cache: where its samples are and what was learned while decoding it.

    Attributes:
        path: the file in the cache.
        key: SHA-256 of the recording's file.
        sample_rate: of the samples in the cache, Hz.
        channels: of the samples in the cache.
        samples: samples in each channel.
        digest: SHA-256 over the decoded samples, equal for the same sound in another container.
        levels: extremes, mean and loudness, see `Levels`.
        antiphase: the channels cancelled in the mono mix; the samples are the left channel's.
        source_sample_rate: of the recording, Hz.
        source_channels: of the recording.
        warnings: what reading the recording had to say, without its name.
    """

    path: str
    key: str
    sample_rate: int
    channels: int
    samples: int
    digest: str
    levels: Levels
    antiphase: bool
    source_sample_rate: int
    source_channels: int
    warnings: tuple[str, ...]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Returns samples start .. stop as float32 `(channels, stop - start)`, a fresh array.

        Args:
            start: first sample, >= 0.
            stop: one past the last sample, <= samples.

        Raises:
            OutputError: the cache was cleared or damaged since the entry was opened.
        """
        assert 0 <= start <= stop <= self.samples, (start, stop, self.samples)
        frames = np.empty((stop - start, self.channels), np.float32)
        room, filled = frames.reshape(-1).view(np.uint8).data, 0
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(HEADER + start * self.channels * 4)
                while filled < len(room):
                    got = file.readinto(room[filled:])
                    if not got:
                        raise OSError("it is cut short")
                    filled += got
        except OSError as error:
            raise OutputError(
                f"{shown(self.path)}: cannot read the decoded recording"
                f" ({reason(error)}); start again, it is then decoded anew"
            ) from error
        return np.ascontiguousarray(frames.T)  # (channels, samples)


def open_entry(path: str) -> Entry | None:
    """Returns the entry in a file, or None where there is none or it does not fit its header."""
    try:
        with open(path, "rb", buffering=0) as file:
            check, _, text = (file.read(HEADER) or b"").rstrip(b" ").partition(b"\n")
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return None
    if check != hashlib.sha256(text).hexdigest().encode():
        return None
    values = _with_tuples(json.loads(text))
    entry = Entry(path=path, **values | {"levels": Levels(**values["levels"])})
    return entry if size == HEADER + entry.samples * entry.channels * 4 else None


def write_draft(
    path: str | Path, blocks: Iterable[np.ndarray], channels: int
) -> tuple[Levels, str]:
    """Writes samples behind an empty header.

    Args:
        path: the draft, a file that does not exist.
        blocks: float32 `(channels, n)`, in any lengths.
        channels: of the blocks.

    Returns:
        The levels, and a SHA-256 over the samples that does not depend on the blocks' lengths.

    Raises:
        OSError: it cannot be written.
    """
    meter, digest = Meter(channels), hashlib.sha256()
    with open(path, "xb") as file:
        file.seek(HEADER)
        for page in _pages(blocks, channels):
            meter.add(page.T)
            if page.any():
                digest.update(page.data)
                file.write(page.data)
            else:  # a hole in the file, and little in the digest
                digest.update(f"silence {len(page)}".encode())
                file.seek(page.nbytes, os.SEEK_CUR)
        file.truncate(file.tell())
    return meter.levels(), digest.hexdigest()


def commit(draft: str | Path, entry: Entry) -> None:
    """Completes a draft with its header and gives it its name, once it is safely on disk.

    Args:
        draft: what `write_draft` wrote, on the same file system.
        entry: what the header will say; its path is the name.

    Raises:
        OSError: it cannot be written or renamed.
    """
    final = Path(entry.path)
    final.parent.mkdir(parents=True, exist_ok=True)
    with open(draft, "r+b") as file:
        file.write(_header(entry))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.replace(draft, final)
    except PermissionError:
        # Windows does not replace a file that is being read; then the same entry is there already.
        if sys.platform != "win32" or not final.exists():
            raise


def _header(entry: Entry) -> bytes:
    """Returns the first page of an entry: a checksum, what is known, and blanks."""
    values = dataclasses.asdict(entry)
    del values["path"]
    text = json.dumps(values).encode()
    header = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
    assert len(header) <= HEADER
    return header.ljust(HEADER)


def _with_tuples(value: Any) -> Any:
    """Returns what JSON holds with tuples for its lists, as they were before."""
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _pages(blocks: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
    """Yields `(PAGE_FRAMES, channels)` pages, the last one shorter, from `(channels, n)` blocks.

    Pages do not depend on how a decoder cuts its blocks, so neither does the digest over them.
    """
    page, filled = np.empty((PAGE_FRAMES, channels), np.float32), 0
    for block in blocks:
        frames = block.T  # (samples, channels)
        while len(frames):
            part = frames[: PAGE_FRAMES - filled]
            page[filled : filled + len(part)] = part
            filled, frames = filled + len(part), frames[len(part) :]
            if filled == PAGE_FRAMES:
                yield page
                filled = 0
    if filled:
        yield page[:filled]


def reason(error: OSError) -> str:
    """Returns the system's words for an error, as they read in the middle of a sentence."""
    return (error.strerror or str(error)).lower()
