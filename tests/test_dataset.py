import os
import shutil
import time

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from wavegen import dataset
from wavegen.errors import AudioError, OutputError, UsageError

RATE = 8000


def tone(seconds=1.0, f0_hz=200.0, level=0.5, rate=RATE):
    time_s = np.arange(int(seconds * rate)) / rate
    return level * np.sin(2 * np.pi * f0_hz * time_s)


def save(path, signal, rate=RATE, subtype="PCM_16"):
    frames = np.asarray(signal).T
    if subtype == "PCM_16":  # rounded here, for libsndfile rounds by container
        frames = np.round(frames * 32767).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, frames, rate, subtype)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "recordings").mkdir()
    return tmp_path / "recordings"


@pytest.fixture
def load(tmp_path):
    def function(paths, **options):
        options = {"sample_rate": RATE, "channels": 1, "cache": tmp_path / "cache"} | options
        return dataset.load(paths, **options)

    return function


def names(paths):
    return [path.name for path in paths]


def reasons(data):
    return {path.name: reason for path, reason in data.skipped}


def test_a_folder_of_mixed_rates_and_channels_becomes_one_body(folder, load):
    save(folder / "a.wav", tone(2.0))
    save(folder / "b" / "stereo.WAV", [tone(3.0, rate=44100), tone(3.0, 99, rate=44100)], 44100)
    save(folder / "c.flac", tone(1.0, 500, rate=4000), 4000)
    (folder / "notes.txt").write_text("not sound, and nobody says so")
    for channels in (1, 2):
        data = load(folder, channels=channels)
        assert names(r.path for r in data.recordings) == ["a.wav", "stereo.WAV", "c.flac"]
        assert [r.samples for r in data.recordings] == [2 * RATE, 3 * RATE, RATE]
        cut = data.signal(1, 100, 400)
        assert cut.shape == (channels, 300) and cut.dtype == np.float32
        wanted = tone(3.0) if channels == 2 else (tone(3.0) + tone(3.0, 99)) / 2
        np.testing.assert_allclose(cut[0], wanted[100:400], atol=2e-3)
    assert data.files == 3 and not data.skipped
    assert "3 recordings, 6.0 s; 2 resampled to 8000 Hz" in data.summary()
    assert data.warnings == [
        f"{folder / 'c.flac'}: recorded at 4000 Hz: it has nothing above 2000 Hz"
    ]


def test_every_bad_file_is_named_with_its_reason(folder, load):
    save(folder / "good.wav", tone(3.0))
    save(folder / "short.wav", tone(0.19))
    save(folder / "almost.wav", tone(0.499))
    save(folder / "silent.wav", np.zeros(RATE))
    save(
        folder / "faint.wav",
        np.random.default_rng(0).integers(-1, 2, RATE) / 32768,
        subtype="FLOAT",
    )
    save(folder / "constant.wav", np.full(RATE, 0.3))
    (folder / "text.wav").write_text("hello " * 100)
    (folder / "._good.wav").write_bytes(b"\0\x05\x16\x07")
    (folder / ".hidden.wav").write_bytes(b"left alone")
    (folder / ".later.wav.icloud").write_bytes(b"bplist00")
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.wav")
    seen = []
    data = load(folder, progress=lambda *call: seen.append(call))
    found = reasons(data)
    assert found.pop("text.wav")
    if hasattr(os, "mkfifo"):
        assert found.pop("pipe.wav") == "not a regular file"
    assert found == {
        "short.wav": "too short (0.1 s; need 0.5 s)",
        "almost.wav": "too short (0.4 s; need 0.5 s)",
        "silent.wav": "silent (peak below -80 dB)",
        "faint.wav": "silent (peak below -80 dB)",
        "constant.wav": "silent (peak below -80 dB)",
        "._good.wav": "AppleDouble data of macOS, not sound; delete it",
        ".later.wav.icloud": "still in iCloud; download it first",
        "gone.wav": "broken link",
    }
    assert data.files == len(data.skipped) + 1
    assert f"{len(data.skipped)} of {data.files} files skipped" in data.summary()
    tried = data.files - 2
    assert [call[:2] for call in seen] == [(n + 1, tried) for n in range(tried)]
    assert sorted(call[2] for call in seen) == [call[2] for call in seen]


def test_strict_makes_the_first_bad_file_an_error(folder, load):
    save(folder / "a.wav", tone())
    save(folder / "b.wav", tone(0.1))
    with pytest.raises(AudioError, match=r"b\.wav: too short \(0\.1 s; need 0\.5 s\)"):
        load(folder, strict=True)
    (folder / "._a.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"\._a\.wav: AppleDouble"):
        load(folder, strict=True)


def test_nothing_usable_is_told_in_one_line(folder, load):
    with pytest.raises(AudioError, match="recordings: no recordings found; put WAV files there"):
        load(folder)
    (folder / "song.m4a").write_bytes(b"x")
    with pytest.raises(AudioError, match=r"\(only 1 other file: \.m4a\); put WAV files there"):
        load(folder)
    for name in "abc":
        save(folder / f"{name}.wav", np.zeros(RATE))
    told = r"recordings: no usable audio: 3 of 3 files skipped, first: .*a\.wav: silent"
    with pytest.raises(AudioError, match=told):
        load(folder)
    with pytest.raises(AudioError, match="nowhere: no such file or folder"):
        load(folder / "nowhere")
    with pytest.raises(UsageError, match="no recordings named"):
        load([])


@pytest.mark.parametrize("bad", [{"heldout": 0.6}, {"heldout": -0.1}, {"gap_seconds": -1}])
def test_shares_out_of_range_are_refused(folder, load, bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        load(folder, **bad)


def test_the_same_sound_counts_once(folder, load):
    first = save(folder / "a.wav", tone(2.0))
    shutil.copy(first, folder / "copy.wav")
    save(folder / "other.flac", tone(2.0))
    (folder / "linked.wav").symlink_to(first)
    save(folder / "z.wav", tone(2.0, 300))
    data = load([folder, folder, first])
    assert names(r.path for r in data.recordings) == ["a.wav", "z.wav"]
    assert [(one.name, same) for one, same in data.duplicates] == [
        ("copy.wav", first),
        ("linked.wav", first),
        ("other.flac", first),
    ]
    assert data.files == 5 and "3 duplicates left out" in data.summary()


def test_links_that_go_round_in_circles_end(folder, load):
    save(folder / "deep" / "er" / "a.wav", tone())
    (folder / "deep" / "er" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "self.wav").symlink_to(folder / "self.wav")
    save(folder.parent / "elsewhere" / "b.wav", tone(f0_hz=300))
    (folder / "over.wav").symlink_to(folder.parent / "elsewhere")
    data = load(folder)
    assert names(r.path for r in data.recordings) == ["a.wav", "b.wav"]
    assert names(path for path, _ in data.skipped) == ["self.wav"]


@pytest.mark.parametrize(
    "name",
    [
        "Übung №3 — 夜曲.wav",
        " two  spaces.wav",
        "-rf.wav",
        "line\nbreak.wav",
        "é" * 125 + ".wav",
        os.fsdecode(b"caf\xe9.wav"),
    ],
    ids=ascii,
)
def test_names_of_every_kind(folder, load, name):
    try:
        with open(folder / name, "wb") as file:
            soundfile.write(file, np.stack([tone() + 0.2]).T, RATE, "FLOAT", format="WAV")
    except OSError:
        pytest.skip("this file system does not take such a name")
    data = load(folder)
    assert names(r.path for r in data.recordings) == [name]
    (warning,) = data.warnings
    assert "\n" not in warning and warning.encode()
    with pytest.raises(AudioError) as caught:
        load(folder, minimum_seconds=9.0)
    assert "\n" not in str(caught.value) and str(caught.value).encode()
    again = load(folder, minimum_seconds=0.0)
    assert again.fingerprint == data.fingerprint


def test_what_recordings_need_is_done_and_told(folder, load):
    save(folder / "clipped.wav", np.clip(tone(level=3.0), -1, 1))
    save(folder / "dc.wav", tone(level=0.2) + 0.5)
    save(folder / "loud.wav", 4 * tone(f0_hz=210), subtype="FLOAT")
    save(folder / "plain.wav", tone(level=0.2, f0_hz=100))
    save(folder / "stereo.wav", [tone(f0_hz=330), -tone(f0_hz=330)])
    data = load(folder)
    assert [warning.removeprefix(f"{folder}{os.sep}") for warning in data.warnings] == [
        "clipped.wav: clipped (75.0% of its samples)",
        "dc.wav: DC offset of 0.50 taken off",
        "loud.wav: peaks at 2, beyond full scale; scaled down to 1",
        "stereo.wav: its channels cancel each other in mono; only the left one is used",
    ]
    whole = {r.path.stem: data.signal(n, 0, RATE) for n, r in enumerate(data.recordings)}
    np.testing.assert_allclose(whole["dc"][0], tone(level=0.2), atol=1e-4)
    np.testing.assert_allclose(whole["loud"][0], tone(f0_hz=210, level=1.0), atol=1e-6)
    np.testing.assert_allclose(whole["plain"][0], tone(level=0.2, f0_hz=100), atol=1e-4)
    np.testing.assert_allclose(whole["stereo"][0], tone(f0_hz=330), atol=1e-4)
    for number, recording in enumerate(data.recordings):
        signal = data.signal(number, 0, RATE)
        assert np.abs(signal).max() <= 1
        assert recording.peak == pytest.approx(np.abs(signal).max(), abs=1e-6)
    again = load(folder)
    assert again.warnings == data.warnings  # also when nothing is decoded any more


def test_absurd_peaks_are_scaled_within_full_scale(folder, load):
    save(folder / "huge.wav", 1e30 * tone(), subtype="FLOAT")
    try:
        data = load(folder)
    except AudioError as error:
        assert "huge.wav" in str(error)  # reading may refuse it, but not hand it on
    else:
        assert np.abs(data.signal(0, 0, RATE)).max() == pytest.approx(1.0)


LENGTHS = st.lists(st.integers(50, 100_000), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Returns a function that makes recordings of given lengths out of one entry."""
    import dataclasses

    from wavegen.recording import Recording

    folder = tmp_path_factory.mktemp("entry")
    save(folder / "a.wav", tone())
    entry = dataset.load(folder, sample_rate=RATE, channels=1, cache=folder / "c").recordings[0]

    def make(lengths):
        entries = [
            dataclasses.replace(entry.entry, samples=n, key=f"{i}-{n}")
            for i, n in enumerate(lengths)
        ]
        return [Recording(folder / "a.wav", one, (), 1.0, 0.5, ()) for one in entries]

    return make


@settings(max_examples=150)
@given(LENGTHS, st.floats(0, 0.5), st.floats(0, 3))
def test_the_split_never_overlaps(recordings, lengths, heldout, gap_seconds):
    data = dataset.Dataset(recordings(lengths), RATE, 1, heldout, gap_seconds)
    train = {number: (start, stop) for number, start, stop in data.segments("train")}
    held = {number: (start, stop) for number, start, stop in data.segments("heldout")}
    assert set(train) == set(range(len(lengths))) and set(held) <= set(train)
    for number, samples in enumerate(lengths):
        start, stop = train[number]
        assert start == 0 < stop <= samples
        if number in held:
            begin, end = held[number]
            assert end == samples and stop <= begin
            assert end - begin == int(heldout * samples) >= 0.25 * RATE
            gap = begin - stop
            assert gap == min(int(gap_seconds * RATE), int(0.05 * samples))
        else:
            assert stop == samples and (int(heldout * samples) < 0.25 * RATE)
    assert data.undivided == (len(lengths) - len(held) if heldout else 0)
    total = sum(lengths) / RATE
    assert data.seconds("heldout") == pytest.approx(sum(b - a for a, b in held.values()) / RATE)
    assert data.seconds("train") + data.seconds("heldout") <= total + 1e-9


def test_the_fingerprint_tells_what_changed(recordings):
    def fingerprint(lengths, rate=RATE, channels=1, heldout=0.1, gap=1.0):
        return dataset.Dataset(recordings(lengths), rate, channels, heldout, gap).fingerprint

    base = fingerprint([40_000, 50_000])
    assert base == fingerprint([40_000, 50_000])
    others = [
        fingerprint([40_000]),
        fingerprint([50_000, 40_000]),
        fingerprint([40_000, 50_000], rate=2 * RATE),
        fingerprint([40_000, 50_000], channels=2),
        fingerprint([40_000, 50_000], heldout=0.2),
        fingerprint([40_000, 50_000], gap=0.1),
    ]
    assert len({base, *others}) == 7


def test_added_and_removed_recordings_can_be_counted(folder, load):
    one = save(folder / "a.wav", tone())
    save(folder / "b.wav", tone(f0_hz=300))
    before = load(folder)
    one.rename(folder / "renamed.wav")
    assert load(folder).keys == before.keys
    save(folder / "c.wav", tone(f0_hz=400))
    (folder / "b.wav").unlink()
    after = load(folder)
    assert len(after.keys - before.keys) == 1 and len(before.keys - after.keys) == 1
    assert after.fingerprint != before.fingerprint


def test_short_recordings_are_not_divided(folder, load):
    save(folder / "a.wav", tone(1.0))
    data = load(folder)
    assert data.seconds("heldout") == 0 and data.seconds("train") == 1.0 and data.undivided == 1
    assert data.segments("heldout") == [] and "0.0 s held out" in data.summary()
    with pytest.raises(UsageError, match="part='all' must be one of train, heldout"):
        data.segments("all")


def test_a_cache_that_is_full_is_not_a_bad_recording(folder, load, monkeypatch):
    save(folder / "a.wav", tone())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left on device.*WAVEGEN_CACHE"):
        load(folder)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_skipped(folder, load):
    save(folder / "a.wav", tone())
    save(folder / "closed.wav", tone(2.0)).chmod(0)
    save(folder / "inner" / "b.wav", tone(3.0))
    (folder / "inner").chmod(0)
    try:
        found = reasons(load(folder))
        assert set(found) == {"closed.wav", "inner"}
        assert all(reason.startswith("permission denied") for reason in found.values())
    finally:
        (folder / "inner").chmod(0o700)


@pytest.mark.parametrize("small", [0, 10**6])
def test_a_second_look_at_many_files_decodes_none_of_them(folder, load, monkeypatch, small):
    monkeypatch.setattr("wavegen.cache.SMALL", small)
    stamp = time.time() - 60
    for number in range(40):
        path = save(folder / f"{number}.wav", tone(f0_hz=100 + number))
        os.utime(path, (stamp, stamp))
    first = load(folder)
    monkeypatch.setattr("wavegen.audio.blocks", None)
    monkeypatch.setattr("wavegen.audio.info", None)
    again = load(folder)
    assert again.fingerprint == first.fingerprint and len(again.recordings) == 40
