"""The header gate and the sample formats: exact decoding, bounded work, one-line refusals."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavegen import pcm, riff
from wavegen.errors import AudioError

PCM, FLOAT = (struct.pack("<H", tag) + riff.GUID for tag in (1, 3))
KINDS = list(pcm.SUBTYPES.values())
TAGS = {name: (tag, bits) for (tag, bits), name in pcm.SUBTYPES.items()}


def chunk(name, body, size=None, pad=True):
    size = len(body) if size is None else size
    return name + struct.pack("<I", size) + body + b"\0" * (pad and len(body) % 2)


def fmt(tag=1, channels=1, rate=16000, bits=16, align=None, byte_rate=None, more=b""):
    align = channels * bits // 8 if align is None else align
    byte_rate = rate * align if byte_rate is None else byte_rate
    packed = struct.pack("<HHIIHH", tag, channels, rate, byte_rate & 0xFFFFFFFF, align, bits)
    return chunk(b"fmt ", packed + more)


def extensible(bits, valid, guid, channels=2):
    return fmt(0xFFFE, channels, 44100, bits, more=struct.pack("<HHI", 22, valid, 3) + guid)


def wav(*chunks, size=None, name=b"RIFF"):
    body = b"WAVE" + b"".join(chunks)
    return name + struct.pack("<I", len(body) if size is None else size) + body


def gate(data, kind="WAV"):
    return riff.parse(io.BytesIO(data), kind, "x.wav")


def refused(data):
    with pytest.raises(AudioError) as caught:
        gate(data)
    text = str(caught.value)
    assert text.startswith("x.wav: ") and "; " in text and "\n" not in text
    return text


def pattern(subtype, samples, seed=0):
    """Returns (bytes of a file, the exact float64 values they stand for)."""
    rng = np.random.default_rng(seed)
    bits = TAGS[subtype][1]
    if subtype in ("FLOAT", "DOUBLE"):
        values = rng.standard_normal(samples).astype("<f4" if subtype == "FLOAT" else "<f8")
        return values.tobytes(), values.astype(np.float64)
    if subtype in ("ALAW", "ULAW"):
        codes = rng.integers(0, 256, samples)
        return bytes(codes.tolist()), np.array([g711(subtype, int(code)) for code in codes])
    whole = [int(n) for n in rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), samples)]
    whole[:2] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1][:samples]
    shift = 128 if bits == 8 else 0
    raw = b"".join((n + shift).to_bytes(bits // 8, "little", signed=bits > 8) for n in whole)
    return raw, np.array(whole) / 2.0 ** (bits - 1)


def g711(law, code):
    """Returns the value of one code by the tables of ITU-T G.711, section by section."""
    if law == "ALAW":
        code ^= 0x55
        section, step = (code >> 4) & 7, code & 15
        edge = 0 if section == 0 else 256 << (section - 1)  # where the section begins
        width = 16 if section == 0 else 8 << section
        size = edge + step * width + width // 2
        return (size if code & 0x80 else -size) / 32768
    code ^= 0xFF
    section, step = (code >> 4) & 7, code & 15
    size = ((33 + 2 * step) << section) - 33  # in units of 14 bits
    return (-size if code & 0x80 else size) / 8192


# -- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", KINDS)
def test_every_sample_format_decodes_exactly(subtype):
    raw, values = pattern(subtype, 3000)
    tag, bits = TAGS[subtype]
    data = wav(fmt(tag, 2, 44100, bits), chunk(b"data", raw))
    head = gate(data)
    assert (head.subtype, head.channels, head.sample_rate, head.frames) == (subtype, 2, 44100, 1500)
    decoded = pcm.decode(data[head.offset :][: len(raw)], subtype, 2)
    assert decoded.dtype == np.float32 and decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, values.reshape(-1, 2).T.astype(np.float32))


def test_the_companding_tables_reach_the_ends_that_g711_names():
    assert pcm.COMPANDING["ALAW"].max() == 32256 / 32768
    assert pcm.COMPANDING["ULAW"].max() == 32124 / 32768
    for law, table in pcm.COMPANDING.items():
        assert [g711(law, code) for code in range(256)] == table.tolist()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_what_was_decoded_is_encoded_bit_for_bit(subtype):
    raw, _ = pattern(subtype, 4000)
    samples, clipped = pcm.encode(pcm.decode(raw, subtype, 4), subtype)
    packed = samples.tobytes()
    if subtype == "PCM_24":
        packed = samples.reshape(-1, 1).view(np.uint8)[:, 1:].tobytes()
    assert packed == raw
    assert clipped == 0


def test_encoding_rounds_to_nearest_and_counts_what_it_clips():
    signal = np.array([[1.0, 1.001, -1.0, -3.0, 0.6 / 32768, -0.4 / 32768]], np.float32)
    samples, clipped = pcm.encode(signal, "PCM_16")
    assert samples[:, 0].tolist() == [32767, 32767, -32768, -32768, 1, 0]
    assert clipped == 2


# -- headers that pass ---------------------------------------------------------------------------

NAMES = [b"JUNK", b"bext", b"LIST", b"cue ", b"\xff\0\1\2", b"odd ", b"id3 ", b"fact"]
EXTRA = st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=40)), max_size=4)


@given(
    subtype=st.sampled_from(KINDS),
    channels=st.integers(1, 8),
    rate=st.integers(riff.MIN_RATE, riff.MAX_RATE),
    frames=st.integers(1, 5000),
    before=EXTRA,
    between=EXTRA,
    after=EXTRA,
)
def test_any_honest_file_is_found_whole(subtype, channels, rate, frames, before, between, after):
    tag, bits = TAGS[subtype]
    raw = bytes(frames * channels * bits // 8)
    groups = [[chunk(*pair) for pair in pairs] for pairs in (before, between, after)]
    data = wav(
        *groups[0],
        fmt(tag, channels, rate, bits),
        *groups[1],
        chunk(b"data", raw),
        *groups[2],
    )
    head = gate(data)
    expected = ("WAV", subtype, channels, rate, frames, ())
    found = (head.container, head.subtype, head.channels, head.sample_rate, head.frames)
    assert (*found, head.warnings) == expected
    assert data[head.offset - 8 : head.offset - 4] == b"data"


@given(
    subtype=st.sampled_from(["PCM_16", "PCM_24", "FLOAT"]),
    channels=st.integers(1, 64),
    rate=st.integers(riff.MIN_RATE, riff.MAX_RATE),
    frames=st.integers(1, 200),
)
def test_our_own_header_passes_the_gate(subtype, channels, rate, frames):
    start = riff.header(subtype, channels, rate, frames, {b"INAM": b"odd"})
    data = start + bytes(frames * channels * pcm.BYTES[subtype])
    expected = riff.Header("WAV", subtype, channels, rate, len(start), frames, ())
    assert gate(data + b"\0" * (len(data) % 2)) == expected


@pytest.mark.parametrize(
    ("bits", "valid", "guid", "subtype"),
    [(16, 16, PCM, "PCM_16"), (24, 24, PCM, "PCM_24"), (32, 24, PCM, "PCM_32")]
    + [(32, 32, FLOAT, "FLOAT")],
)
def test_extensible_is_what_its_guid_says(bits, valid, guid, subtype):
    head = gate(wav(extensible(bits, valid, guid), chunk(b"data", bytes(bits))))
    assert (head.subtype, head.frames) == (subtype, 4)


def test_rf64_takes_its_sizes_from_ds64():
    data = bytes(100)
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 200, 60, 30, 0))
    rf64 = wav(ds64, fmt(), chunk(b"data", data, riff.UNKNOWN), size=riff.UNKNOWN, name=b"RF64")
    assert (gate(rf64).container, gate(rf64).frames) == ("RF64", 30)


def test_a_header_past_four_gib_becomes_rf64_of_the_same_length():
    frames = 2**31 + 5
    short, long = (riff.header("PCM_16", 2, 48000, n, {}) for n in (1, frames))
    assert len(short) == len(long) and short[:4] == b"RIFF" and long[:4] == b"RF64"
    assert short[12:16] == b"JUNK" and long[12:16] == b"ds64"
    total, size, samples = struct.unpack("<QQQ", long[20:44])
    assert (size, samples, total) == (4 * frames, frames, len(long) - 8 + 4 * frames)


def test_wave64_is_walked_by_its_own_rules():
    guid = bytes.fromhex("2e91cf11a5d628db04c10000")
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")

    def part(name, body):
        padding = bytes(-len(body) % 8)
        return name + tail + struct.pack("<Q", len(body) + 24) + body + padding

    body = b"wave" + tail + part(b"junk", b"abc") + part(b"fmt ", fmt()[8:])
    body += part(b"data", bytes(50))
    data = b"riff" + guid + struct.pack("<Q", len(body) + 24) + body
    head = gate(data, "W64")
    assert (head.container, head.subtype, head.frames, head.warnings) == ("W64", "PCM_16", 25, ())


# -- headers that lie a little -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "frames", "word"),
    [
        (wav(fmt(), chunk(b"data", bytes(3200), 32000)), 1600, "0.10 s recovered of 1.00 s"),
        (wav(fmt(), chunk(b"data", bytes(3200), riff.UNKNOWN), size=riff.UNKNOWN), 1600, "pipe"),
        (wav(fmt(), chunk(b"data", bytes(3200), 0), size=0), 1600, "pipe"),
        (wav(fmt(channels=2), chunk(b"data", bytes(3201))), 800, "incomplete"),
        (wav(fmt(), chunk(b"data", bytes(3200)), size=99999), 1600, "shorter than its header"),
    ],
)
def test_a_wrong_size_is_mended_with_one_warning(data, frames, word):
    head = gate(data)
    assert head.frames == frames
    assert len(head.warnings) == 1 and word in head.warnings[0]


def test_a_wrong_block_align_is_outvoted_by_a_right_byte_rate():
    assert gate(wav(fmt(align=0, byte_rate=32000), chunk(b"data", bytes(10)))).frames == 5


def test_a_missing_pad_byte_is_forgiven():
    data = wav(chunk(b"odd ", b"abc", pad=False), fmt(), chunk(b"data", bytes(10)))
    assert gate(data).frames == 5


def test_the_first_of_two_fmt_and_data_chunks_counts():
    first, second = chunk(b"data", bytes(10)), chunk(b"data", bytes(20))
    head = gate(wav(fmt(), fmt(channels=2), first, second))
    assert (head.channels, head.frames) == (1, 5)


# -- refusals ------------------------------------------------------------------------------------

DATA = chunk(b"data", bytes(64))


@pytest.mark.parametrize(
    ("start", "word"),
    [
        (fmt(tag=2, bits=4), "Microsoft ADPCM"),
        (fmt(tag=0x11, bits=4), "IMA ADPCM"),
        (fmt(tag=0x31, bits=0), "GSM"),
        (fmt(tag=0x55, bits=0), "MP3"),
        (fmt(tag=0x7777), "0x7777"),
        (fmt(bits=12), "12-bit PCM"),
        (fmt(tag=3, bits=16), "16-bit float"),
        (fmt(channels=0, align=2), "0 channels"),
        (fmt(channels=65), "65 channels"),
        (fmt(rate=999), "999 Hz"),
        (fmt(rate=2**32 - 1), "4294967295 Hz"),
        (fmt(align=0), "block align 0"),
        (fmt(align=65535), "block align 65535"),
        (extensible(16, 0, PCM), "0 valid bits"),
        (extensible(16, 99, PCM), "99 valid bits"),
        (extensible(16, 16, b"\x55" * 16), "EXTENSIBLE"),
        (fmt(tag=0xFFFE, more=b"\0\0"), "EXTENSIBLE"),
        (chunk(b"fmt ", bytes(14)), "no usable fmt"),
        (chunk(b"fmt ", bytes(16), 2**32 - 1), "no usable fmt"),
        (b"", "no usable fmt"),
        (fmt() + chunk(b"bext", b"ab", 2**31), "truncated WAV header"),
    ],
)
def test_a_bad_header_is_refused_by_its_fault(start, word):
    assert word in refused(wav(start, DATA))


@pytest.mark.parametrize(
    ("chunks", "word"),
    [
        ([], "RF64 without"),
        ([chunk(b"ds64", bytes(4))], "RF64 without"),
        ([chunk(b"ds64", struct.pack("<QQQI", 2**63, 2**63, 1, 0))], "impossible length"),
    ],
)
def test_a_bad_rf64_is_refused(chunks, word):
    data = wav(*chunks, fmt(), DATA, size=riff.UNKNOWN, name=b"RF64")
    assert word in refused(data)


def test_every_cut_through_the_header_is_refused():
    data = wav(fmt(), DATA)
    for length in range(12, 44):
        assert "truncated" in refused(data[:length])
    assert "no audio" in refused(data[:44]) and "no audio" in refused(data[:45])
    assert gate(data[:46]).frames == 1
    assert "no data chunk" in refused(wav(fmt()))


class Counting(io.BytesIO):
    """A file that counts what is read from it."""

    bytes_read = reads = 0

    def read(self, size=-1):
        assert size >= 0
        found = super().read(size)
        self.bytes_read, self.reads = self.bytes_read + len(found), self.reads + 1
        return found


def test_the_walk_reads_headers_only_and_ends():
    many = wav(*[chunk(b"abcd", b"")] * 10000, fmt(), chunk(b"data", bytes(10**6)))
    file = Counting(many)
    assert riff.parse(file, "WAV", "x.wav").frames == 500000
    assert file.bytes_read < 8 * 10002 + 200
    endless = Counting(wav(*[chunk(b"abcd", b"")] * (2 * riff.MAX_CHUNKS), fmt(), DATA))
    with pytest.raises(AudioError):
        riff.parse(endless, "WAV", "x.wav")
    assert endless.reads < 2 * riff.MAX_CHUNKS


@given(data=st.binary(max_size=200), start=st.sampled_from([b"", wav(fmt())[:36], wav()]))
def test_any_bytes_are_a_header_or_an_audio_error(data, start):
    for kind in ("WAV", "W64"):
        try:
            head = gate(start + data, kind)
        except AudioError:
            continue
        assert head.offset + head.frames * head.frame_bytes <= len(start + data)


@given(data=st.binary(max_size=120))
def test_texts_of_any_list_chunk_are_read_without_fault(data):
    found = riff.texts(io.BytesIO(wav(fmt(), DATA, chunk(b"LIST", b"INFO" + data))))
    assert all(found.values())


def test_texts_take_utf8_and_the_windows_code_page():
    items = chunk(b"INAM", "Größe 日本".encode() + b"\0") + chunk(b"IART", b"Caf\xe9\0")
    data = wav(fmt(), DATA, chunk(b"LIST", b"INFO" + items))
    assert riff.texts(io.BytesIO(data)) == {b"INAM": "Größe 日本", b"IART": "Café"}


@pytest.mark.parametrize(("codec", "passes"), [(b"sowt", True), (b"raw ", True), (b"ima4", False)])
def test_aiff_passes_with_plain_codecs_only(codec, passes):
    common = struct.pack(">hIh10s", 1, 10, 16, b"\x40\x0c\xfa") + codec
    body = b"AIFC" + b"COMM" + struct.pack(">I", len(common)) + common
    file = io.BytesIO(b"FORM" + struct.pack(">I", len(body)) + body)
    if passes:
        riff.check_aiff(file, "x.aif")
    else:
        with pytest.raises(AudioError, match="ima4"):
            riff.check_aiff(file, "x.aif")
