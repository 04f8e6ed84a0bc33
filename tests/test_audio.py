"""Files of sound: what is read is what is there, what is written is whole or not there at all."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wavegen import audio, draft, riff, sniff
from wavegen.errors import AudioError, Error, OutputError, UsageError, shown

QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(frames, channels=2, seed=0):
    return 0.2 * np.random.default_rng(seed).standard_normal((channels, frames)).astype(np.float32)


def sine(hertz, rate, seconds=1.0, channels=1):
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def refused(path, call=audio.info, kind=AudioError):
    with pytest.raises(kind) as caught:
        call(path)
    text = str(caught.value)
    assert text.startswith(f"{shown(path)}: ") and "; " in text and "\n" not in text
    return text


def whole(path, **options):
    return np.concatenate(list(audio.blocks(path, **options)), axis=1)


# -- reading -------------------------------------------------------------------------------------


@QUICK
@given(
    subtype=st.sampled_from(["PCM_16", "PCM_24", "FLOAT"]),
    channels=st.integers(1, 8),
    rate=st.integers(1000, 768000),
    frames=st.integers(1, 5000),
    block=st.integers(1, 6000),
)
def test_what_is_written_is_read_back(tmp_path, subtype, channels, rate, frames, block):
    signal = np.clip(noise(frames, channels, seed=frames), -0.99, 0.99)  # noise has no bounds
    path = audio.write(tmp_path / "a.wav", signal, rate, subtype=subtype, force=True)
    found = audio.info(path)
    assert (found.sample_rate, found.channels, found.frames) == (rate, channels, frames)
    assert (found.container, found.subtype, found.warnings) == ("WAV", subtype, ())
    again = whole(path, block_frames=block)
    steps = {"PCM_16": 2**15, "PCM_24": 2**23, "FLOAT": 2**40}[subtype]
    assert again.dtype == np.float32 and np.abs(again - signal).max() <= 0.5 / steps
    independent, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(again, independent.T)


@pytest.mark.parametrize(
    ("suffix", "form", "subtype"),
    [
        (".flac", "FLAC", "PCM_24"),
        (".ogg", "OGG", "VORBIS"),
        (".opus", "OGG", "OPUS"),
        (".mp3", "MP3", "MPEG_LAYER_III"),
        (".aiff", "AIFF", "PCM_24"),
        (".aif", "AIFF", "FLOAT"),
        (".w64", "W64", "PCM_16"),
        (".wav", "RF64", "PCM_24"),
        (".wav", "WAVEX", "FLOAT"),
        (".WAVE", "WAV", "ULAW"),
    ],
)
def test_other_kinds_agree_with_libsndfile(tmp_path, suffix, form, subtype):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, noise(5000).T, 48000, format=form, subtype=subtype)
    found = audio.info(path)
    assert (found.sample_rate, found.channels, found.frames) == (48000, 2, 5000)
    assert found.container == form.replace("WAVEX", "WAV") and found.subtype == subtype
    expected, _ = soundfile.read(path, dtype="float32")
    for block in (700, 5000):
        np.testing.assert_array_equal(whole(path, block_frames=block), expected.T)
    assert audio.metadata(path) == {}


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (22050, None), (None, 1)])
def test_the_length_of_blocks_does_not_change_the_sound(tmp_path, monkeypatch, rate, channels):
    path = audio.write(tmp_path / "a.wav", noise(7001, 3), 22050)
    expected = whole(path, sample_rate=rate, channels=channels)
    assert expected.shape == (channels or 3, round(7001 * (rate or 22050) / 22050))
    monkeypatch.setattr(audio, "DECODE_BYTES", 600)
    for length in (1, 64, 999, 100000):
        parts = list(audio.blocks(path, sample_rate=rate, channels=channels, block_frames=length))
        assert {part.shape[1] for part in parts[:-1]} <= {length}
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), expected)
        if length == 1:
            assert len(parts) == expected.shape[1]


@pytest.mark.parametrize(("old", "new"), [(44100, 16000), (8000, 44100), (48000, 22050)])
def test_resampling_keeps_the_tone_and_the_length(tmp_path, old, new):
    path = audio.write(tmp_path / "a.wav", sine(440, old), old, subtype="FLOAT")
    found, rate = audio.read(path, sample_rate=new)
    assert rate == new and found.shape == (1, new)
    middle = slice(new // 10, -new // 10)  # away from the edges, where the tone begins and ends
    np.testing.assert_allclose(found[:, middle], sine(440, new)[:, middle], atol=1e-5)


@QUICK
@given(frames=st.integers(1, 3000), old=st.integers(1000, 96000), new=st.integers(1000, 96000))
def test_resampled_sound_has_the_right_length(tmp_path, frames, old, new):
    path = audio.write(tmp_path / "a.wav", noise(frames, 1), old, force=True)
    found = sum(block.shape[1] for block in audio.blocks(path, sample_rate=new))
    assert abs(found - frames * new / old) <= 0.5


def test_channels_are_mixed_as_documented(tmp_path):
    five = noise(100, 5)
    path = audio.write(tmp_path / "five.wav", five, 8000, subtype="FLOAT")
    np.testing.assert_allclose(whole(path, channels=1)[0], five.mean(axis=0), atol=1e-7)
    np.testing.assert_array_equal(whole(path, channels=2), five[:2])
    mono = audio.write(tmp_path / "mono.wav", five[:1], 8000, subtype="FLOAT")
    np.testing.assert_array_equal(whole(mono, channels=2), np.tile(five[:1], (2, 1)))


def test_values_beyond_one_stay_as_they_are(tmp_path):
    path = audio.write(tmp_path / "a.wav", 10 * noise(100), 8000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(path)[0], 10 * noise(100))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 1e30])
def test_a_value_that_is_no_sound_is_refused_with_its_time(tmp_path, value):
    path = tmp_path / "a.wav"
    wave = np.zeros((1600, 2))
    wave[800, 1] = value
    soundfile.write(path, wave, 16000, subtype="DOUBLE")
    assert audio.info(path).frames == 1600
    assert "first at 0.050 s" in refused(path, audio.read)


def test_arguments_out_of_range_are_refused_before_the_file_is_opened():
    for options in ({"channels": 3}, {"sample_rate": 10}, {"block_frames": 0}):
        with pytest.raises(UsageError):
            audio.blocks("absent.wav", **options)


# -- files that are something else ---------------------------------------------------------------


def test_content_must_be_what_the_name_says(tmp_path):
    for form, subtype in (("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", "PCM_16")):
        path = tmp_path / "a.wav"
        soundfile.write(path, noise(500).T, 44100, format=form, subtype=subtype)
        right = "a" + sniff.SUFFIXES[form][0]
        text = refused(path)
        assert f"this is {form}, not WAV; rename it to {right}" in text
        assert audio.info(path.rename(tmp_path / right)).container == form


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty file"),
        (b"RIFF", "truncated WAV header"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"PK\x03\x04" + bytes(50), "zip"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"),
        (b"\x00\x05\x16\x07" + bytes(50), "AppleDouble"),
        (bytes(5000), "zero bytes"),
        ("\ufeffhello".encode("utf-16-le"), "UTF-16"),
        (b"just words\n", "text"),
        (b"ID3\x04\0\0\0\0\0\0RIFF\0\0\0\0WAVEfmt ", "not WAV"),
        (bytes(range(256)), "without a known header"),
    ],
)
def test_foreign_content_is_named(tmp_path, content, word):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert word in refused(path)


def test_a_tag_cannot_smuggle_another_format_to_the_mp3_decoder(tmp_path):
    path = audio.write(tmp_path / "a.wav", noise(500), 44100)
    smuggled = tmp_path / "a.mp3"
    smuggled.write_bytes(b"ID3\x04\0\0\0\0\0\0" + path.read_bytes())
    assert "no MPEG audio" in refused(smuggled)


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and device files")
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.wav")
    os.symlink("/dev/zero", tmp_path / "zero.wav")
    os.symlink(tmp_path / "loop.wav", tmp_path / "loop.wav")
    (tmp_path / "folder.wav").mkdir()
    for name in ("pipe", "zero", "loop", "folder", "absent"):
        refused(tmp_path / f"{name}.wav")
    with socket.socket(socket.AF_UNIX) as endpoint:
        monkeypatch.chdir(tmp_path)  # the name of a socket must be short
        endpoint.bind("s.wav")
        refused(Path("s.wav"))
    with pytest.raises(AudioError):
        audio.info("null\0.wav")


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    path = audio.write(tmp_path / "a.wav", noise(10), 8000)
    monkeypatch.setattr(sniff.os, "open", denied)
    assert "permission denied" in refused(path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = audio.write(tmp_path / "a.wav", noise(200000), 8000)
    monkeypatch.setattr(audio, "DECODE_BYTES", 40000)
    blocks = audio.blocks(path, block_frames=1000)
    next(blocks)
    os.truncate(path, 3000)
    assert "became shorter" in refused(path, lambda _: list(blocks))


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_a_damaged_file_is_an_audio_error(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, noise(60000).T, 44100)
    data = path.read_bytes()
    for length in (50, 5000, len(data) // 2):
        path.write_bytes(data[:length])
        try:
            found = audio.read(path)[0]
        except AudioError as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert suffix == ".ogg" and found.shape[1] < 60000


@QUICK
@given(data=st.data())
def test_any_bytes_under_any_name_are_sound_or_an_audio_error(tmp_path, data):
    path = tmp_path / f"a{data.draw(st.sampled_from(['.wav', '.flac', '.aiff', '.w64', '.rf64']))}"
    soundfile.write(
        path, noise(50).T, 8000, format={".aiff": "AIFF"}.get(path.suffix, path.suffix[1:].upper())
    )
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        position = data.draw(st.integers(0, min(len(content), 150) - 1))
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        audio.metadata(path)
        found, _ = audio.read(path)
    except AudioError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert np.isfinite(found).all() and len(found) == audio.info(path).channels


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Größe 日本 😀 a.wav", "Größe 日本 😀 a.wav"),
        ("two\nlines\t\x1b[31m.wav", "two\\nlines\\t\\x1b[31m.wav"),
        ("a\u2028b\u202ec.wav", "a\\u2028b\\u202ec.wav"),
        (os.fsdecode(b"-\xff.wav"), "-\\xff.wav"),
        ("音" * 83 + ".wav", "音" * 83 + ".wav"),
    ],
)
def test_odd_names_work_and_messages_stay_one_line(tmp_path, name, expected):
    assert shown(name) == expected
    try:
        path = audio.write(tmp_path / name, noise(10), 8000)
    except OutputError:
        pytest.skip("this file system does not take such a name")
    assert audio.info(path).frames == 10
    path.write_bytes(b"")
    assert expected in refused(path)


# -- writing -------------------------------------------------------------------------------------

TEXTS = {"title": "Größe 日本", "artist": "x", "comment": "seed 7", "software": "wavegen 0.1"}
TEXTS |= {"date": "2026-11-21", "copyright": "CC0"}


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_metadata_come_back(tmp_path, suffix):
    path = audio.write(tmp_path / f"a{suffix}", noise(11), 8000, metadata=TEXTS | {"title": ""})
    assert audio.metadata(path) == {name: TEXTS[name] for name in TEXTS if name != "title"}
    path = audio.write(path, noise(11), 8000, metadata=TEXTS, force=True)
    assert audio.metadata(path) == TEXTS
    np.testing.assert_allclose(audio.read(path)[0], noise(11), atol=2**-16)


@pytest.mark.parametrize(("suffix", "subtype"), [(".wav", "PCM_24"), (".flac", "PCM_24")])
def test_blocks_written_are_the_whole_written(tmp_path, suffix, subtype):
    signal = noise(1001, 1)
    once = audio.write(tmp_path / f"once{suffix}", signal, 8000, subtype=subtype)
    with audio.Writer(tmp_path / f"many{suffix}", 8000, 1, subtype=subtype) as writer:
        for start in range(0, 1001, 77):
            writer.write(signal[:, start : start + 77])
    assert writer.frames == 1001 and writer.path.read_bytes() == once.read_bytes()


def test_clipping_is_counted_and_does_not_wrap(tmp_path):
    signal = np.array([[0.0, 1.5, -1.5, 1.0]], np.float32)
    with audio.Writer(tmp_path / "a.wav", 8000, 1) as writer:
        writer.write(signal)
    assert writer.clipped == 2
    assert audio.read(writer.path)[0].tolist() == [[0.0, 32767 / 32768, -1.0, 32767 / 32768]]


def test_what_is_written_plays_before_it_is_closed(tmp_path):
    with audio.Writer(tmp_path / "a.wav", 8000, 2) as writer:
        for count in (1, 2):
            writer.write(noise(100))
            (name,) = left(tmp_path)
            assert name.startswith(".a.wav.partial-")
            copy = tmp_path / "copy.wav"
            copy.write_bytes((tmp_path / name).read_bytes())
            assert audio.info(copy).frames == 100 * count and not audio.info(copy).warnings
            copy.unlink()
    assert left(tmp_path) == ["a.wav"]


def test_a_long_wav_becomes_rf64_as_it_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(riff, "RIFF_LIMIT", 1000)
    signal = noise(600)
    with audio.Writer(tmp_path / "a.wav", 8000, 2, metadata=TEXTS) as writer:
        for start in range(0, 600, 100):
            writer.write(signal[:, start : start + 100])
    found = audio.info(writer.path)
    assert (found.container, found.frames, found.warnings) == ("RF64", 600, ())
    assert audio.metadata(writer.path) == TEXTS
    independent, _ = soundfile.read(writer.path, dtype="float32")
    np.testing.assert_array_equal(audio.read(writer.path)[0], independent.T)


def test_a_sparse_file_past_four_gib_is_read_by_its_end(tmp_path):
    frames = 2**31 + 10
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(riff.header("PCM_16", 2, 48000, frames, {}))
        file.write(struct.pack("<2h", 100, -100))
        try:
            file.truncate(file.tell() - 4 + 4 * frames)
        except OSError:
            pytest.skip("this file system has no sparse files of that size")
    found = audio.info(path)
    assert (found.container, found.frames, found.warnings) == ("RF64", frames, ())
    first = next(audio.blocks(path, block_frames=10))
    assert first[:, 0].tolist() == [100 / 32768, -100 / 32768] and not first[:, 1:].any()


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_an_error_leaves_nothing_and_an_interrupt_what_exists(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for error in (RuntimeError, SystemExit):
        with pytest.raises(error), audio.Writer(path, 8000, 2) as writer:
            writer.write(noise(100))
            raise error
        assert left(tmp_path) == []
    with pytest.raises(KeyboardInterrupt), audio.Writer(path, 8000, 2) as writer:
        writer.write(noise(100))
        raise KeyboardInterrupt
    assert left(tmp_path) == [path.name] and audio.info(path).frames == 100
    path.unlink()
    with pytest.raises(KeyboardInterrupt), audio.Writer(path, 8000, 2):
        raise KeyboardInterrupt
    assert left(tmp_path) == []


def test_an_interrupt_inside_a_block_leaves_whole_frames(tmp_path, monkeypatch):
    real = os.write

    def cut(handle, data):
        real(handle, data[:333])
        raise KeyboardInterrupt

    path = tmp_path / "a.wav"
    with pytest.raises(KeyboardInterrupt), audio.Writer(path, 8000, 2, subtype="PCM_24") as writer:
        writer.write(noise(50))
        monkeypatch.setattr(draft.os, "write", cut)
        try:
            writer.write(noise(500))
        finally:
            monkeypatch.setattr(draft.os, "write", real)
    assert audio.info(path).frames == 50 and not audio.info(path).warnings
    assert path.stat().st_size == len(riff.header("PCM_24", 2, 8000, 0, {})) + 300


@pytest.mark.parametrize("force", [False, True])
def test_a_failure_at_any_call_leaves_the_old_file(tmp_path, monkeypatch, force):
    """Lets the k-th call to the system fail, for every k, until one run meets no failure."""
    path = tmp_path / "a.wav"
    calls = ["open", "write", "ftruncate", "fsync", "replace" if force else "link", "unlink"]
    for k in range(1, 40):
        count = 0

        def failing(*arguments, real, **options):
            nonlocal count
            count += 1
            if count == k:  # noqa: B023
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        if force:
            path.write_bytes(b"old")
        with monkeypatch.context() as patch:
            for name in calls:
                real = getattr(os, name)
                patch.setattr(
                    draft.os, name, lambda *a, real=real, **o: failing(*a, real=real, **o)
                )
            try:
                audio.write(path, noise(99), 8000, subtype="PCM_24", force=force)
                failed = False
            except OutputError as error:
                failed = True
                assert str(error).startswith(f"{path}: cannot be written (No space left")
        if failed:
            assert left(tmp_path) == (["a.wav"] if force else [])
            assert not force or path.read_bytes() == b"old"
        else:
            assert audio.info(path).frames == 99
            for rest in tmp_path.iterdir():  # the second name, if its removal failed
                rest.unlink()
        if count < k:
            break
    assert 6 < k < 39 and not failed


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_full_disk_leaves_nothing(tmp_path, suffix):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / f"a{suffix}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, hard))
    try:
        with pytest.raises(OutputError) as caught, audio.Writer(path, 8000, 2) as writer:
            for _ in range(40):
                writer.write(noise(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "; free some space" in str(caught.value)
    assert left(tmp_path) == []


def test_an_existing_file_is_refused_before_and_after_drawing(tmp_path):
    path = audio.write(tmp_path / "a.wav", noise(10), 8000)
    before = path.read_bytes()
    assert "--force" in refused(path, lambda p: audio.Writer(p, 8000, 2), OutputError)
    late = tmp_path / "b.wav"
    with pytest.raises(OutputError, match="exists"), audio.Writer(late, 8000, 2) as writer:
        writer.write(noise(10))
        late.write_bytes(b"another's")
    assert late.read_bytes() == b"another's" and path.read_bytes() == before
    audio.write(path, noise(20), 8000, force=True)
    assert audio.info(path).frames == 20 and left(tmp_path) == ["a.wav", "b.wav"]


def test_without_links_the_file_is_renamed(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(draft.os, "link", unsupported)
    audio.write(tmp_path / "a.wav", noise(10), 8000)
    refused(tmp_path / "a.wav", lambda p: audio.write(p, noise(10), 8000), OutputError)
    assert left(tmp_path) == ["a.wav"]


def test_folders_and_devices_are_never_replaced(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").write_bytes(b"")
    paths = [tmp_path / "folder.wav", tmp_path / "file" / "a.wav", tmp_path / ("n" * 300 + ".wav")]
    if os.name == "posix":
        os.symlink("/dev/null", tmp_path / "null.wav")
        paths.append(tmp_path / "null.wav")
    for path in paths:
        refused(path, lambda p: audio.Writer(p, 8000, 2, force=True), OutputError)
    assert audio.write(tmp_path / "new" / "deep" / "a.wav", noise(10), 8000).exists()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp3", {}),
        ("a.flac", {"subtype": "FLOAT"}),
        ("a.wav", {"subtype": "PCM_U8"}),
        ("a.wav", {"metadata": {"mood": "blue"}}),
        ("a.wav", {"metadata": {"title": "a\0b"}}),
        ("a.wav", {"sample_rate": 0}),
        ("a.flac", {"channels": 9}),
    ],
)
def test_what_is_not_written_is_refused(tmp_path, name, options):
    with pytest.raises(UsageError):
        audio.Writer(tmp_path / name, **({"sample_rate": 8000, "channels": 1} | options))
    assert left(tmp_path) == []


def test_a_signal_that_does_not_fit_is_refused(tmp_path):
    for signal in (noise(10, 1), noise(10)[0], np.full((2, 3), np.nan, np.float32)):
        with pytest.raises(Error), audio.Writer(tmp_path / "a.wav", 8000, 2) as writer:
            writer.write(signal)
    with audio.Writer(tmp_path / "a.wav", 8000, 2) as writer:
        writer.write(noise(5))
    with pytest.raises(OutputError, match="closed"):
        writer.write(noise(5))
    assert writer.close() == tmp_path / "a.wav" and left(tmp_path) == ["a.wav"]
