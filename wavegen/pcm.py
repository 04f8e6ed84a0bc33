"""Samples as files hold them, to float32 and back: PCM, float and the companding of G.711."""

from __future__ import annotations

import numpy as np

SUBTYPES = {
    (1, 8): "PCM_U8",
    (1, 16): "PCM_16",
    (1, 24): "PCM_24",
    (1, 32): "PCM_32",
    (3, 32): "FLOAT",
    (3, 64): "DOUBLE",
    (6, 8): "ALAW",
    (7, 8): "ULAW",
}
BYTES = {name: bits // 8 for (_, bits), name in SUBTYPES.items()}  # of one sample


def _companding(law: str) -> np.ndarray:
    """Returns the 256 float32 values of G.711 A-law ("ALAW") or mu-law ("ULAW")."""
    code = np.arange(256) ^ (0x55 if law == "ALAW" else 0xFF)
    segment, step = code >> 4 & 7, code & 15
    if law == "ALAW":
        linear, high = 16 * step + 8, (16 * step + 264) << np.maximum(segment - 1, 0)
        size = np.where(segment == 0, linear, high)
        positive = code & 0x80 != 0
    else:
        size = ((8 * step + 132) << segment) - 132
        positive = code & 0x80 == 0
    return (np.where(positive, size, -size) / 32768).astype(np.float32)


COMPANDING = {law: _companding(law) for law in ("ALAW", "ULAW")}


def decode(raw: bytes, subtype: str, channels: int) -> np.ndarray:
    """Returns float32 `(channels, frames)`: integers by 2^(bits-1), floats as they are.

    Args:
        raw: whole frames.
        subtype: a value of SUBTYPES.
        channels: samples in a frame.
    """
    if subtype in COMPANDING:
        flat = COMPANDING[subtype][np.frombuffer(raw, np.uint8)]
    elif subtype == "PCM_U8":
        flat = (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / np.float32(128)
    elif subtype == "PCM_16":
        flat = np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(2**15)
    elif subtype == "PCM_24":
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)  # the value times 256
        flat = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    elif subtype == "PCM_32":
        flat = np.frombuffer(raw, "<i4").astype(np.float32) / np.float32(2**31)
    else:
        with np.errstate(all="ignore"):  # a double too large becomes inf, which the caller refuses
            flat = np.frombuffer(raw, "<f4" if subtype == "FLOAT" else "<f8").astype(np.float32)
    return np.ascontiguousarray(flat.reshape(-1, channels).T)  # (frames, channels) -> (channels, n)


def encode(signal: np.ndarray, subtype: str) -> tuple[np.ndarray, int]:
    """Returns (samples as a file holds them, how many were clipped).

    Integers are rounded to the nearest (ties to even) without dither, so what `decode` gave comes
    back bit for bit. Only values beyond -1 .. 1 count as clipped: 1.0 itself becomes the largest
    integer, as everywhere.

    Args:
        signal: float `(channels, frames)`, finite.
        subtype: "PCM_16", "PCM_24" or "FLOAT".

    Returns:
        `(frames, channels)`: little-endian int16, int32 (24 bits in the upper three bytes) or
        float32; and the count.
    """
    frames = signal.T  # (channels, frames) -> (frames, channels)
    if subtype == "FLOAT":
        return np.ascontiguousarray(frames, "<f4"), 0
    scale = 2.0 ** (8 * BYTES[subtype] - 1)
    whole = np.clip(np.rint(frames * np.float64(scale)), -scale, scale - 1)
    clipped = int(np.count_nonzero(np.abs(frames) > 1))
    if subtype == "PCM_16":
        return np.ascontiguousarray(whole, "<i2"), clipped
    return np.ascontiguousarray(whole, "<i4") << 8, clipped
