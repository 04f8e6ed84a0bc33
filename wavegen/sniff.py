"""What a file holds, by its first bytes: the name of a file may say anything."""

from __future__ import annotations

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
        return "a truncated WAV header", "copy or export the file again"
    if is_mp3_frame(head):
        return "MP3", ""
    for offset, magic, what, cure in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return what, cure
    start = head.lstrip()[:256].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "an HTML or XML page", "download the recording again"
    if not head.strip(b"\0"):
        return "nothing but zero bytes", "copy it again"
    if not any(byte < 9 or 13 < byte < 32 or byte > 126 for byte in head):
        return "text", _REPLACE
    return "no known kind of sound", _EXPORT


def is_mp3_frame(head: bytes) -> bool:
    """Returns whether bytes begin like a frame of MPEG audio, layers I to III."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and 0 < bitrate < 15 and rate != 3


def tag_bytes(head: bytes) -> int:
    """Returns how many bytes an ID3 tag takes that begins at `head`, 0 if there is none."""
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return size + (20 if head[5] & 0x10 else 10)  # the flag: a footer as long as the header
