"""What a file holds, by its first bytes: the name of a file may say anything."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from wavegen.errors import AudioError, shown

HEAD_BYTES = 4096  # what `identify` wants to see
# The suffixes each kind of sound may carry; the first is the one to rename a file to.
SUFFIXES = {
    "WAV": (".wav", ".wave", ".rf64"),
    "W64": (".w64",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "AIFF": (".aif", ".aiff", ".aifc"),
}
_EXPORT = "export it as WAV"
_REPLACE = "put the recording itself here"
_UNPACK = "unpack it first"
_SIGNATURES = (  # byte, what stands there, what it is, what to do
    (0, b"fLaC", "FLAC", ""),
    (0, b"OggS", "OGG", ""),
    (0, b"ID3", "MP3", ""),
    (0, b"riff\x2e\x91\xcf\x11\xa5\xd6", "W64", ""),
    (0, b"RIFX", "big-endian RIFX", _EXPORT),
    (8, b"AVI ", "an AVI video", _EXPORT),
    (8, b"WEBP", "a WebP image", _REPLACE),
    (4, b"ftyp", "MPEG-4 (m4a, mp4, mov)", _EXPORT),
    (0, b"caff", "Apple CAF", _EXPORT),
    (0, b".snd", "Sun AU", _EXPORT),
    (0, b"wvpk", "WavPack", _EXPORT),
    (0, b"MAC ", "Monkey's Audio", _EXPORT),
    (0, b"\x30\x26\xb2\x75", "Windows Media", _EXPORT),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM", _EXPORT),
    (0, b"MThd", "MIDI notes without sound", "record it as WAV"),
    (0, b"version https://git-lfs", "a Git LFS pointer", "run git lfs pull"),
    (0, b"\x00\x05\x16\x07", "a macOS ._ AppleDouble file", "delete it or leave it out"),
    (0, b"bplist00", "an iCloud placeholder", "download the recording from iCloud"),
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", _REPLACE),
    (0, b"\x1f\x8b", "gzip", _UNPACK),
    (0, b"BZh", "bzip2", _UNPACK),
    (0, b"\xfd7zXZ", "xz", _UNPACK),
    (0, b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (0, b"\x89PNG", "a PNG image", _REPLACE),
    (0, b"\xff\xd8\xff", "a JPEG image", _REPLACE),
    (0, b"GIF8", "a GIF image", _REPLACE),
    (0, b"%PDF", "a PDF", _REPLACE),
    (0, b"\x7fELF", "a program", _REPLACE),
    (0, b"MZ", "a program", _REPLACE),
    (0, b"\x80\x04\x95", "a Python pickle", _REPLACE),
    (0, b"\xff\xfe", "UTF-16 text", _REPLACE),
    (0, b"\xfe\xff", "UTF-16 text", _REPLACE),
)


def identify(head: bytes) -> tuple[str, str]:
    """Returns (what a file holds, what to do about it) given its first HEAD_BYTES bytes.

    The first is a key of SUFFIXES if wavegen reads it (the second is then empty), else a
    description such as "a PNG image".
    """
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "WAV", ""
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF", ""
    if len(head) < 12 and head and b"RIFF".startswith(head[:4]):
        return "truncated WAV header", "copy or export the file again"
    if is_mp3_frame(head):
        return "MP3", ""
    for offset, magic, what, cure in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return what, cure
    start = head.lstrip()[:256].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "an HTML or XML page", "download the recording again"
    if not head.strip(b"\0"):
        return "zero bytes only", "copy it again"
    if not any(byte < 9 or 13 < byte < 32 or byte > 126 for byte in head):
        return "text", _REPLACE
    return "bytes without a known header", _EXPORT


def is_mp3_frame(head: bytes) -> bool:
    """Returns whether bytes begin like a frame of MPEG audio, layer II or III.

    Layer I is hardly found, and its first bytes are also those of UTF-16 text.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer in (1, 2) and 0 < bitrate < 15 and rate != 3


def tag_bytes(head: bytes) -> int:
    """Returns how many bytes an ID3 tag takes that begins at `head`, 0 if there is none."""
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return size + (20 if head[5] & 0x10 else 10)  # the flag: a footer as long as the header


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens the regular file at a path; never waits for a pipe, never reads a device.

    Args:
        path: of the file.

    Raises:
        AudioError: it cannot be opened, is no regular file, or reading it fails in the block.
    """
    name = shown(path)
    try:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, FileNotFoundError | PermissionError):
            reason = "no such file" if error.errno == errno.ENOENT else "permission denied"
        raise AudioError(f"{name}: {reason}; check the path and who may read it") from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise AudioError(f"{name}: is {what}; name a file of sound")
    with open(handle, "rb") as file:
        try:
            yield file
        except OSError as error:
            reason = error.strerror or str(error)
            raise AudioError(f"{name}: cannot be read ({reason}); copy it again") from error


def kind_of(path: str | os.PathLike[str], file: BinaryIO) -> str:
    """Returns the key of SUFFIXES that a file is, by its content and by its name.

    Args:
        path: where the file came from.
        file: open for reading bytes.

    Raises:
        AudioError: it is empty, no sound, or not what its name says.
    """
    name, suffix = shown(path), os.path.splitext(path)[1].lower()
    head = file.read(HEAD_BYTES)
    if not head:
        raise AudioError(f"{name}: empty file; record or copy it again")
    what, cure = identify(head)
    claimed = next((kind for kind, names in SUFFIXES.items() if suffix in names), "sound")
    if what.startswith("truncated"):
        raise AudioError(f"{name}: {what}; {cure}")
    if what not in SUFFIXES:
        raise AudioError(f"{name}: not a {claimed} file (looks like {what}); {cure}")
    if suffix not in SUFFIXES[what]:
        right = shown(Path(path).stem) + SUFFIXES[what][0]
        other = f"not {claimed}" if claimed != "sound" else "which its name does not say"
        raise AudioError(f"{name}: this is {what}, {other}; rename it to {right}")
    if what == "MP3":
        _check_mp3(name, file, head)
    return what


def _check_mp3(name: str, file: BinaryIO, head: bytes) -> None:
    """Raises AudioError unless MPEG audio follows the ID3 tags: a decoder would try anything."""
    offset = 0
    for _ in range(16):
        offset += tag_bytes(head)
        file.seek(offset)
        head = file.read(HEAD_BYTES).lstrip(b"\0")
        if is_mp3_frame(head):
            return
        if not tag_bytes(head):
            break
    raise AudioError(f"{name}: no MPEG audio after its ID3 tag; {_EXPORT}")
