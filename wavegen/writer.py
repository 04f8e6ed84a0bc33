"""Write sound safely: streaming, under a temporary name, renamed when it is whole.

Nothing half written ever bears the final name, an existing file is never replaced unasked, and an
interrupted drawing keeps what exists with a correct header. The temporary file, too, is a WAV that
plays at any moment: its header is brought up to date with every block.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from wavegen import pcm, riff
from wavegen.draft import Draft
from wavegen.errors import OutputError, UsageError, shown

INFO_NAMES = {
    "title": b"INAM",
    "artist": b"IART",
    "comment": b"ICMT",
    "software": b"ISFT",
    "date": b"ICRD",
    "copyright": b"ICOP",
}
COMMENT = INFO_NAMES["comment"]
SUBTYPES = {".wav": ("PCM_16", "PCM_24", "FLOAT"), ".flac": ("PCM_16", "PCM_24")}
MAX_CHANNELS = {".wav": riff.MAX_CHANNELS, ".flac": 8}
MAX_RATE = {".wav": riff.MAX_RATE, ".flac": 655350}  # Hz


class Writer:
    """Writes one WAV or FLAC, block by block; a context manager.

    Leaving the block normally or by an interrupt keeps what was written (an interrupt before the
    first sample leaves nothing); any other exception leaves nothing behind. Past 4 GiB a WAV
    becomes RF64 (EBU Tech 3306).

    Attributes:
        path: the final name.
        frames: samples of each channel written so far.
        clipped: how many samples lay beyond -1 .. 1 and were clipped.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        channels: int,
        *,
        subtype: str = "PCM_16",
        metadata: dict[str, str] | None = None,
        room: int = 0,
        force: bool = False,
    ) -> None:
        """Opens a temporary file beside the final one; folders that are missing are made.

        Args:
            path: ends in .wav or .flac.
            sample_rate: Hz, 1000 .. 768000 (655350 for FLAC).
            channels: 1 .. 64 (8 for FLAC).
            subtype: PCM_16, PCM_24 or FLOAT (WAV only).
            metadata: texts by a name of `INFO_NAMES`.
            room: bytes kept free behind the comment of a WAV, for `remark`.
            force: replace an existing file.

        Raises:
            UsageError: a suffix, format or metadata name that is not written.
            OutputError: the file exists, or the folder cannot be written to.
        """
        self.path, self.frames, self.clipped = Path(path), 0, 0
        self.subtype, self.channels, self.sample_rate = subtype, channels, sample_rate
        self.kind = self.path.suffix.lower()
        texts = {name: text for name, text in (metadata or {}).items() if text}
        self._check_arguments(texts)
        self.texts = {
            INFO_NAMES[name]: text.encode("utf-8", "backslashreplace")
            for name, text in texts.items()
        }
        if room:
            self.texts[COMMENT] = self.texts.get(COMMENT, b"") + b"\0" * room
        self.draft: Draft | None = None  # the temporary file, while there is one
        self.flac: Any = None
        with self._failing():
            self.draft = Draft(self.path, force)
            if self.kind == ".flac":
                self.flac = self._flac(self.draft)
            else:
                self.start = len(self._header(0))  # byte of the first frame
                self.draft.put(self._header(0), 0)

    def write(self, signal: np.ndarray) -> None:
        """Appends a signal.

        Args:
            signal: float (channels, n), finite; beyond -1 .. 1 integers are clipped and counted
                in `clipped`.

        Raises:
            UsageError: the signal has another number of channels.
            OutputError: the disk is full or gone, or the signal holds NaN or infinity; nothing is
                left behind.
        """
        name = shown(self.path)
        if signal.ndim != 2 or len(signal) != self.channels:
            raise UsageError(f"{name}: cannot take {signal.shape}; it has {self.channels} channels")
        if self.draft is None:
            raise OutputError(f"{name}: is closed; open another file for more sound")
        if not np.isfinite(signal).all():
            self.abort()
            seconds = self.frames / self.sample_rate
            raise OutputError(f"{name}: the sound after {seconds:.2f} s is not finite; draw again")
        samples, clipped = pcm.encode(signal, self.subtype)
        with self._failing(kept=KeyboardInterrupt):
            if self.flac:
                self.flac.write(samples)
            else:
                self.draft.put(_packed(samples, self.subtype), self._end(self.frames))
                self.draft.put(self._header(self.frames + signal.shape[1]), 0)
        self.clipped += clipped
        self.frames += signal.shape[1]

    def remark(self, text: str) -> None:
        """Adds to a WAV's comment, as far as the room kept for it goes; a FLAC's stays as it is."""
        if self.kind == ".wav" and COMMENT in self.texts:
            kept = self.texts[COMMENT]
            longer = (kept.rstrip(b"\0") + text.encode("ascii", "replace"))[: len(kept)]
            self.texts[COMMENT] = longer.ljust(len(kept), b"\0")

    def close(self) -> Path:
        """Finishes the file, gives it its name and returns that.

        Raises:
            OutputError: the disk is full, or another file has taken the name; nothing is left
                behind, and what bore the name stays.
        """
        if self.draft is None:
            return self.path
        with self._failing():
            if self.flac:
                self._close_flac(self.draft.handle)
            else:
                end = self._end(self.frames)
                os.ftruncate(self.draft.handle, end)  # an interrupt may have cut a block in two
                self.draft.put(b"\0" * (end % 2), end)
                self.draft.put(self._header(self.frames), 0)
            self.draft.commit()
        self.draft = None
        return self.path

    def abort(self) -> None:
        """Removes what was written; after `close` it does nothing."""
        flac, self.flac = self.flac, None
        draft, self.draft = self.draft, None
        with contextlib.suppress(Exception):  # an encoder may fail again when it is closed
            if flac:
                flac.close()
        if draft:
            draft.discard()

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
        if kind is None or (issubclass(kind, KeyboardInterrupt) and self.frames):
            self.close()
        else:
            self.abort()

    # -- inside --------------------------------------------------------------------------------

    def _check_arguments(self, texts: dict[str, str]) -> None:
        """Raises UsageError for a file that cannot be written as asked."""
        name, kind = shown(self.path), self.kind
        if kind not in SUBTYPES:
            raise UsageError(f"{name}: only .wav and .flac are written; rename it")
        if self.subtype not in SUBTYPES[kind]:
            known = ", ".join(SUBTYPES[kind])
            raise UsageError(f"{name}: subtype {self.subtype!r} is not written; use {known}")
        if not 1 <= self.channels <= MAX_CHANNELS[kind]:
            raise UsageError(f"{name}: channels={self.channels} must be 1 .. {MAX_CHANNELS[kind]}")
        if not riff.MIN_RATE <= self.sample_rate <= MAX_RATE[kind]:
            limits = f"{riff.MIN_RATE} .. {MAX_RATE[kind]}"
            raise UsageError(f"{name}: sample_rate={self.sample_rate} must lie in {limits} Hz")
        for word, text in texts.items():
            if word not in INFO_NAMES:
                raise UsageError(f"{word!r} is not a metadata name; use {', '.join(INFO_NAMES)}")
            if "\0" in text:
                raise UsageError(f"the {word} holds a null character; leave it out")

    def _header(self, frames: int) -> bytes:
        """Returns the WAV header for so many frames; its length is always the same."""
        return riff.header(self.subtype, self.channels, self.sample_rate, frames, self.texts)

    def _end(self, frames: int) -> int:
        """Returns the byte behind so many frames."""
        return self.start + frames * self.channels * pcm.BYTES[self.subtype]

    def _flac(self, draft: Draft) -> Any:
        """Returns libsndfile's encoder at work on the temporary file."""
        import soundfile

        form = (self.sample_rate, self.channels, self.subtype)
        flac = soundfile.SoundFile(draft.handle, "w", *form, format="FLAC", closefd=False)
        words = {code: word for word, code in INFO_NAMES.items()}
        for code, text in self.texts.items():
            setattr(flac, words[code], text.decode())
        return flac

    def _close_flac(self, handle: int) -> None:
        """Closes the encoder and checks that the last frame arrived, which it does not tell."""
        import soundfile

        flac, self.flac = self.flac, None
        flac.close()
        if self.frames:
            os.lseek(handle, 0, os.SEEK_SET)
            with soundfile.SoundFile(handle, closefd=False) as check:
                check.seek(max(0, check.frames - 1))
                if check.frames < self.frames or len(check.read(1)) != 1:
                    raise OSError(errno.EIO, "the end of the file is missing")

    @contextlib.contextmanager
    def _failing(self, kept: type[BaseException] | tuple = ()) -> Iterator[None]:
        """Turns failures of the system into OutputError; only `kept` leaves the file as it is."""
        try:
            yield
        except kept:
            raise
        except (OSError, RuntimeError, AssertionError, ValueError) as error:
            self.abort()
            reason = getattr(error, "strerror", None) or "the encoder failed; is the disk full?"
            raise OutputError(
                f"{shown(self.path)}: cannot be written ({reason}); free some space or choose "
                "another folder"
            ) from error
        except BaseException:
            self.abort()
            raise


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
    """Writes a whole signal and returns the path.

    Args:
        path: as `Writer`, like every argument but the signal.
        signal: float `(channels, samples)`.
        sample_rate: Hz.
        subtype: PCM_16, PCM_24 or FLOAT.
        metadata: texts by name.
        force: replace an existing file.

    Raises:
        UsageError: as `Writer`.
        OutputError: as `Writer`.
    """
    with Writer(
        path, sample_rate, len(signal), subtype=subtype, metadata=metadata, force=force
    ) as writer:
        writer.write(signal)
    return writer.path
