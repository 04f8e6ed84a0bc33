import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from wavegen import audio, cache
from wavegen import entry as entries
from wavegen.cache import Cache
from wavegen.entry import HEADER, PAGE_FRAMES, open_entry, write_draft
from wavegen.errors import AudioError, OutputError
from wavegen.levels import Meter

RATE = 8000


def tone(seconds=1.0, f0_hz=200.0, level=0.5, rate=RATE):
    time_s = np.arange(int(seconds * rate)) / rate
    return level * np.sin(2 * np.pi * f0_hz * time_s)


def save(path, signal, rate=RATE, subtype="PCM_16", age_seconds=60):
    """Writes a file that is old enough for the cache to trust its time stamp."""
    frames = np.asarray(signal).T
    if subtype == "PCM_16":  # rounded here, for libsndfile rounds by container
        frames = np.round(frames * 32767).astype(np.int16)
    soundfile.write(path, frames, rate, subtype)
    stamp = time.time() - age_seconds
    os.utime(path, (stamp, stamp))
    return path


def entry_of(store, path, rate=RATE, channels=1):
    found = store.find(path, rate, channels)
    return found or store.decode(path, audio.info(path), rate, channels)


@pytest.fixture(autouse=True)
def no_small_files(monkeypatch):
    monkeypatch.setattr(cache, "SMALL", 0)


@pytest.fixture
def store(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def no_decoding(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr(audio, "blocks", refuse)


def drafts(store):
    return list((store.folder / "temporary").iterdir())


def test_the_samples_are_those_of_the_recording(store, tmp_path):
    left, right = tone(3.0), tone(3.0, 310.0, 0.25)
    entry = entry_of(store, save(tmp_path / "a.wav", [left, right]), channels=2)
    wanted = (np.round(np.stack([left, right]) * 32767) / 32768).astype(np.float32)
    assert entry.samples == 3 * RATE and entry.channels == 2
    np.testing.assert_array_equal(entry.read(0, entry.samples), wanted)
    part = entry.read(17_000, 17_900)
    assert part.dtype == np.float32 and part.flags.c_contiguous and part.flags.writeable
    np.testing.assert_array_equal(part, entry.read(0, entry.samples)[:, 17_000:17_900])
    assert entry.read(5, 5).shape == (2, 0)


def test_a_recording_is_decoded_once(store, tmp_path, no_decoding):
    path = save(tmp_path / "a.wav", tone())
    first = entry_of(store, path)
    no_decoding()
    assert Cache(store.folder).find(path, RATE, 1) == first
    moved = path.rename(tmp_path / "moved.wav")
    assert entry_of(store, moved) == first
    assert not drafts(store)


def test_content_is_hashed_once(store, tmp_path, monkeypatch):
    path = save(tmp_path / "a.wav", tone())
    first = entry_of(store, path)
    monkeypatch.setattr(cache, "_content_key", None)  # calling it would fail
    assert store.find(path, RATE, 1) == first
    assert store.find(path, 2 * RATE, 1) is None
    assert entry_of(store, path, rate=2 * RATE).key == first.key


def test_changed_content_is_seen(store, tmp_path):
    path = save(tmp_path / "a.wav", tone())
    first = entry_of(store, path)
    save(path, tone(f0_hz=300.0), age_seconds=30)
    assert store.find(path, RATE, 1) is None
    assert entry_of(store, path).key != first.key


def test_small_files_need_no_notes(store, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SMALL", 10**6)
    path = save(tmp_path / "a.wav", tone(), age_seconds=0)
    first = entry_of(store, path)
    assert store.find(path, RATE, 1) == first
    save(path, tone(f0_hz=300.0), age_seconds=0)
    assert store.find(path, RATE, 1) is None
    assert not (store.folder / "paths").exists()


def test_a_file_written_just_now_is_not_trusted_to_stay(store, tmp_path):
    path = save(tmp_path / "a.wav", tone(), age_seconds=0)
    entry_of(store, path)
    assert store.find(path, RATE, 1) is None


def test_rates_and_channels_have_their_own_entries(store, tmp_path):
    path = save(tmp_path / "a.wav", [tone(), tone(level=0.1)])
    kinds = [entry_of(store, path, rate, n) for rate in (RATE, 2 * RATE) for n in (1, 2)]
    assert len({entry.path for entry in kinds}) == 4 and len({entry.key for entry in kinds}) == 1
    assert [entry.samples for entry in kinds] == [RATE, RATE, 2 * RATE, 2 * RATE]
    assert kinds[2].source_sample_rate == RATE and kinds[2].source_channels == 2
    np.testing.assert_allclose(kinds[0].levels.peak, 0.3, atol=1e-3)


def test_the_same_sound_in_another_container_has_the_same_digest(store, tmp_path):
    wav, flac = save(tmp_path / "a.wav", tone()), save(tmp_path / "b.flac", tone())
    one, other = entry_of(store, wav), entry_of(store, flac)
    assert one.key != other.key and one.digest == other.digest


def damage_cut(data):
    return data[:-3]


def damage_empty(data):
    return b""


def damage_zeros(data):
    return bytes(len(data))


def damage_longer(data):
    return data + b"\0\0\0\0"


def damage_header(data):
    return data.replace(b'"samples": 8000', b'"samples": 7999')


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_empty, damage_zeros, damage_longer, damage_header]
)
def test_a_damaged_entry_is_decoded_anew(store, tmp_path, damage):
    path = save(tmp_path / "a.wav", tone())
    first = entry_of(store, path)
    data = Path(first.path).read_bytes()
    assert damage(data) != data
    Path(first.path).write_bytes(damage(data))
    assert store.find(path, RATE, 1) is None
    assert entry_of(store, path) == first
    assert Path(first.path).read_bytes() == data


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"identity": 1}', "\0" * 40], ids=range(5))
def test_a_damaged_note_is_written_anew(store, tmp_path, text):
    path = save(tmp_path / "a.wav", tone())
    first = entry_of(store, path)
    (note,) = (store.folder / "paths").rglob("*.json")
    note.write_text(text)
    assert entry_of(store, path) == first
    assert json.loads(note.read_text())["key"] == first.key


def test_an_entry_cut_short_while_in_use_is_an_error(store, tmp_path):
    entry = entry_of(store, save(tmp_path / "a.wav", tone()))
    os.truncate(entry.path, HEADER + 400)
    assert entry.read(0, 100).shape == (1, 100)
    with pytest.raises(OutputError, match="cut short.*start again"):
        entry.read(50, 150)
    os.unlink(entry.path)
    with pytest.raises(OutputError, match="no such file"):
        entry.read(0, 100)


@pytest.mark.skipif(sys.platform != "linux", reason="holes depend on the file system")
def test_silence_takes_no_disk(store, tmp_path):
    silence = np.zeros(80 * PAGE_FRAMES)
    signal = np.concatenate([silence, tone(), silence])
    entry = entry_of(store, save(tmp_path / "a.wav", signal))
    status = os.stat(entry.path)
    assert status.st_size == HEADER + 4 * len(signal)
    assert status.st_blocks * 512 < status.st_size / 10
    back = entry.read(0, entry.samples)[0]
    np.testing.assert_allclose(back, signal, atol=2**-14)
    assert entry.levels.silent == pytest.approx(1 - RATE / len(signal), abs=1e-3)


def test_channels_that_cancel_are_told_and_the_left_one_taken(store, tmp_path):
    left = tone(level=0.4)
    entry = entry_of(store, save(tmp_path / "a.wav", [left, -left]))
    assert entry.antiphase
    np.testing.assert_allclose(entry.read(0, entry.samples)[0], left, atol=2**-14)
    stereo = entry_of(store, tmp_path / "a.wav", channels=2)
    quiet = entry_of(store, save(tmp_path / "b.wav", [left * 1e-3, left * 1e-3]))
    assert not stereo.antiphase and not quiet.antiphase
    np.testing.assert_allclose(quiet.read(0, RATE)[0], left * 1e-3, atol=2**-14)
    assert not drafts(store)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 40_000), max_size=6), st.integers(1, 2), st.integers(0, 9))
def test_blocks_of_any_length_make_the_same_entry(tmp_path_factory, lengths, channels, seed):
    folder = tmp_path_factory.mktemp("drafts")
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((channels, sum(lengths))).astype(np.float32)
    if lengths:
        signal[:, : lengths[0]] = 0
    ends = np.cumsum(lengths)[:-1] if lengths else []
    levels, digest = write_draft(folder / "a", np.split(signal, ends, axis=1), channels)
    assert (levels, digest) == write_draft(folder / "b", [signal], channels)
    data = (folder / "a").read_bytes()
    assert data[HEADER:] == signal.T.tobytes() and not any(data[:HEADER])
    assert levels.samples == sum(lengths)


def test_levels_are_those_of_the_whole():
    signal = np.array([[0.5, -0.25, 0.0, 1.0], [0.1, 0.1, 0.00005, -1.0]], np.float32)
    meter = Meter(2)
    for part in np.split(signal, [1, 3], axis=1):
        meter.add(part)
    levels = meter.levels()
    assert levels.samples == 4 and levels.peak == 1.0
    assert levels.lows == (-0.25, -1.0) and levels.highs == (1.0, signal[1, 0])
    np.testing.assert_allclose(levels.means, signal.mean(1), atol=1e-6)
    assert levels.rms == pytest.approx(np.sqrt(np.mean(signal**2)), abs=1e-6)
    assert levels.clipped == 2 / 8 and levels.silent == 1 / 4
    nothing = Meter(1).levels()
    assert nothing.samples == 0 and nothing.peak == 0.0


def test_non_finite_samples_are_refused(store, tmp_path):
    signal = tone()
    signal[5000] = np.nan
    path = save(tmp_path / "a.wav", signal, subtype="FLOAT")
    with pytest.raises(AudioError, match="a.wav"):
        entry_of(store, path)
    assert not drafts(store) and not list(store.folder.rglob("*.f32"))


def test_a_disk_that_fails_while_reading_is_not_the_caches_fault(store, tmp_path, monkeypatch):
    def failing(*_, **__):
        yield np.zeros((1, 10), np.float32)
        raise OSError(5, "Input/output error")

    path = save(tmp_path / "a.wav", tone())
    monkeypatch.setattr(audio, "blocks", failing)
    with pytest.raises(AudioError, match="a.wav: input/output error"):
        entry_of(store, path)
    assert not drafts(store)


def test_a_recording_that_changes_while_it_is_read_is_refused(store, tmp_path, monkeypatch):
    path, real = save(tmp_path / "a.wav", tone()), audio.blocks

    def growing(*arguments, **options):
        yield from real(*arguments, **options)
        with open(path, "ab") as file:
            file.write(b"more")

    monkeypatch.setattr(audio, "blocks", growing)
    with pytest.raises(AudioError, match="changed while it was read"):
        entry_of(store, path)
    assert not drafts(store) and not list(store.folder.rglob("*.f32"))


def test_what_is_no_regular_file_is_refused(store, tmp_path):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "link.wav").symlink_to(tmp_path / "nowhere.wav")
    with pytest.raises(AudioError, match="no such file"):
        store.find(tmp_path / "a.wav", RATE, 1)
    with pytest.raises(AudioError, match="broken link"):
        store.find(tmp_path / "link.wav", RATE, 1)
    names = ["folder.wav"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        names.append("pipe.wav")
    for name in names:
        with pytest.raises(AudioError, match="not a regular file"):
            store.find(tmp_path / name, RATE, 1)


def test_a_failure_at_any_write_leaves_nothing_half_done(store, tmp_path, monkeypatch):
    """Fails the 1st, 2nd, ... call that touches the disk until none is left to fail."""
    path = save(tmp_path / "a.wav", tone())
    info = audio.info(path)
    for number in itertools.count():
        calls = itertools.count()

        def failing(real, calls=calls, number=number):
            def call(*arguments, **options):
                if next(calls) == number:
                    raise OSError(28, "No space left on device")
                return real(*arguments, **options)

            return call

        entry = None
        with monkeypatch.context() as patch:
            for name in ("fsync", "replace"):
                patch.setattr(os, name, failing(getattr(os, name)))
            patch.setattr(entries, "open", failing(open), raising=False)
            try:
                entry = store.decode(path, info, RATE, 1)
            except OutputError as error:
                assert "no space left" in str(error) and "WAVEGEN_CACHE" in str(error)
                assert str(store.folder) in str(error)
        assert not drafts(store)
        if entry is None:
            assert not list(store.folder.rglob("*.f32"))
            continue
        assert open_entry(entry.path) == entry
        if next(calls) <= number:  # nothing was left to fail
            break
        os.unlink(entry.path)
    assert number >= 4


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="file.cache: .*WAVEGEN_CACHE") as caught:
        Cache()
    assert "\n" not in str(caught.value)


def test_the_folder_follows_the_system(monkeypatch, tmp_path):
    monkeypatch.delenv("WAVEGEN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache.default_folder() == tmp_path / "wavegen"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_folder() == Path.home() / ".cache" / "wavegen"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.default_folder() == Path.home() / "Library" / "Caches" / "wavegen"
    monkeypatch.setattr(sys, "platform", "win32")
    assert cache.default_folder() == tmp_path / "local" / "wavegen"
    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "mine"))
    assert cache.default_folder() == tmp_path / "mine"


def test_drafts_of_killed_processes_are_cleared_after_a_day(store):
    old, young = store.folder / "temporary" / "1-old", store.folder / "temporary" / "2-young"
    for path, age in ((old, 90_000), (young, 80_000)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    Cache(store.folder)
    assert drafts(store) == [young]


CHILD = """
import sys
from wavegen import audio, cache
path, folder = sys.argv[1:]
store = cache.Cache(folder)
print("ready", flush=True)
sys.stdin.readline()
entry = store.decode(path, audio.info(path), 8000, 1)
print(entry.samples, entry.digest, float(entry.read(0, entry.samples).sum()))
"""


@contextlib.contextmanager
def decoding(path, folder):
    """Runs a process that decodes a recording into a cache; yields it about to begin."""
    command = [sys.executable, "-c", CHILD, str(path), str(folder)]
    root, pipe = Path(__file__).parents[1], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) as child:
        try:
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


def go(child):
    child.stdin.write("go\n")
    child.stdin.flush()


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path, monkeypatch):
    path = save(tmp_path / "a.wav", tone(70.0))  # large enough for a note
    now = time.time()
    hours = iter(range(0, -(10**6), -3600))
    monkeypatch.setattr(time, "time", lambda: now + next(hours))
    first = Cache(tmp_path / "cache").decode(path, audio.info(path), RATE, 1)
    draft = tmp_path / "cache/temporary/1-abc"  # another process is writing it
    draft.touch()
    assert Cache(tmp_path / "cache").find(path, RATE, 1) in (None, first)
    assert Cache(tmp_path / "cache").decode(path, audio.info(path), RATE, 1) == first
    assert draft.exists()


def test_processes_decode_the_same_recording_at_once(tmp_path):
    path, folder = save(tmp_path / "a.wav", tone(30.0)), tmp_path / "cache"
    with decoding(path, folder) as one, decoding(path, folder) as other:
        go(one)
        go(other)
        said = [child.stdout.readline() for child in (one, other)]
        assert [child.wait(60) for child in (one, other)] == [0, 0]
    assert said[0] == said[1] and said[0].startswith(f"{30 * RATE} ")
    assert len(list(folder.rglob("*.f32"))) == 1 and not drafts(Cache(folder))


def test_a_kill_at_any_moment_leaves_no_half_entry(tmp_path):
    path, folder = save(tmp_path / "a.wav", tone(60.0)), tmp_path / "cache"
    with decoding(path, folder) as child:
        go(child)
        while not list((folder / "temporary").iterdir()) and child.poll() is None:
            pass  # until the first draft is there, or it was faster than we are
        child.kill()
    for found in folder.rglob("*.f32"):
        assert open_entry(str(found)) is not None
    entry = entry_of(Cache(folder), path)
    assert entry.samples == 60 * RATE and entry == open_entry(entry.path)
