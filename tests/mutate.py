"""Sound files made to hurt: many kinds of WAV, and seeded mutations of them."""

import io
import struct
from collections.abc import Iterator

import numpy as np
import soundfile

from wavegen import pcm, riff

RATE = 16000
NASTY = (0, 1, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)  # as sizes, rates, counts


def bases() -> list[bytes]:
    """Returns small honest files of every kind of WAV; the last four are refused nevertheless."""
    t = np.arange(300) / RATE
    wave = np.stack([0.4 * np.sin(2 * np.pi * 330 * t), 0.2 * np.cos(2 * np.pi * 440 * t)])
    texts = {b"INAM": b"a tone", b"ICMT": b"seed 7"}
    whole = pcm.encode(wave.astype("float32"), "FLOAT")[0].tobytes()
    found = [riff.header("FLOAT", 2, RATE, 300, texts) + whole]
    for kind, subtype, channels in (
        ("WAV", "PCM_16", 1), ("WAV", "PCM_24", 2), ("WAV", "PCM_U8", 1), ("WAV", "ULAW", 1),
        ("WAV", "DOUBLE", 1), ("WAVEX", "PCM_32", 1), ("WAVEX", "PCM_24", 4), ("RF64", "PCM_16", 1),
        ("WAV", "IMA_ADPCM", 1), ("WAV", "MS_ADPCM", 1), ("WAV", "GSM610", 1), ("W64", "PCM_16", 1),
    ):  # fmt: skip
        file = io.BytesIO()
        soundfile.write(file, np.resize(wave, (channels, 300)).T, RATE, subtype, format=kind)
        found.append(file.getvalue()[:2500])
    return found


def mutations(count: int, seed: int) -> Iterator[bytes]:
    """Yields files, each with one to five changes near its beginning."""
    rng, whole = np.random.default_rng(seed), bases()
    for number in range(count):
        data = bytearray(whole[number % len(whole)])
        for _ in range(rng.integers(1, 6)):
            at = int(rng.integers(0, max(1, min(len(data), 160))))
            change = rng.integers(0, 5)
            if change == 0 and data:
                data[at] ^= 1 << int(rng.integers(0, 8))
            elif change == 1 and data:
                data[at] = int(rng.integers(0, 256))
            elif change == 2:
                data[at : at + 4] = struct.pack("<I", NASTY[rng.integers(len(NASTY))])
            elif change == 3:
                del data[int(rng.integers(1, len(data) + 1)) :]
            else:
                data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        yield bytes(data)
