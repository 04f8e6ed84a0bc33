"""Every recording decoded once: a folder of float32 files that pieces are read from.

An entry belongs to a recording's content (SHA-256), the sample rate and the channels, so renaming
or moving recordings costs nothing and two runs share it. Beside the entries are notes of what
content a large file had, so that ten hours of recordings are not hashed again at each start.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wavegen import audio
from wavegen.entry import Entry, commit, open_entry, reason, write_draft
from wavegen.errors import AudioError, OutputError, shown
from wavegen.finite import repaired
from wavegen.levels import QUIET

VERSION = 1  # of the entries: another number and everything is decoded again
RACE_SECONDS = 2.0  # a file changed this recently may change again under the same time stamp
SMALL = 2**20  # bytes up to which hashing a file is as cheap as looking up its note
STALE_SECONDS = 86400.0  # temporary files of killed processes are cleared away after a day
CURE = "set WAVEGEN_CACHE to a folder with room that can be written"


def default_folder() -> Path:
    """Returns the cache's folder: WAVEGEN_CACHE, or "wavegen" in the system's cache folder."""
    if chosen := os.environ.get("WAVEGEN_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "wavegen"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "wavegen"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "wavegen"


class Cache:
    """A folder of decoded recordings; any number of processes may use it at the same time.

    Attributes:
        folder: where it is.
        repair: whether values that are no sound become zeros, instead of an error.
    """

    def __init__(self, folder: str | Path | None = None, *, repair: bool = False) -> None:
        """Opens the cache, making its folders where there are none.

        Args:
            folder: where to keep it; None is `default_folder()`.
            repair: see above.

        Raises:
            OutputError: the folder cannot be made or written.
        """
        self.folder = Path(folder) if folder is not None else default_folder()
        self.repair = repair
        self._temporary = self.folder / "temporary"
        try:
            self._temporary.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed(error) from error
        if not os.access(self._temporary, os.W_OK):
            raise self._failed(OSError("permission denied"))
        self._sweep()

    def find(self, path: str | Path, sample_rate: int, channels: int) -> Entry | None:
        """Returns the recording's entry, or None when it has yet to be decoded.

        Args:
            path: the recording. The content of a large one is not read again while its size, time
                and inode are those of an earlier look.
            sample_rate: of the decoded samples, Hz.
            channels: of the decoded samples.

        Raises:
            AudioError: the recording is no regular file or cannot be looked at.
        """
        status = _status(path)
        small = status.st_size <= SMALL
        key = _content_key(path) if small else self._remembered(path, status)
        return self._kept(key, sample_rate, channels) if key else None

    def decode(self, path: str | Path, info: audio.Info, sample_rate: int, channels: int) -> Entry:
        """Returns the recording's entry, decoding it first unless its content is known already.

        Args:
            path: the recording.
            info: what `audio.info` says about it.
            sample_rate: wanted, Hz.
            channels: wanted.

        Raises:
            AudioError: the recording cannot be decoded or changed meanwhile.
            OutputError: the cache cannot be written.
        """
        before = _status(path)
        key = self._remembered(path, before) or _content_key(path)
        entry = self._kept(key, sample_rate, channels)
        if entry is None:
            drafts: list[Path] = []
            try:
                entry = self._decoded(path, info, key, sample_rate, channels, drafts)
                _check_unchanged(path, before)
                commit(drafts[0], entry)
            except OSError as error:
                raise self._failed(error) from error
            finally:
                for draft in drafts:
                    draft.unlink(missing_ok=True)
        _check_unchanged(path, before)
        self._remember(path, before, key)
        return entry

    def _decoded(
        self,
        path: str | Path,
        info: audio.Info,
        key: str,
        sample_rate: int,
        channels: int,
        drafts: list[Path],
    ) -> Entry:
        """Returns the entry that `drafts[0]` will be; the caller removes all drafts."""
        drafts.append(self._draft())
        repair = audio.Repair() if self.repair else None
        blocks = audio.blocks(path, sample_rate=sample_rate, channels=channels, repair=repair)
        levels, digest = write_draft(drafts[0], _reading(path, blocks), channels)
        antiphase = False
        if channels == 1 and info.channels > 1 and levels.peak < 100 * QUIET:
            drafts.insert(0, self._draft())
            again = audio.Repair() if self.repair else None
            both = audio.blocks(path, sample_rate=sample_rate, channels=2, repair=again)
            first = (block[:1] for block in _reading(path, both))
            left, left_digest = write_draft(drafts[0], first, 1)
            antiphase = left.peak >= QUIET and left.rms > 20 * levels.rms  # the mix lost 26 dB
            if antiphase:
                levels, digest = left, left_digest
            else:
                drafts.reverse()
        if not np.isfinite([*levels.means, levels.rms]).all():
            raise AudioError(f"{shown(path)}: holds NaN or infinite samples")
        zeroed = repair.values if repair else 0
        warnings = [*info.warnings[:8], *([repaired(zeroed)] if zeroed else [])]
        return Entry(
            path=self._name(key, sample_rate, channels, bool(zeroed)),
            key=key,
            sample_rate=sample_rate,
            channels=channels,
            samples=levels.samples,
            digest=digest,
            levels=levels,
            antiphase=antiphase,
            source_sample_rate=info.sample_rate,
            source_channels=info.channels,
            warnings=tuple(ascii(warning)[1:-1][:200] for warning in warnings),
        )

    def _remembered(self, path: str | Path, status: os.stat_result) -> str | None:
        try:
            note = json.loads(self._note(path).read_bytes())
        except (OSError, ValueError):
            return None
        known = isinstance(note, dict) and note.get("identity") == _identity(status)
        return note.get("key") if known else None

    def _remember(self, path: str | Path, status: os.stat_result, key: str) -> None:
        if status.st_size <= SMALL or time.time() - status.st_mtime < RACE_SECONDS:
            return
        note, draft = self._note(path), self._draft()
        text = json.dumps({"path": str(path), "identity": _identity(status), "key": key})
        try:
            note.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(text, "ascii")
            os.replace(draft, note)
        except OSError:  # a note only saves time
            draft.unlink(missing_ok=True)

    def _note(self, path: str | Path) -> Path:
        name = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()
        return self.folder / "paths" / name[:2] / f"{name}.json"

    def _kept(self, key: str, sample_rate: int, channels: int) -> Entry | None:
        """Returns the entry of some content; a repaired one only where repairs are asked for."""
        entry = open_entry(self._name(key, sample_rate, channels, False))
        if entry is None and self.repair:
            entry = open_entry(self._name(key, sample_rate, channels, True))
        return entry

    def _name(self, key: str, sample_rate: int, channels: int, zeroed: bool) -> str:
        kind = "-repaired" if zeroed else ""
        name = f"{key}-{sample_rate}-{channels}-{VERSION}{kind}.f32"
        return os.path.join(self.folder, "decoded", key[:2], name)

    def _draft(self) -> Path:
        return self._temporary / f"{os.getpid()}-{uuid.uuid4().hex}"

    def _sweep(self) -> None:
        for name in os.listdir(self._temporary):
            path = self._temporary / name
            try:
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
            except OSError:  # another process was faster
                continue

    def _failed(self, error: OSError) -> OutputError:
        folder = shown(self.folder)
        return OutputError(f"{folder}: cannot write decoded recordings ({reason(error)}); {CURE}")


def _status(path: str | Path) -> os.stat_result:
    """Returns what stat says of a regular file, following links.

    Raises:
        AudioError: there is none.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        why = "broken link" if os.path.islink(path) else reason(error)
        raise AudioError(f"{shown(path)}: {why}") from error
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(f"{shown(path)}: not a regular file")
    return status


def _identity(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _content_key(path: str | Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AudioError(f"{shown(path)}: {reason(error)}") from error


def _reading(path: str | Path, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the blocks; what goes wrong meanwhile is the recording's fault, not the cache's."""
    try:
        yield from blocks
    except OSError as error:
        raise AudioError(f"{shown(path)}: {reason(error)}") from error


def _check_unchanged(path: str | Path, before: os.stat_result) -> None:
    if _identity(_status(path)) != _identity(before):
        raise AudioError(f"{shown(path)}: changed while it was read; start again")
