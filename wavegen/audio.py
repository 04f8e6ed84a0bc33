"""Sound files: read whole or in blocks, resampled and mixed as asked; write safely.

The only place that touches files of sound. WAV, RF64 and Wave64 are decoded by `pcm` after a look
by `riff`; FLAC, OGG, MP3 and AIFF by libsndfile, once the content is what the name says. A signal
is float32 `(channels, samples)`, integers scaled by 2^(bits-1), floats as they are.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wavegen import pcm, riff, sniff
from wavegen.errors import AudioError, shown
from wavegen.writer import INFO_NAMES, Writer, write

__all__ = ["EXTENSIONS", "Info", "Writer", "blocks", "info", "metadata", "read", "shown", "write"]

EXTENSIONS = frozenset(suffix for suffixes in sniff.SUFFIXES.values() for suffix in suffixes)
LOUDEST = 1e3  # float samples beyond this are not sound
OWN = ("WAV", "W64")  # kinds decoded without libsndfile


@dataclass(frozen=True)
class Info:
    """What a file of sound holds.

    Attributes:
        path: of the file.
        sample_rate: Hz.
        channels: 1 .. 64.
        frames: samples of each channel that are really there.
        container: "WAV", "RF64", "W64", "FLAC", "OGG", "MP3" or "AIFF".
        subtype: e.g. "PCM_16", "FLOAT", "VORBIS".
        warnings: one line each, about what was mended.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    container: str
    subtype: str
    warnings: tuple[str, ...] = ()


def info(path: str | os.PathLike[str]) -> Info:
    """Returns what a file holds, without decoding it.

    Raises:
        AudioError: it is no file of sound that wavegen reads; one line with the reason.
    """
    path = Path(path)
    with _opened(path) as file:
        kind = _kind(path, file)
        if kind in OWN:
            head = riff.parse(file, kind, shown(path))
            facts = (head.sample_rate, head.channels, head.frames, head.container, head.subtype)
            return Info(path, *facts, head.warnings)
        with _decoder(path, file, kind) as decoder:
            frames, subtype = decoder.frames, decoder.subtype
            return Info(path, decoder.samplerate, decoder.channels, frames, kind, subtype)


def blocks(
    path: str | os.PathLike[str],
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    block_frames: int = 65536,
) -> Iterator[np.ndarray]:
    """Yields the sound of a file in blocks, so that any length fits in memory.

    Args:
        path: of the file.
        sample_rate: wanted rate in Hz, by soxr's high quality; None keeps the file's own.
        channels: 1 mixes all channels evenly; 2 doubles a mono file and takes the front left and
            right of more than two; None keeps the file's own.
        block_frames: frames decoded at once; it does not change the result.

    Yields:
        float32 (channels, n), n > 0.

    Raises:
        AudioError: as `info`, or NaN, infinite or absurdly large samples.
    """
    path = Path(path)
    with _opened(path) as file:
        kind = _kind(path, file)
        if kind in OWN:
            head = riff.parse(file, kind, shown(path))
            rate, source = head.sample_rate, _own_blocks(path, file, head, block_frames)
        else:
            decoder = _decoder(path, file, kind)
            rate, source = decoder.samplerate, _library_blocks(path, decoder, block_frames)
        mixed = (mix(block, channels) for block in _finite(path, source, rate))
        yield from _resampled(mixed, rate, sample_rate)


def read(
    path: str | os.PathLike[str], *, sample_rate: int | None = None, channels: int | None = None
) -> tuple[np.ndarray, int]:
    """Returns a whole file: (float32 (channels, samples), sample rate in Hz).

    Args:
        path: of the file.
        sample_rate: as in `blocks`.
        channels: as in `blocks`.

    Raises:
        AudioError: as `blocks`.
    """
    found = list(blocks(path, sample_rate=sample_rate, channels=channels))
    if not found:
        raise AudioError(f"{shown(path)}: contains no audio; record or export it again")
    return np.concatenate(found, axis=1), sample_rate or info(path).sample_rate


def metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Returns the file's texts: title, artist, comment, software, date, copyright.

    Raises:
        AudioError: as `info`.
    """
    path = Path(path)
    with _opened(path) as file:
        kind = _kind(path, file)
        if kind in OWN:
            found = riff.texts(file)
            return {n: found[code] for n, code in INFO_NAMES.items() if code in found}
        with _decoder(path, file, kind) as decoder:
            texts = decoder.copy_metadata()
            return {name: texts[name] for name in INFO_NAMES if texts.get(name)}


def mix(signal: np.ndarray, channels: int | None) -> np.ndarray:
    """Returns a signal `(channels, samples)` with as many channels as asked for; see `blocks`."""
    if channels is None or channels == len(signal):
        return signal
    if channels == 1:
        return signal.mean(axis=0, keepdims=True, dtype=np.float32)
    return np.repeat(signal, 2, axis=0) if len(signal) == 1 else signal[:2]


# -- opening and decoding ------------------------------------------------------------------------


def _opened(path: Path) -> BinaryIO:
    """Returns the regular file at a path, open for reading; never waits for a pipe."""
    name = shown(path)
    try:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
    except (OSError, ValueError) as error:
        reason = {FileNotFoundError: "no such file", PermissionError: "permission denied"}.get(
            type(error), getattr(error, "strerror", None) or str(error)
        )
        raise AudioError(f"{name}: {reason}; check the path and who may read it") from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise AudioError(f"{name}: is {what}; name a file of sound")
    return os.fdopen(handle, "rb")


def _kind(path: Path, file: BinaryIO) -> str:
    """Returns a key of `sniff.SUFFIXES`, the one the name promises, or raises AudioError."""
    name, suffix = shown(path), path.suffix.lower()
    head = riff.at(file, 0, sniff.HEAD_BYTES)
    if not head:
        raise AudioError(f"{name}: empty file; record or copy it again")
    what, cure = sniff.identify(head)
    if cure:
        named = (
            "not a WAV file (looks like " + what + ")"
            if suffix in (".wav", ".wave")
            else "is " + what
        )
        raise AudioError(f"{name}: {named}; {cure}")
    if suffix not in sniff.SUFFIXES[what]:
        raise AudioError(
            f"{name}: is {what}, not what its name says; rename it to "
            f"{shown(path.stem)}{sniff.SUFFIXES[what][0]}"
        )
    return what


def _own_blocks(
    path: Path, file: BinaryIO, head: riff.Header, block_frames: int
) -> Iterator[np.ndarray]:
    """Yields decoded blocks of a WAV, exactly the frames its header check found."""
    left = head.frames
    file.seek(head.offset)
    while left:
        count = min(left, block_frames)
        raw = file.read(count * head.frame_bytes)
        whole = len(raw) // head.frame_bytes
        if whole:
            yield pcm.decode(raw[: whole * head.frame_bytes], head.subtype, head.channels)
        if whole < count:
            raise AudioError(f"{shown(path)}: became shorter while it was read; try again")
        left -= count


def _decoder(path: Path, file: BinaryIO, kind: str):  # type: ignore[no-untyped-def]
    """Returns libsndfile's decoder of a file that is what it says."""
    import soundfile

    if kind == "AIFF":
        riff.check_aiff(file, shown(path))
    file.seek(0)
    try:
        decoder = soundfile.SoundFile(io.FileIO(os.dup(file.fileno())))
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        reason = str(error).split(": ")[-1].strip(" .")
        raise AudioError(f"{shown(path)}: damaged {kind} ({reason}); export it again") from error
    if not (riff.MIN_RATE <= decoder.samplerate <= riff.MAX_RATE):
        raise AudioError(f"{shown(path)}: a rate of {decoder.samplerate} Hz; export it at 44100 Hz")
    if decoder.channels > riff.MAX_CHANNELS:
        raise AudioError(f"{shown(path)}: {decoder.channels} channels; export it as stereo")
    return decoder


def _library_blocks(path: Path, decoder, block_frames: int) -> Iterator[np.ndarray]:  # type: ignore[no-untyped-def]
    """Yields decoded blocks of FLAC, OGG, MP3 or AIFF."""
    import soundfile

    try:
        with decoder:
            while len(block := decoder.read(block_frames, "float32", always_2d=True)):
                yield np.ascontiguousarray(block.T)  # (frames, channels) -> (channels, frames)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise AudioError(f"{shown(path)}: damaged ({error}); export it again") from error


def _finite(path: Path, source: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Yields blocks whose samples are all finite and of a size that sound can have."""
    start = 0
    for block in source:
        bad = ~(np.abs(block) <= LOUDEST)
        if bad.any():
            at = (start + int(np.argmax(bad.any(axis=0)))) / rate
            raise AudioError(
                f"{shown(path)}: holds NaN, infinite or absurdly large samples, first at {at:.3f} s; "
                "export it again"
            )
        start += block.shape[1]
        yield block


def _resampled(source: Iterator[np.ndarray], rate: int, wanted: int | None) -> Iterator[np.ndarray]:
    """Yields the same sound at the wanted rate, the tail included."""
    if wanted is None or wanted == rate:
        yield from source
        return
    import soxr

    stream = None
    for block in source:
        if stream is None:
            stream = soxr.ResampleStream(rate, wanted, len(block), dtype="float32", quality="HQ")
            channels = len(block)
        out = stream.resample_chunk(np.ascontiguousarray(block.T))
        if len(out):
            yield np.ascontiguousarray(out.reshape(-1, channels).T)
    if stream is not None:
        out = stream.resample_chunk(np.zeros((0, channels), "float32"), last=True)
        if len(out):
            yield np.ascontiguousarray(out.reshape(-1, channels).T)
