import io

import numpy as np
import pytest
import soundfile
import soxr
from conftest import tune

from wavegen.fingerprint import HOP, RATE, Fingerprinter, matches

NATIVE = 22050


def fingerprint(sound, rate=NATIVE, piece=10000):
    printer = Fingerprinter(rate)
    for start in range(0, sound.shape[1], piece):
        printer.add(np.ascontiguousarray(sound[:, start : start + piece], np.float32))
    return printer.finish()


def as_mp3(sound):
    file = io.BytesIO()
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": 0.8}
    soundfile.write(file, sound.T, NATIVE, **options)
    file.seek(0)
    return soundfile.read(file, always_2d=True)[0].T


@pytest.fixture(scope="module")
def performance():
    return tune(8.0, NATIVE, 2, seed=5)


CHANGES = {
    "rate": lambda sound: (soxr.resample(sound.T, NATIVE, 48000).T, 48000),
    "level": lambda sound: (0.1 * sound, NATIVE),
    "mono": lambda sound: (sound.mean(0, keepdims=True), NATIVE),
    "phase": lambda sound: (sound * [[1], [-1]], NATIVE),
    "offset": lambda sound: (sound + 0.2, NATIVE),
    "mp3": lambda sound: (as_mp3(sound), NATIVE),
    "clipped": lambda sound: (np.clip(4 * sound, -1, 1), NATIVE),
    "faint": lambda sound: (np.rint(327.68 * sound) / 32768, NATIVE),  # 40 dB lower, in 16 bits
    "noisy": lambda sound: (
        sound + 0.02 * sound.std() * np.random.default_rng(1).standard_normal(sound.shape),
        NATIVE,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_performance_is_found_again(performance, change):
    sound, rate = CHANGES[change](performance)
    (match,) = matches([fingerprint(performance), fingerprint(sound, rate)])
    assert (match.first, match.second) == (0, 1)
    assert match.share > 0.8 and abs(match.shift) < 0.1


@pytest.mark.parametrize("signs", [(1, -1), (-1, 1), (-1, -1)])
def test_an_inverted_channel_hides_nothing_however_wide_the_stereo(signs):
    wide = np.concatenate([tune(8.0, NATIVE, seed=5), tune(8.0, NATIVE, seed=6)])
    assert abs(np.corrcoef(wide)[0, 1]) < 0.5
    turned = (wide * np.array(signs)[:, None])[:, round(2.1 * NATIVE) :]
    (match,) = matches([fingerprint(wide), fingerprint(turned)])
    assert match.share > 0.8 and match.shift == pytest.approx(2.1, abs=2 * HOP / RATE)


def test_a_cut_is_found_where_it_is(performance):
    cut = performance[:, round(2.7 * NATIVE) : round(6.2 * NATIVE)]
    (match,) = matches([fingerprint(performance), fingerprint(cut)])
    assert match.shift == pytest.approx(2.7, abs=2 * HOP / RATE) and match.share > 0.8
    (match,) = matches([fingerprint(cut), fingerprint(performance)])
    assert match.shift == pytest.approx(-2.7, abs=2 * HOP / RATE)


@pytest.mark.slow
def test_other_performances_are_not_the_same(performance):
    others = [tune(8.0, NATIVE, 2, seed=seed) for seed in range(6, 12)]  # the same notes and beats
    faster = soxr.resample(performance.T, NATIVE, round(NATIVE / 1.06)).T
    noises = [np.random.default_rng(n).standard_normal((1, 4 * NATIVE)) for n in (1, 2)]
    silence = np.zeros((1, 4 * NATIVE))
    sounds = [performance, *others, faster, *noises, silence, silence]
    assert matches([fingerprint(sound) for sound in sounds]) == []


def at_the_floor(kind, peak, seed):
    """Returns a take of hardly anything: `peak` steps of 16 bits, and noise of about one."""
    rng = np.random.default_rng(seed)
    time = np.arange(8 * NATIVE)[None] / NATIVE
    start = rng.random()
    sound = {
        "dither": lambda: rng.standard_normal(time.shape) / 4,
        "hum": lambda: sum(np.sin(2 * np.pi * 50 * k * (time + start)) / k for k in range(1, 40)),
        "tone": lambda: np.sin(2 * np.pi * 1000 * (time + start)),
        "music": lambda: tune(8.0, NATIVE, seed=seed) / 0.3,
    }[kind]()
    noise = rng.random(time.shape) - rng.random(time.shape)
    return np.rint(peak * sound + noise) / 32768


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dither", "hum", "tone", "music"])
def test_takes_at_the_floor_of_16_bits_are_not_the_same(kind):
    takes = [(peak, seed) for seed in (1, 2, 3) for peak in (0.5, 1, 2, 4, 8, 16)]
    found = matches([fingerprint(at_the_floor(kind, *take)) for take in takes])
    assert all(takes[match.first][1] == takes[match.second][1] for match in found)


def test_pieces_do_not_matter(performance):
    whole = fingerprint(performance, piece=performance.shape[1])
    parts = fingerprint(performance, piece=777)
    assert len(whole) == len(parts) and (whole == parts).mean() > 0.99


def test_hardly_anything_has_no_fingerprint():
    assert len(fingerprint(np.ones((1, 100)))) == 0
    assert matches([]) == [] and matches([np.zeros(0, np.uint32)] * 2) == []
