import numpy as np
import pytest
from conftest import tune
from hypothesis import given, settings
from hypothesis import strategies as st

from wavegen.correction import corrected, correction_of
from wavegen.errors import AudioError
from wavegen.findings import examine, remarks

RATE = 8000


def examined(sound, rate=RATE):
    sound = np.atleast_2d(np.asarray(sound, np.float32))
    seconds = (sound[:, start : start + rate] for start in range(0, sound.shape[1], rate))
    return examine(seconds, rate, len(sound))


def test_levels_of_a_tone():
    time = np.arange(3 * RATE + 123) / RATE
    found = examined(0.5 * np.sin(2 * np.pi * 400 * time))
    assert found.seconds == len(time) / RATE
    assert found.peak_db == pytest.approx(-6.02, abs=0.01)
    assert found.rms_db == pytest.approx(-9.03, abs=0.01)
    assert found.correlation is None and not found.opposed
    assert (found.clipped, found.silent, found.silent_start, found.silent_end) == (0, 0, 0, 0)
    assert remarks(found) == {}


def test_a_clean_tune_gets_no_remark():
    assert remarks(examined(tune(5.0, RATE, 2))) == {}


def test_each_fault_gets_its_remark_and_no_other():
    music = tune(6.0, RATE, 2)
    quiet = np.zeros((2, 3 * RATE))
    cases = {
        "offset": music + [[0.0], [0.05]],
        "clipped": np.clip(4 * music, -1, 1),
        "peak": 5 * music,
        "faint": 0.01 * music,
        "phase": music * [[1], [-1]],
        "ends": np.hstack([quiet, music, music, music]),
        "silent": np.hstack([music, quiet, music]),
    }
    for fault, sound in cases.items():
        assert list(remarks(examined(sound))) == [fault], fault


def test_silence_is_measured_where_it_is():
    music, nothing = tune(4.0, RATE, 2), np.zeros((2, RATE))
    sound = np.hstack([nothing, nothing, music, nothing]) + 0.3  # an offset is not sound
    found = examined(sound)
    assert found.silent_start == pytest.approx(2.0, abs=0.021)
    assert found.silent_end == pytest.approx(1.0, abs=0.021)
    assert found.silent == pytest.approx(3 / 7, abs=0.01)
    assert found.dc_offset == pytest.approx((0.3, 0.3), abs=2e-3)


def test_nothing_but_silence():
    for sound in (np.zeros((2, RATE)), np.full((1, RATE), 0.5), np.full((1, 100), 1e-5)):
        found = examined(sound)
        assert found.silent == 1 and found.silent_start == found.silent_end == 0
        assert "silent" in remarks(found) and "faint" not in remarks(found)
    assert examined(np.zeros((1, 10))).peak_db is None
    with pytest.raises(AudioError, match="contains no audio"):
        examine(iter([]), RATE, 1)


def test_correlation():
    left, right = np.random.default_rng(0).standard_normal((2, 4 * RATE)) * 0.1
    for share in (-1.0, -0.8, -0.3, 0.0, 0.6, 1.0):
        found = examined([left, share * left + np.sqrt(1 - share**2) * right])
        assert found.correlation == pytest.approx(share, abs=0.02)
        assert found.opposed == (share < -0.5)
    assert examined([left, 0 * left]).correlation is None
    assert examined([left + 0.3, 0.2 - left]).correlation == pytest.approx(-1, abs=1e-3)


@settings(max_examples=25)
@given(st.integers(500, 3 * RATE), st.integers(1, 3), st.floats(-60, 0), st.integers(0, 99))
def test_gain_moves_the_level_and_nothing_else(samples, channels, gain_db, seed):
    sound = np.random.default_rng(seed).uniform(-1, 1, (channels, samples)) * 0.9
    before, after = examined(sound), examined(sound * 10 ** (gain_db / 20))
    assert after.peak_db - before.peak_db == pytest.approx(gain_db, abs=1e-3)
    assert after.silent == before.silent and after.seconds == before.seconds
    if channels > 1:
        assert after.correlation == pytest.approx(before.correlation, abs=1e-3)


# -- putting right -------------------------------------------------------------------------------


def put_right(sound, block=1000):
    correction = correction_of(examined(sound))
    blocks = (sound[:, start : start + block] for start in range(0, sound.shape[1], block))
    return correction, np.concatenate(list(corrected(blocks, correction)), axis=1)


def test_all_faults_at_once_are_put_right():
    music = tune(6.0, RATE, 2)
    nothing = np.zeros((2, 3 * RATE), np.float32)
    bad = np.hstack([nothing, 4 * music, nothing]) * [[1], [-1]] + [[0.02], [-0.4]]
    bad = bad.astype(np.float32)
    kept = bad.copy()
    correction, good = put_right(bad)
    assert len(correction.words) == 4 and np.array_equal(bad, kept)
    assert remarks(examined(good)) == {}
    assert correction_of(examined(good)).words == ()
    assert good.shape[1] / RATE == pytest.approx(6.5, abs=0.2)
    heard = good[:, RATE // 4 :]  # that much silence stays before the first sound
    wanted, heard = music[:, : 5 * RATE], heard[:, : 5 * RATE]
    assert np.corrcoef(heard[0], wanted[0])[0, 1] > 0.99
    assert np.corrcoef(heard[1], wanted[1])[0, 1] > 0.99
    assert np.abs(good).max() <= 1


def test_what_is_well_stays_as_it_is():
    music = tune(3.0, RATE, 2)
    correction, same = put_right(music)
    assert correction.words == () and np.array_equal(same, music)


@settings(max_examples=20)
@given(st.integers(1, 9000), st.integers(0, 3))
def test_blocks_do_not_matter(block, seed):
    bad = np.pad(0.2 * tune(1.0, RATE, 2, seed) + 0.1, ((0, 0), (2 * RATE, 2 * RATE + 500)))
    bad[:, : 2 * RATE] = bad[:, -2 * RATE - 500 :] = 0.1
    assert np.array_equal(put_right(bad, block)[1], put_right(bad, 10**6)[1])
