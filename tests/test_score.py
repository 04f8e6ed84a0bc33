import numpy as np
import pytest
from conftest import tune
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from wavegen.score import (
    PREDICTORS,
    bands,
    collapse,
    flatness,
    flux,
    gain,
    interval,
    measures,
    motion,
    stationarity,
    table,
    verdict,
)

RATE = 8000
few = settings(max_examples=40)


def noise(count, mean=0.0, seed=0, deviation=1.0):
    return mean + deviation * np.random.default_rng(seed).standard_normal(count)


# -- intervals -----------------------------------------------------------------------------------


@few
@given(st.integers(0, 2**32 - 1), st.integers(40, 3000), st.integers(1, 10), st.floats(-50, 50))
def test_interval_covers_the_mean_and_moves_with_it(seed, count, block, shift):
    values = noise(count, seed=seed)
    mean, low, high = interval(values, block=block)
    assert mean == pytest.approx(values.mean())
    assert low < mean < high
    assert interval(values + shift, block=block) == pytest.approx(
        (mean + shift, low + shift, high + shift)
    )


def test_interval_covers_the_truth_as_often_as_it_says():
    found = [interval(noise(600, 3.0, seed), block=10, draws=300) for seed in range(200)]
    assert 0.89 <= np.mean([low <= 3.0 <= high for _, low, high in found]) <= 0.99


def test_interval_narrows_with_the_root_of_the_count():
    widths = [np.diff(interval(noise(n), block=10)[1:])[0] for n in (1000, 100_000)]
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.25)
    assert widths[1] == pytest.approx(2 * 1.96 / 100_000**0.5, rel=0.15)


def test_neighbours_that_are_alike_widen_the_interval():
    alike = np.repeat(noise(200), 50)
    own, blocks = (np.diff(interval(alike, block=block)[1:])[0] for block in (1, 100))
    assert blocks > 4 * own


@pytest.mark.parametrize("count", [1, 5, 19])
def test_a_single_block_says_nothing_about_the_error(count):
    assert interval(np.full(count, 2.0), block=10) == (2.0, -np.inf, np.inf)


def test_interval_is_the_same_every_time():
    assert interval(noise(500), block=5) == interval(noise(500), block=5)
    assert interval(noise(500), block=5, seed=1) != interval(noise(500), block=5)


def test_gain_is_paired_and_positive_where_less_is_paid():
    others = noise(2000, 5.0, deviation=3.0)
    mean, low, high = gain(others - 0.1 + noise(2000, seed=1, deviation=0.01), others, block=10)
    assert 0.09 < low < mean < high < 0.11  # what both pay together does not blur it
    assert gain(others, others - 0.1, block=10)[2] < 0


def test_table_begins_with_the_model_and_ends_with_the_best():
    costs = {"b": noise(100, 2.0), "a": noise(100, 3.0), "c": noise(100, 1.0)}
    rows = table({"model": noise(100, 2.5)}, costs, block=5, unit="bits per sample")
    assert [row.name for row in rows] == ["model", "a", "b", "c"]
    assert all(row.low < row.mean < row.high for row in rows)
    assert {(row.count, row.unit) for row in rows} == {(100, "bits per sample")}


# -- verdict -------------------------------------------------------------------------------------

SAMPLES = {"uniform": 8.0, "histogram": 6.0, "bigram": 5.0, PREDICTORS[0]: 4.0}
FRAMES = {"one Gaussian": 8.0, "Gaussian per bin": 6.0, PREDICTORS[1]: 4.0}


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (9.0, ["5.00 bits worse", "nothing learned yet"]),
        (7.0, ["3.00 bits worse", "nothing learned yet"]),
        (5.5, ["better than the histogram", "not yet what simple prediction knows"]),
        (4.5, ["0.50 bits worse", "better than the bigram", "not yet what simple prediction"]),
        (4.003, ["level with the linear predictor, adaptive scale", "-0.003 bits"]),
        (4.0, ["level with the linear predictor, adaptive scale"]),
        (3.9, ["0.10 bits better", "begun to learn"]),
        (3.7, ["0.30 bits better", "timbre, not yet notes"]),
        (3.0, ["1.00 bits better than the linear predictor, adaptive scale", "sound well"]),
    ],
)
def test_verdict_names_the_region(cost, words):
    shared = noise(2000, deviation=0.3)  # what is hard for one is hard for all
    baselines = {name: mean + shared for name, mean in SAMPLES.items()}
    found = verdict({"model": cost + shared + noise(2000, 0.0, 1, 1e-4)}, baselines, 10)
    assert all(word in found for word in words), found


def test_verdict_on_frames_counts_nats():
    baselines = {name: np.full(100, mean) for name, mean in FRAMES.items()}
    assert "0.30 nats better than the two-tap predictor" in verdict(
        {"model": np.full(100, 3.7)}, baselines, 5
    )


def test_verdict_within_the_error_is_level():
    model, other = noise(100, 3.9, 1, 3.0), noise(100, 4.0, 2, 3.0)
    assert "within the error" in verdict({"model": model}, {"bigram": other}, 5)
    assert "within the error" in verdict({"model": model[:8] - 2}, {"bigram": other[:8]}, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_verdict_on_what_is_no_number_is_that_nothing_is_learned(value):
    costs = noise(100, 3.0)
    costs[7] = value
    assert "nothing learned" in verdict({"model": costs}, {"bigram": noise(100, 4.0)}, 5)


# -- sound ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def music():
    return tune(6, RATE, seed=1)


def constant_tone(seconds=6, level=0.1):
    return level * np.sin(2 * np.pi * 440 * np.arange(seconds * RATE) / RATE)[None]


@pytest.mark.parametrize("channels", [1, 2])
def test_music_resembles_itself_and_music_like_it(channels):
    music, other = tune(6, RATE, channels, 1), tune(5, RATE, channels, 2)
    found = measures(music, music, RATE)
    assert found["level_db"] == pytest.approx(0) and found["flux"] == pytest.approx(1)
    assert found["flatness"] == found["music_flatness"] and found["clipped"] == 0
    assert collapse(music, music, RATE) == collapse(other, music, RATE) == []


def test_white_noise_is_noise(music):
    white = noise((1, 6 * RATE), deviation=float(music.std()))
    assert collapse(white, music, RATE) == ["it is noise"]
    assert collapse(white, white, RATE) == []  # where the music is noise, noise is right
    assert flatness(white) > 0.8 > 0.1 > flatness(music) > flatness(constant_tone())


def test_one_tone_that_never_moves_is_told(music):
    assert collapse(constant_tone(), music, RATE) == ["one constant tone"]
    rate, ours, theirs = RATE, bands(constant_tone(), RATE), bands(music, RATE)
    assert stationarity(ours, rate) > 0.95 > stationarity(theirs, rate) + 0.1
    assert flux(ours) < 0.1 * flux(theirs)


COLOURS = {"brown": [1, -0.98], "one resonance": [1, -1.6, 0.9], "bright": [1, 0.9]}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_noise_of_any_colour_is_noise(colour, rate):
    music = tune(6, rate, seed=1)
    found = lfilter([1], COLOURS[colour], noise((1, 6 * rate)))
    found *= music.std() / found.std()
    assert collapse(np.clip(found, -0.99, 0.99), music, rate) == ["it is noise"]


@pytest.mark.parametrize("share", [0.0, 0.003, 0.05])
def test_a_drone_over_faint_noise_is_one_constant_tone(music, share):
    partials = np.array([[110], [220], [331], [440], [554], [661]])
    chord = np.sin(2 * np.pi * partials * np.arange(6 * RATE) / RATE + partials)
    chord = (chord / np.arange(1, 7)[:, None]).sum(axis=0, keepdims=True)
    drone = chord / chord.std() + share * noise(chord.shape)
    drone *= music.std() / drone.std()
    assert collapse(drone, music, RATE) == ["one constant tone"]
    assert motion(bands(drone, RATE), RATE) < 1 < 2 < motion(bands(music, RATE), RATE)


def test_where_the_music_stands_still_so_may_the_drawn_sound():
    assert collapse(constant_tone(), constant_tone(), RATE) == []


def test_a_second_of_a_held_tone_is_not_called_constant(music):
    assert collapse(constant_tone(1, float(music.std()) * 2**0.5), music, RATE) == []


@pytest.mark.parametrize("level", [0.0, 5e-5])
def test_silence_is_told_and_nothing_else(music, level):
    assert collapse(constant_tone(level=level), music, RATE) == ["it is silent"]


@pytest.mark.parametrize(
    ("factor", "words"), [(10, "20 dB louder"), (0.1, "20 dB softer"), (2, None), (0.5, None)]
)
def test_another_level_is_told_beyond_9_db(music, factor, words):
    found = collapse(0.09 * factor * music, 0.09 * music, RATE)
    assert found == ([f"{words} than the music"] if words else [])


def test_clipping_is_told(music):
    loud = np.abs(music) > np.quantile(np.abs(music), 0.97)
    found = collapse(np.where(loud, np.sign(music), music), music, RATE)
    assert found == ["3% of it is clipped"]


def test_too_short_a_sound_is_not_judged(music):
    assert collapse(np.zeros((1, RATE // 4 - 1)), music, RATE) == []
    assert collapse(np.zeros((1, RATE // 4)), music, RATE) == ["it is silent"]


@few
@given(st.sampled_from([1000, 8000, 44100, 192000]), st.integers(1, 3), st.floats(0.01, 0.9))
def test_measures_are_finite_at_any_rate_and_length(rate, channels, seconds):
    signal = noise((channels, max(2, round(seconds * rate))), deviation=0.1)
    found = measures(signal, 2 * signal, rate)
    assert all(np.isfinite(value) for value in found.values())
    assert found["level_db"] == pytest.approx(-6.02, abs=0.01)
    assert 0 <= found["flatness"] <= 1 and abs(found["stationarity"]) <= 1 + 1e-9


def test_level_does_not_change_what_the_spectrum_tells(music):
    loud, soft = (measures(gain * music, music, RATE) for gain in (1.0, 0.1))
    for name in ("flux", "flatness", "stationarity", "motion_db"):
        assert loud[name] == pytest.approx(soft[name], rel=1e-3)


def test_on_the_scale_of_16_bits_a_level_costs_its_width_too():
    from wavegen import heldout
    from wavegen.baselines import SampleBaselines
    from wavegen.codec import codec_of
    from wavegen.config import WaveNetConfig, build

    config = build(WaveNetConfig, dict(head="softmax", levels=64, cycles=1, layers_per_cycle=3))
    codec = codec_of(config)
    frames = codec.encode(tune(2.0, 16000))

    class Even:
        def log_prob(self, frames):
            return np.full((len(frames) - 1, 1), -np.log(64))

    yardsticks = heldout.Yardsticks(config, SampleBaselines.fit(codec, [frames]))
    costs, _ = heldout.judge_frames({"model": Even()}, yardsticks, [frames])
    more = costs[heldout.SIXTEEN] - costs["model"]
    counted = codec.width_bits[frames[1:, 0]][-len(more) :]
    assert np.allclose(costs["model"], 6.0) and np.allclose(more, counted)
    assert 4 < more.mean() < 12
