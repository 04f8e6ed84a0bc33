"""Write sound safely: streaming, under a temporary name, renamed when it is whole.

Nothing half written ever bears the final name, an existing file is never replaced unasked, and an
interrupted drawing keeps what exists with a correct header.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType

import numpy as np

from wavegen import pcm, riff
from wavegen.errors import OutputError, UsageError, shown

INFO_NAMES = {
    "title": b"INAM",
    "artist": b"IART",
    "comment": b"ICMT",
    "software": b"ISFT",
    "date": b"ICRD",
    "copyright": b"ICOP",
}
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")


class Writer:
    """Writes one WAV or FLAC, block by block; a context manager.

    Leaving the block normally or by an interrupt keeps what was written; any other exception
    leaves nothing behind. Past 4 GiB a WAV becomes RF64 (EBU Tech 3306).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        channels: int,
        *,
        subtype: str = "PCM_16",
        metadata: dict[str, str] | None = None,
        force: bool = False,
    ) -> None:
        """Opens a temporary file beside the final one.

        Args:
            path: ends in .wav or .flac.
            sample_rate: Hz.
            channels: 1 .. 64 (8 for FLAC).
            subtype: PCM_16, PCM_24 or FLOAT (WAV only).
            metadata: texts by a name of `INFO_NAMES`.
            force: replace an existing file.

        Raises:
            UsageError: a suffix or subtype that is not written.
            OutputError: the file exists, or the folder cannot be written to.
        """
        self.path, self.force, self.frames, self.clipped = Path(path), force, 0, 0
        self.subtype, self.channels, self.sample_rate = subtype, channels, sample_rate
        self.kind = self.path.suffix.lower()
        if self.kind not in (".wav", ".flac"):
            raise UsageError(f"{shown(self.path)}: only .wav and .flac are written; rename it")
        if subtype not in SUBTYPES or (self.kind == ".flac" and subtype == "FLOAT"):
            raise UsageError(f"{subtype} cannot be written as {self.kind}; use PCM_16 or PCM_24")
        texts = {name: text for name, text in (metadata or {}).items() if text}
        for name in texts:
            if name not in INFO_NAMES:
                raise UsageError(f"{name!r} is not a metadata name; use {', '.join(INFO_NAMES)}")
        self.texts = {INFO_NAMES[name]: text.encode() for name, text in texts.items()}
        self.draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self.done = False
        with self._failing():
            self._refuse_existing()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(self.draft, "w+b", buffering=0)
            if self.kind == ".flac":
                self._open_flac(texts)
            else:
                self.file.write(self._header())

    def write(self, signal: np.ndarray) -> None:
        """Appends a signal.

        Args:
            signal: float (channels, n), finite; beyond -1 .. 1 integers are clipped and counted
                in `clipped`.

        Raises:
            OutputError: the disk is full or gone; nothing is left behind.
        """
        assert signal.ndim == 2 and len(signal) == self.channels, signal.shape
        samples, clipped = pcm.encode(signal, self.subtype)
        with self._failing():
            if self.kind == ".flac":
                self.flac.write(samples)
            else:
                self._put(_packed(samples, self.subtype))
        self.clipped += clipped
        self.frames += signal.shape[1]

    def close(self) -> Path:
        """Finishes the file and gives it its name; returns the path."""
        if self.done:
            return self.path
        with self._failing():
            if self.kind == ".flac":
                self.flac.close()
            else:
                if self.frames * self.channels * pcm.BYTES[self.subtype] % 2:
                    self._put(b"\0")
                self.file.seek(0)
                self._put(self._header())
            os.fsync(self.file.fileno())
            self.file.close()
            self._commit()
        self.done = True
        return self.path

    def abort(self) -> None:
        """Removes what was written."""
        if not self.done:
            self.done = True
            with contextlib.suppress(Exception):
                self.file.close()
            with contextlib.suppress(OSError):
                self.draft.unlink()

    def __enter__(self) -> Writer:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Keeps the file, unless something other than an interrupt went wrong."""
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()
        else:
            self.abort()

    # -- inside --------------------------------------------------------------------------------

    def _header(self) -> bytes:
        """Returns the WAV header for the frames written so far; its length is always the same."""
        return riff.header(self.subtype, self.channels, self.sample_rate, self.frames, self.texts)

    def _put(self, data: bytes) -> None:
        """Writes all bytes."""
        view = memoryview(data)
        while view:
            view = view[self.file.write(view) :]

    def _open_flac(self, texts: dict[str, str]) -> None:
        """Opens libsndfile's encoder on the temporary file."""
        import soundfile

        self.flac = soundfile.SoundFile(
            self.file, "w", self.sample_rate, self.channels, self.subtype, format="FLAC"
        )
        for name, text in texts.items():
            setattr(self.flac, name, text)

    def _refuse_existing(self) -> None:
        """Raises OutputError if the final name is taken."""
        if os.path.lexists(self.path) and (not self.force or self.path.is_dir()):
            raise OutputError(
                f"{shown(self.path)}: exists; add --force to replace it or choose another name"
            )

    def _commit(self) -> None:
        """Moves the temporary file to the final name, without clobbering unless forced."""
        if self.force:
            os.replace(self.draft, self.path)
        else:
            try:
                os.link(self.draft, self.path)
                self.draft.unlink()
            except FileExistsError:
                self._refuse_existing()
                raise
            except (OSError, AttributeError):  # a file system without links
                self._refuse_existing()
                os.replace(self.draft, self.path)
        if os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextlib.contextmanager
    def _failing(self):  # type: ignore[no-untyped-def]
        """Turns failures of the system into OutputError, leaving nothing behind."""
        try:
            yield
        except OutputError:
            self.abort_quietly()
            raise
        except (OSError, RuntimeError) as error:
            self.abort_quietly()
            reason = getattr(error, "strerror", None) or error
            raise OutputError(
                f"{shown(self.path)}: cannot be written ({reason}); free some space or choose "
                "another folder"
            ) from error

    def abort_quietly(self) -> None:
        """Aborts even when opening itself failed."""
        if hasattr(self, "file"):
            self.abort()


def _packed(samples: np.ndarray, subtype: str) -> bytes:
    """Returns the bytes of encoded frames; 24 bits are the upper three bytes of an int32."""
    if subtype != "PCM_24":
        return samples.tobytes()
    return samples.reshape(-1, 1).view(np.uint8)[:, 1:].tobytes()


def write(
    path: str | os.PathLike[str],
    signal: np.ndarray,
    sample_rate: int,
    *,
    subtype: str = "PCM_16",
    metadata: dict[str, str] | None = None,
    force: bool = False,
) -> Path:
    """Writes a whole signal `(channels, samples)` and returns the path; arguments as `Writer`."""
    with Writer(
        path, sample_rate, len(signal), subtype=subtype, metadata=metadata, force=force
    ) as writer:
        writer.write(signal)
    return writer.path
