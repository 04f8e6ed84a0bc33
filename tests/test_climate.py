import numpy as np
import pytest
import soundfile as sf

from wavegen import dataset, moment
from wavegen.climate import Climate, level_db, usual_moments

RATE = 8000
WIDTH = moment.count(1)


def tones(seconds, level=0.1, seed=0):
    """Notes of a third of a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    steps = np.random.default_rng(seed).integers(0, 12, int(seconds * 3) + 1)
    pitch = 220 * 2 ** (steps[(time * 3).astype(int)] / 12)
    return (level * np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * np.exp(-3 * (time % (1 / 3))))[
        None
    ].astype("float32")


def noise(seconds, level=0.1, seed=0):
    swell = 1 + 0.5 * np.sin(np.arange(round(seconds * RATE)) / RATE * 5)
    found = level * swell * np.random.default_rng(seed).standard_normal(len(swell))
    return found[None].astype("float32")


@pytest.fixture(scope="module")
def climate(tmp_path_factory):
    """Of two recordings, one all tones, the other all noise."""
    folder = tmp_path_factory.mktemp("two")
    sf.write(folder / "tones.wav", tones(60)[0], RATE)
    sf.write(folder / "noise.wav", noise(60)[0], RATE)
    data = dataset.load([folder], sample_rate=RATE, channels=1, cache=folder / "cache")
    return Climate.of(data)


def strangeness(climate, sound):
    size = moment.SHARE * round(moment.SECONDS * RATE)
    cuts = np.stack([sound[:, at : at + size] for at in range(0, sound.shape[1] - size, 500)])
    return climate.strangeness(cuts, RATE, np.full(len(cuts), level_db(sound))).mean()


@pytest.mark.parametrize("own, other", [(tones, noise), (noise, tones)])
def test_a_seed_says_what_is_strange_after_it(climate, own, other):
    near = climate.near(own(5, seed=1), RATE, level_db(own(5, seed=1)))
    alike, unlike = (kind(5, seed=2) for kind in (own, other))
    assert strangeness(near, alike) < 0.7 * strangeness(climate, alike) + 0.1
    assert strangeness(near, unlike) > 2 * strangeness(climate, unlike)
    assert strangeness(near, unlike) > 4 * strangeness(near, alike)


def test_the_longer_the_seed_the_more_it_counts(climate):
    aim = level_db(tones(9))
    moved = [
        np.abs(np.array(climate.near(tones(seconds), RATE, aim).usual) - climate.usual)
        for seconds in (0.5, 0.8, 2, 9)
    ]
    assert not moved[0].any()  # too short to be a moment and what came before it
    assert moved[1][3:].sum() < moved[2][3:].sum() < moved[3][3:].sum()


def test_the_level_of_a_seed_is_not_what_moments_are_compared_by(climate):
    """A soft seed is followed by what is soft: the level counts against the aim."""
    loud, soft = tones(5, seed=1), tones(5, 0.01, seed=1)
    one, two = (climate.near(sound, RATE, level_db(sound)) for sound in (loud, soft))
    assert one.usual[moment.LEVEL] == pytest.approx(two.usual[moment.LEVEL], abs=0.5)


def test_what_lasts_is_not_doubted_and_what_does_not_is():
    rng = np.random.default_rng(3)
    spans = []
    for _ in range(40):
        span = rng.standard_normal((64, WIDTH))
        span[:, 5] = 10 * rng.standard_normal() + 0.1 * span[:, 5]  # the same all along a span
        spans.append(span)
    usual, doubt, precision = (np.array(found) for found in usual_moments(spans, 1))
    assert doubt[5] < 0.5 and np.delete(doubt, [moment.LEVEL, 5]).min() > 15
    assert np.abs(np.delete(usual, [moment.LEVEL, 5])).max() < 0.2
    left = 1 / np.sqrt(np.diag(precision.reshape(WIDTH, -1)))
    assert left[5] < 1.5 and left[6] == pytest.approx(1, rel=0.15)  # of 10, and of 1


def test_where_all_moments_are_alike_small_misses_are_not_strange():
    """What chance is left to differ in then is a thousandth of what a model misses anyway."""
    rng = np.random.default_rng(4)
    spans = [1e-3 * rng.standard_normal((64, WIDTH)) for _ in range(8)]
    usual, _, precision = usual_moments(spans, 1)
    inverse = np.array(precision).reshape(WIDTH, -1)
    missed = np.array(usual) + moment.MISSED[:WIDTH]
    assert missed @ inverse @ missed / WIDTH == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("spans", [[], [np.zeros((3, WIDTH))], [np.ones((6, WIDTH))]])
def test_too_few_moments_leave_all_open(spans):
    usual, doubt, precision = usual_moments(spans, 1)
    assert len(usual) == len(doubt) == WIDTH and len(precision) == WIDTH**2
    assert np.isfinite([*usual, *doubt, *precision]).all() and min(doubt) > 0


def test_moments_in_a_row_are_those_of_each_by_itself():
    sound, size = tones(5), round(moment.SECONDS * RATE)
    rows = moment.in_a_row(sound, RATE, -10.0)
    assert len(rows) == 5 * RATE // size - moment.SHARE + 1
    at = 7 * size
    one = moment.features(sound[None, :, at : at + 3 * size], RATE, np.zeros(1), -10.0)
    np.testing.assert_allclose(rows[7:8], one, rtol=1e-5)
    assert moment.in_a_row(sound[:, : 3 * size - 1], RATE, -10.0).shape == (0, WIDTH)
