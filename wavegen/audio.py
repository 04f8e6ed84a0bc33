"""Files of sound: read, mix, resample, describe. The only place, with `writer`, that touches them.

No file reaches a decoder before `sniff` has seen its first bytes, and a WAV never reaches one but
our own (`riff`, `pcm`); FLAC, OGG, MP3 and AIFF go to libsndfile. Everything streams: a recording
of ten hours takes no more memory than one of ten seconds. A signal is float32 `(channels, samples)`
as the file holds it: integers divided by 2^(bits-1), floats unchanged, also beyond -1 .. 1 (to
scale or to clip is the caller's choice). NaN, infinities and values beyond 1000 are refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from wavegen import pcm, riff, sniff
from wavegen.errors import AudioError, UsageError, shown
from wavegen.finite import Repair, checked
from wavegen.writer import INFO_NAMES, Writer, write

__all__ = ["EXTENSIONS", "Info", "Repair", "Writer", "blocks", "info", "metadata", "mix", "read"]
__all__ += ["shown", "write"]

EXTENSIONS = frozenset(suffix for suffixes in sniff.SUFFIXES.values() for suffix in suffixes)
OWN = ("WAV", "W64")  # kinds decoded without libsndfile
DECODE_BYTES = 2**20  # of a WAV at a time
DECODE_FRAMES = 2**16  # of any other kind
AudioPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Info:
    """What a file of sound holds, by its header checked against the file.

    Attributes:
        path: of the file.
        sample_rate: Hz.
        channels: 1 .. 64.
        frames: samples of each channel that are really there; of an MP3 the decoder's estimate.
        container: "WAV", "RF64", "W64", "FLAC", "OGG", "MP3" or "AIFF".
        subtype: e.g. "PCM_16", "FLOAT", "VORBIS".
        warnings: one line each, about what was mended, without the file's name.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    container: str
    subtype: str
    warnings: tuple[str, ...] = ()


def info(path: AudioPath) -> Info:
    """Returns what a file holds, without decoding it.

    Args:
        path: of the file; its suffix must agree with its content.

    Raises:
        AudioError: it is no file of sound that wavegen reads; one line with the reason.
    """
    with _source(path) as (found, _):
        return found


def blocks(
    path: AudioPath,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    block_frames: int = 65536,
    repair: Repair | None = None,
) -> Iterator[np.ndarray]:
    """Yields the sound of a file in blocks, so that any length fits in memory.

    Mixing comes first, then resampling; resampled, there are round(frames * new / old) samples.

    Args:
        path: of the file.
        sample_rate: wanted rate in Hz, by soxr's very high quality; None keeps the file's own.
        channels: 1 mixes all channels evenly; 2 doubles a mono file and takes the front left and
            right of more than two; None keeps the file's own.
        block_frames: samples in each block but the last, >= 1; it does not change the sound.
        repair: values that are no sound become zeros, which it counts; None refuses them.

    Yields:
        float32 `(channels, n)`, 0 < n <= block_frames.

    Raises:
        AudioError: as `info`, or the file shows to be damaged at some block, or to hold NaN,
            infinite or absurdly large samples.
        UsageError: an argument out of range.
    """
    if channels not in (None, 1, 2):
        raise UsageError(f"channels={channels} must be 1 or 2")
    if sample_rate is not None and not riff.MIN_RATE <= sample_rate <= riff.MAX_RATE:
        limits = f"{riff.MIN_RATE} .. {riff.MAX_RATE}"
        raise UsageError(f"sample_rate={sample_rate} must lie in {limits} Hz")
    if block_frames < 1:
        raise UsageError(f"block_frames={block_frames} must be at least 1")
    return _regrouped(_converted(path, sample_rate, channels, repair), block_frames)


def read(
    path: AudioPath, *, sample_rate: int | None = None, channels: int | None = None
) -> tuple[np.ndarray, int]:
    """Returns a whole file: (float32 `(channels, samples)`, sample rate in Hz).

    Args:
        path: of the file.
        sample_rate: as in `blocks`.
        channels: as in `blocks`.

    Raises:
        AudioError: as `blocks`.
        UsageError: as `blocks`.
    """
    rate = sample_rate or info(path).sample_rate
    found = list(blocks(path, sample_rate=sample_rate, channels=channels))
    if not found:  # a single frame can vanish when the rate goes down
        raise AudioError(f"{shown(path)}: contains no audio; record or export it again")
    return np.concatenate(found, axis=1), rate


def metadata(path: AudioPath) -> dict[str, str]:
    """Returns the texts a file carries: title, artist, comment, software, date, copyright.

    Args:
        path: of the file.

    Raises:
        AudioError: as `info`.
    """
    with sniff.opened(path) as file:
        kind = sniff.kind_of(path, file)
        if kind in OWN:
            riff.parse(file, kind, shown(path))
            texts = riff.texts(file, kind)
            return {name: texts[code] for name, code in INFO_NAMES.items() if code in texts}
        with _decoder(path, file, kind) as decoder:
            found = decoder.copy_metadata()
    if "software" in found:  # libsndfile puts its own name behind the writer's
        found["software"] = found["software"].split(" (libsndfile-")[0]
    return {name: found[name] for name in INFO_NAMES if found.get(name)}


def mix(signal: np.ndarray, channels: int | None) -> np.ndarray:
    """Returns a signal `(channels, samples)` with as many channels as asked for; see `blocks`."""
    if channels is None or channels == len(signal):
        return signal
    if channels == 1:
        return signal.mean(axis=0, keepdims=True, dtype=np.float32)
    return np.repeat(signal, 2, axis=0) if len(signal) == 1 else signal[:2]


# -- opening -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _decoder(path: AudioPath, file: BinaryIO, kind: str) -> Iterator[Any]:
    """Opens a file of a checked kind with libsndfile, whose errors become ours."""
    import soundfile

    name = shown(path)
    if kind == "AIFF":
        riff.check_aiff(file, name)
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # libsndfile begins where the handle stands
    try:
        with soundfile.SoundFile(file.fileno(), closefd=False) as decoder:
            rate, channels = decoder.samplerate, decoder.channels
            if decoder.format != kind:
                raise AudioError(f"{name}: this is {decoder.format}, not {kind}; {riff.EXPORT}")
            if not riff.MIN_RATE <= rate <= riff.MAX_RATE or channels > riff.MAX_CHANNELS:
                found = f"{channels} channels at {rate} Hz are not supported"
                raise AudioError(f"{name}: {found}; {riff.EXPORT}")
            if decoder.frames <= 0:
                raise AudioError(f"{name}: contains no audio; record or export it again")
            if decoder.frames > 2**60:  # encoded into a pipe; libsndfile cannot find its end
                raise AudioError(f"{name}: does not say how long it is; encode it into a file")
            yield decoder
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", "").strip(" .") or "it ends early or is garbled"
        raise AudioError(f"{name}: damaged {kind} ({reason}); export it again") from error


@contextlib.contextmanager
def _source(path: AudioPath) -> Iterator[tuple[Info, Iterator[np.ndarray]]]:
    """Opens a file: what it holds, and its sound in blocks `(channels, n)` as stored."""
    with sniff.opened(path) as file:
        kind = sniff.kind_of(path, file)
        if kind in OWN:
            head = riff.parse(file, kind, shown(path))
            facts = (head.sample_rate, head.channels, head.frames, head.container, head.subtype)
            place = path if isinstance(path, Path) else Path(path)
            yield Info(place, *facts, head.warnings), _own_blocks(path, file, head)
            return
        with _decoder(path, file, kind) as decoder:
            frames, subtype = decoder.frames, decoder.subtype
            found = Info(Path(path), decoder.samplerate, decoder.channels, frames, kind, subtype)
            whole = frames if kind in ("FLAC", "AIFF") else 0
            yield found, _library_blocks(path, decoder, whole)


# -- decoding ------------------------------------------------------------------------------------


def _own_blocks(path: AudioPath, file: BinaryIO, head: riff.Header) -> Iterator[np.ndarray]:
    """Yields decoded blocks of a WAV, exactly the frames its header check found."""
    left, most = head.frames, max(1, DECODE_BYTES // head.frame_bytes)
    file.seek(head.offset)
    while left:
        count = min(left, most)
        raw = file.read(count * head.frame_bytes)
        if len(raw) < count * head.frame_bytes:
            raise AudioError(f"{shown(path)}: became shorter while it was read; try again")
        yield pcm.decode(raw, head.subtype, head.channels)
        left -= count


def _library_blocks(path: AudioPath, decoder: Any, whole: int) -> Iterator[np.ndarray]:
    """Yields decoded blocks of FLAC, OGG, MP3 or AIFF, `whole` frames if that is not 0."""
    taken = 0
    while len(block := decoder.read(DECODE_FRAMES, "float32", always_2d=True)):
        taken += len(block)
        yield np.ascontiguousarray(block.T)  # (frames, channels) -> (channels, frames)
    if taken < whole:
        rate = decoder.samplerate
        there = f"{taken / rate:.2f} s of {whole / rate:.2f} s"
        raise AudioError(f"{shown(path)}: truncated copy, only {there}; copy or export it again")


def _converted(
    path: AudioPath, wanted: int | None, channels: int | None, repair: Repair | None
) -> Iterator[np.ndarray]:
    """Yields the sound checked, mixed and resampled, in blocks of no particular length."""
    with _source(path) as (found, source):
        rate = found.sample_rate
        mixed = (mix(block, channels) for block in checked(path, source, rate, repair))
        if wanted is None or wanted == rate:
            yield from mixed
        else:
            yield from _resampled(mixed, rate, wanted, channels or found.channels)


def _resampled(
    source: Iterator[np.ndarray], rate: int, wanted: int, channels: int
) -> Iterator[np.ndarray]:
    """Yields the same sound at the wanted rate, the tail included."""
    import soxr

    stream = soxr.ResampleStream(rate, wanted, channels, dtype="float32", quality="VHQ")
    taken = given = 0
    for block in source:
        taken += block.shape[1]
        out = stream.resample_chunk(np.ascontiguousarray(block.T))
        given += len(out)
        yield out.T
    tail = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    left = max(0, (2 * taken * wanted + rate) // (2 * rate) - given)
    yield np.pad(tail[:left], ((0, max(0, left - len(tail))), (0, 0))).T


def _regrouped(source: Iterator[np.ndarray], frames: int) -> Iterator[np.ndarray]:
    """Yields the same sound in blocks of `frames` samples and a last one of what is left."""
    held: list[np.ndarray] = []
    count = 0
    for block in source:
        held.append(block)
        count += block.shape[1]
        if count < frames:
            continue
        joined = np.concatenate(held, axis=1)
        whole = count - count % frames
        for start in range(0, whole, frames):
            yield joined[:, start : start + frames].copy()
        held, count = [joined[:, whole:]], count - whole
    if count:
        yield np.concatenate(held, axis=1)
