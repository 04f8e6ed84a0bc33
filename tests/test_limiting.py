"""The limiter: nothing beyond full scale, nothing else touched, no step, whatever the blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavegen.limiting import Limiter, knot_of, limited, reach_of

RATE = 8000


def loud(seed, rows=2, channels=2, samples=4000, peaks=3, gain=3.0):
    """Returns noise at -20 dB with some short peaks."""
    chance = np.random.default_rng(seed)
    sound = 0.1 * chance.standard_normal((rows, channels, samples)).astype("float32")
    for _ in range(peaks):
        row, at = chance.integers(rows), chance.integers(samples)
        sound[row, :, at : at + 5] *= np.float32(gain * 10)
    return sound


def whole(sound, *cuts):
    """Returns a sound limited, cut into blocks at these places."""
    return np.concatenate(list(limited(np.split(sound, sorted(cuts), axis=-1), RATE)), axis=-1)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 4000), max_size=6))
def test_blocks_do_not_matter(seed, cuts):
    sound = loud(seed)
    assert np.array_equal(whole(sound, *cuts), whole(sound))


@given(st.integers(0, 2**32 - 1))
def test_no_row_hears_another(seed):
    sound = loud(seed, rows=3)
    alone = np.concatenate([whole(sound[row : row + 1]) for row in range(3)])
    assert np.array_equal(alone, whole(sound))


@given(st.integers(0, 2**32 - 1), st.floats(1.0, 30.0))
def test_nothing_is_beyond_full_scale_and_nothing_is_lost(seed, gain):
    sound = loud(seed, gain=gain)
    turned = whole(sound)
    assert turned.shape == sound.shape and turned.dtype == np.float32
    assert np.abs(turned).max() <= 1
    assert (np.abs(turned) <= np.abs(sound)).all() and (turned * sound >= 0).all()


def test_what_is_not_too_loud_is_the_same():
    sound = loud(3, peaks=0)
    sound[0, 0, 100], sound[1, 1, 300] = 1.0, -1.0
    assert np.array_equal(whole(sound), sound)


def test_it_is_the_same_again_after_a_peak_and_until_shortly_before():
    sound = loud(4, rows=1, peaks=0, samples=16000)
    sound[..., 6000] = 1.4
    turned = whole(sound)
    changed = np.flatnonzero(np.any(turned != sound, axis=(0, 1)))
    assert 6000 - reach_of(RATE) <= changed[0] < 6000 - 4 * knot_of(RATE)
    assert 6000 + 0.2 * RATE < changed[-1] < 6000 + 1.0 * RATE
    assert np.abs(turned[..., 6000]) == pytest.approx(1.0, abs=1e-6)


def test_the_gain_has_no_step_and_is_that_of_all_channels():
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * time + 0.1)
    swell = 0.9 + 0.6 * np.exp(-np.square((time - 0.5) / 0.02))
    sound = np.stack([tone * swell, 0.5 * tone * swell])[None].astype("float32")
    turned = whole(sound)
    gain = turned[0] / sound[0]
    assert gain.min() < 0.7  # it had to do something
    assert np.abs(np.diff(gain[0])).max() < 0.5 / knot_of(RATE)
    np.testing.assert_allclose(gain[0], gain[1], atol=1e-5)
    cut = np.clip(sound, -1, 1)[0, 0].astype(float)

    def overtones(signal):
        window = np.hanning(1600)
        spectrum = np.abs(np.fft.rfft(signal[3200:4800] * window)) ** 2
        return spectrum[200:].sum() / spectrum.sum()  # from 1 kHz up

    assert overtones(turned[0, 0].astype(float)) < 0.01 * overtones(cut)


def test_it_lags_by_no_more_than_it_says():
    limiter, sound = Limiter(RATE), loud(5)
    let_go = limiter.step(sound[..., :1000]).shape[-1]
    assert 1000 - reach_of(RATE) < let_go <= 1000 - reach_of(RATE) + knot_of(RATE)
    assert limiter.rest().shape[-1] == 1000 - let_go


def test_of_nothing_there_is_nothing():
    assert list(limited([], RATE)) == []
    assert list(limited([np.zeros((2, 1, 0), np.float32)], RATE)) == []
