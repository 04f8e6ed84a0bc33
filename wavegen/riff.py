"""RIFF, RF64 and Wave64 headers: a bounded look at a file before any decoder may see it.

A WAV never reaches a C library: `pcm` decodes what passes here, and the compressed kinds (ADPCM,
GSM, MP3) are where decoders that trust a header overflow. The walk reads chunk headers only, trusts
no size, and never reads past the end of the file. RF64 follows EBU Tech 3306.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from wavegen.errors import AudioError
from wavegen.pcm import BYTES, SUBTYPES

MAX_CHANNELS = 64
MIN_RATE, MAX_RATE = 1000, 768000  # Hz
MAX_CHUNKS = 20000
UNKNOWN = 0xFFFFFFFF  # a 32-bit size that was never filled in
RIFF_LIMIT = UNKNOWN - 1  # bytes after the first eight; above it a file is written as RF64

COMPRESSED = {
    0x0002: "Microsoft ADPCM",
    0x0011: "IMA ADPCM",
    0x0031: "GSM 6.10",
    0x0050: "MPEG audio",
    0x0055: "MP3",
    0x0065: "G.722",
    0x00FF: "AAC",
    0x0161: "Windows Media",
    0x674F: "Vorbis",
}
GUID = bytes.fromhex("000000001000800000aa00389b71")  # follows the tag in EXTENSIBLE
LAYOUTS = {"WAV": (12, "<4sI", 2), "AIFF": (12, ">4sI", 2), "W64": (40, "<4s12xQ", 8)}
AIFF_CODECS = b"NONE twos sowt raw fl32 FL32 fl64 FL64 in24 in32 42ni 23ni ulaw ULAW alaw ALAW"
EXPORT = "export it as 16-bit, 24-bit or float WAV"


@dataclass(frozen=True)
class Header:
    """What a WAV header says, after checking it against the file."""

    container: str  # "WAV", "RF64" or "W64"
    subtype: str  # one of SUBTYPES
    channels: int
    sample_rate: int  # Hz
    offset: int  # byte of the first frame
    frames: int  # whole frames that are really there
    warnings: tuple[str, ...]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: one sample of every channel."""
        return self.channels * BYTES[self.subtype]


def at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Returns up to `count` bytes from byte `offset` of a file."""
    file.seek(offset)
    return file.read(count)


def size_of(file: BinaryIO) -> int:
    """Returns the bytes of a file without moving in it, so that what is buffered stays so."""
    try:
        return os.fstat(file.fileno()).st_size
    except io.UnsupportedOperation:  # in memory
        return file.seek(0, os.SEEK_END)


def chunks(file: BinaryIO, kind: str) -> Iterator[tuple[bytes, int, int]]:
    """Yields (name, byte where its content starts, stated size) of each chunk, in order.

    Args:
        file: open for reading bytes.
        kind: "WAV", "AIFF" or "W64".
    """
    end = size_of(file)
    position, form, align = LAYOUTS[kind]
    width = struct.calcsize(form)
    for _ in range(MAX_CHUNKS):
        head = at(file, position, width)
        if len(head) < width:
            return
        name, size = struct.unpack(form, head)
        if kind == "W64":
            size -= width  # Wave64 counts the chunk's own header
        if size < 0:
            return
        yield name, position + width, size
        position += width + size
        if position >= end:
            return
        # Some writers forget the pad byte after an odd chunk: a known name then stands there.
        if size % align and at(file, position, 4) not in (b"fmt ", b"data", b"LIST", b"fact"):
            position += -size % align


def parse(file: BinaryIO, kind: str, name: str) -> Header:
    """Returns the checked header of a WAV, RF64 or Wave64 file.

    Args:
        file: open for reading bytes; it starts as `kind` says.
        kind: "WAV" or "W64".
        name: the file's name for messages.

    Raises:
        AudioError: no sound that wavegen can decode; the message says why and what to do.
    """
    end = size_of(file)
    start = at(file, 0, 24)
    container = "RF64" if start[:4] in (b"RF64", b"BW64") else kind
    stated = int.from_bytes(start[16:24] if kind == "W64" else start[4:8], "little")
    found: tuple[str, int, int] | None = None
    cut, ds64 = True, b""
    for chunk, offset, size in chunks(file, kind):
        cut = offset + size > end
        if chunk == b"ds64" and not ds64:
            ds64 = at(file, offset, min(size, 28))
        elif chunk == b"fmt " and found is None:
            if not 16 <= size <= 65536:
                raise AudioError(f"{name}: no usable fmt chunk ({size} bytes); {EXPORT}")
            body = at(file, offset, min(size, 40))
            if len(body) < 16:
                break
            found = _format(body, name)
        elif chunk == b"data":
            if found is None:
                raise AudioError(f"{name}: no usable fmt chunk before the data; {EXPORT}")
            if container == "RF64":
                stated, size = _ds64(ds64, size, name)
            frame_bytes = found[1] * BYTES[found[0]]
            frames, warnings = _extent(end, offset, stated, size, frame_bytes, found[2])
            if not frames:
                raise AudioError(f"{name}: contains no audio; record or export it again")
            return Header(container, *found, offset, frames, warnings)
    if cut or stated + 8 > end:
        raise AudioError(f"{name}: truncated WAV header; copy or export the file again")
    missing = "usable fmt chunk" if found is None else "data chunk"
    raise AudioError(f"{name}: no {missing}; export it again")


def _format(body: bytes, name: str) -> tuple[str, int, int]:
    """Returns (subtype, channels, sample rate) of the content of a fmt chunk."""
    tag, channels, rate, byte_rate, align, bits = struct.unpack("<HHIIHH", body[:16])
    valid = bits
    if tag == 0xFFFE:
        if len(body) < 40 or int.from_bytes(body[16:18], "little") < 22 or body[26:40] != GUID:
            raise AudioError(f"{name}: broken or unknown EXTENSIBLE format; {EXPORT}")
        valid, tag = struct.unpack("<H4xH", body[18:26])
    subtype = SUBTYPES.get((tag, bits))
    if subtype is None:
        codec = COMPRESSED.get(tag, f"codec 0x{tag:04x}")
        if tag in (1, 3):
            codec = f"{bits}-bit {'PCM' if tag == 1 else 'float'}"
        raise AudioError(f"{name}: {codec} inside a WAV is not supported; {EXPORT}")
    if not 1 <= valid <= bits or (tag != 1 and valid != bits):
        raise AudioError(f"{name}: {valid} valid bits in {bits} make no sense; {EXPORT}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"{name}: {channels} channels, but 1 to {MAX_CHANNELS} are taken; {EXPORT}"
        )
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            f"{name}: sample rate {rate} Hz, but {MIN_RATE} to {MAX_RATE} are taken; {EXPORT}"
        )
    right = channels * bits // 8
    if align != right and byte_rate != rate * right:  # one wrong field of two can be outvoted
        raise AudioError(f"{name}: block align {align}, but its format needs {right}; {EXPORT}")
    return subtype, channels, rate


def _ds64(ds64: bytes, size: int, name: str) -> tuple[int, int]:
    """Returns (bytes of the file, bytes of the data) that an RF64 header states."""
    if len(ds64) < 28:
        raise AudioError(f"{name}: RF64 without a usable ds64 chunk; export it again")
    stated, data = struct.unpack("<QQ", ds64[:16])
    if max(stated, data) >= 2**62 and data != 2**64 - 1:
        raise AudioError(f"{name}: RF64 states an impossible length; export it again")
    return stated, (data if size == UNKNOWN else size)


def _extent(
    end: int, offset: int, stated: int, size: int, frame_bytes: int, rate: int
) -> tuple[int, tuple[str, ...]]:
    """Returns (whole frames present, warnings) of the data chunk at `offset`."""
    never = (0, UNKNOWN, 2**64 - 1)
    unknown = size in never[1:] or (size == 0 and stated in never)
    present = end - offset
    frames = (present if unknown else min(size, present)) // frame_bytes
    seconds = f"{frames / rate:.2f} s"
    if unknown:
        return frames, (f"the header does not say how long it is (a pipe?); {seconds} found",)
    if size > present:
        promised = size / frame_bytes / rate
        return frames, (f"truncated copy: {seconds} recovered of {promised:.2f} s",)
    if size % frame_bytes:
        return frames, ("the last frame is incomplete and is left out",)
    if stated > end and stated not in never:
        return frames, (f"the file is shorter than its header says; all {seconds} are there",)
    return frames, ()


def check_aiff(file: BinaryIO, name: str) -> None:
    """Raises AudioError unless an AIFF or AIFC file holds PCM, float, A-law or mu-law."""
    seen = False
    for chunk, offset, size in chunks(file, "AIFF"):
        if chunk == b"COMM":
            seen = True
            codec = at(file, offset, 22)[18:] if size >= 22 else b"NONE"
            if codec.rstrip(b" ") not in AIFF_CODECS.split():
                shown = codec.decode("ascii", "backslashreplace")
                raise AudioError(f"{name}: codec {shown!r} in AIFF is not supported; {EXPORT}")
    if not seen:
        raise AudioError(f"{name}: no COMM chunk; export it again")


def texts(file: BinaryIO, kind: str = "WAV") -> dict[bytes, str]:
    """Returns the LIST/INFO texts of a file by their four-letter names; the first of each wins."""
    result: dict[bytes, str] = {}
    for chunk, offset, size in chunks(file, kind):
        if chunk != b"LIST":
            continue
        body = at(file, offset, min(size, 2**20))
        position = 4 if body[:4] == b"INFO" else len(body)
        while position + 8 <= len(body):
            name, length = struct.unpack("<4sI", body[position : position + 8])
            raw = body[position + 8 : position + 8 + length].split(b"\0")[0]
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError:  # Windows programs write their own code page
                text = raw.decode("cp1252", "replace")
            if text:
                result.setdefault(name, text)
            position += 8 + length + length % 2
    return result


def header(
    subtype: str, channels: int, sample_rate: int, frames: int, info: dict[bytes, bytes]
) -> bytes:
    """Returns all bytes of a WAV before its first frame; their number does not depend on `frames`.

    Args:
        subtype: "PCM_16", "PCM_24" or "FLOAT".
        channels: 1 .. 64.
        sample_rate: Hz.
        frames: in the whole file; too many for 32-bit sizes turn the placeholder into ds64.
        info: LIST/INFO texts by four-letter name.
    """

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    width, tag = BYTES[subtype], 3 if subtype == "FLOAT" else 1
    align = channels * width
    fmt = struct.pack("<HHIIHH", tag, channels, sample_rate, sample_rate * align, align, 8 * width)
    if channels > 2:  # which loudspeaker each one belongs to is left open
        fmt = b"\xfe\xff" + fmt[2:] + struct.pack("<HHIH", 22, 8 * width, 0, tag) + GUID
    body = chunk(b"fmt ", fmt + (b"\0\0" if tag == 3 and channels <= 2 else b""))
    if tag == 3:
        body += chunk(b"fact", struct.pack("<I", min(frames, UNKNOWN)))
    if info:
        items = b"".join(chunk(name, text + b"\0") for name, text in info.items())
        body += chunk(b"LIST", b"INFO" + items)
    size = frames * align
    total = 4 + 36 + len(body) + 8 + size + size % 2
    if total <= RIFF_LIMIT:
        first, place, sizes = b"RIFF", chunk(b"JUNK", bytes(28)), (total, size)
    else:
        ds64 = struct.pack("<QQQI", total, size, frames, 0)
        first, place, sizes = b"RF64", chunk(b"ds64", ds64), (UNKNOWN, UNKNOWN)
    start = first + struct.pack("<I", sizes[0]) + b"WAVE"
    return start + place + body + b"data" + struct.pack("<I", sizes[1])
