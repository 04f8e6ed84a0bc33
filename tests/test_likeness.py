import dataclasses

import numpy as np
import pytest
from conftest import examples, tune
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from wavegen.errors import UsageError
from wavegen.likeness import Measures, compare, flatness, measure, segments

RATE, SECONDS = 8000, 15
COUNT = RATE * SECONDS


def noise(count, seed=0):
    return np.random.default_rng(seed).standard_normal((1, count))


def like(sound, music):
    """Returns the sound at the music's level."""
    return sound * np.sqrt(np.mean(music**2) / np.mean(sound**2))


def tone(music):
    return like(np.sin(2 * np.pi * 220 * np.arange(COUNT) / RATE)[None], music)


def hum(music):
    partials = np.array([[110], [220], [331], [441], [554]])
    return like(np.sin(2 * np.pi * partials * np.arange(COUNT) / RATE).sum(axis=0)[None], music)


def coloured(music):
    return like(lfilter([1], [1, -1.6, 0.9], noise(COUNT)), music)


def fading(music):
    return music * np.exp(-8 * np.maximum(np.arange(COUNT) / RATE - 2, 0))


def held(music):
    """Returns two seconds of music, then one of its spectra for good."""
    spectrum = np.abs(np.fft.rfft(music[0, 2 * RATE : 2 * RATE + 1024] * np.hanning(1024)))
    at = np.flatnonzero(spectrum > 0.05 * spectrum.max()) * RATE / 1024
    waves = np.sin(2 * np.pi * at[:, None] * np.arange(COUNT) / RATE + at[:, None]).sum(axis=0)
    return np.where(np.arange(COUNT) < 2 * RATE, music, like(waves[None], music))


def repeated(music, seconds):
    snippet = music[:, RATE : RATE + round(seconds * RATE)]
    return np.tile(snippet, (1, 1 + round(SECONDS / seconds)))[:, :COUNT]


def drums(seconds=SECONDS, beat=0.5, seed=0):
    """Returns a drum machine: the same two sounds for ever, in a pattern of four beats."""
    since = np.arange(round(beat * RATE)) / RATE
    kick = np.sin(2 * np.pi * 60 * since) * np.exp(-20 * since)
    snare = noise(len(since), seed)[0] * np.exp(-30 * since)
    hat = lfilter([1, -0.9], [1], noise(len(since), seed + 1)[0]) * np.exp(-80 * since)
    bar = np.concatenate([kick + hat, hat, snare + hat, kick + 0.3 * snare])
    return 0.2 * np.tile(bar, 1 + round(seconds / 4 / beat))[None, : round(seconds * RATE)]


@pytest.fixture(scope="module")
def music():
    return tune(SECONDS, RATE, seed=1)


@pytest.fixture(scope="module")
def measured(music):
    return measure(music, RATE)


def faults(sound, measured):
    return compare(measure(sound, RATE), [measured]).faults


# -- faults --------------------------------------------------------------------------------------


def test_music_is_like_itself(measured):
    found = compare(measured, [measured])
    assert found.clean and found.faults == ()
    assert found.level_db == found.dead_air_seconds == found.frozen_seconds == found.noise == 0
    assert found.flux == found.onsets == found.motion == found.spread == 1
    assert found.texture_db == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("seed", range(2, 6))
def test_music_of_the_same_kind_is_clean(measured, seed):
    assert faults(tune(SECONDS, RATE, seed=seed), measured) == ()


@pytest.mark.slow
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_it_is_clean_at_any_rate_and_in_stereo(rate, channels):
    one, two = (measure(tune(6, rate, channels, seed), rate) for seed in (1, 2))
    assert compare(one, [two]).clean


STILL = {"flux", "onsets", "motion", "spread", "frozen"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fake", "expected"),
    [
        (tone, STILL),
        (hum, STILL),
        (
            lambda music: like(noise(COUNT), music),
            {"onsets", "motion", "spread", "frozen", "noise"},
        ),
        (coloured, {"onsets", "motion", "spread", "frozen", "noise"}),
        (np.zeros_like, STILL | {"level", "dead air"}),
        (fading, {"flux", "onsets", "motion", "level", "frozen", "dead air"}),
        (held, {"onsets", "motion", "frozen"}),
        (lambda music: repeated(music, 0.1), {"loop"}),
        (lambda music: repeated(music, 0.4), {"loop"}),
        (lambda music: repeated(music, 0.9), {"loop"}),
        (lambda music: music * 10 ** (7 / 20), {"level"}),
        (lambda music: music * 10 ** (-7 / 20), {"level"}),
    ],
)
def test_what_is_no_music_is_told(music, measured, fake, expected):
    assert expected <= set(faults(fake(music), measured))


def test_a_part_that_breaks_is_told_too(music, measured):
    """Whatever means hide, the longest stand-still, silence and the closest loop do not."""
    middle = slice(5 * RATE, 11 * RATE)
    for part, fault in (
        (0 * music, "dead air"),
        (hum(music), "frozen"),
        (repeated(music, 0.4), "loop"),
    ):
        broken = music.copy()
        broken[:, middle] = part[:, middle]
        assert fault in faults(broken, measured)


def test_what_is_no_number_is_never_clean(measured):
    nothing = dataclasses.replace(measured, flux=np.nan, rms_db=np.nan, loop=np.nan)
    assert compare(nothing, [measured]).faults == ("level", "flux", "loop")


# -- what it measures ----------------------------------------------------------------------------


def test_level_changes_nothing_but_the_level(music):
    loud, soft = (measure(gain * music, RATE) for gain in (1.0, 1e-3))
    assert loud.rms_db - soft.rms_db == pytest.approx(60, abs=1e-3)
    for name, value in vars(dataclasses.replace(loud, rms_db=soft.rms_db)).items():
        if value is not None:
            assert getattr(soft, name) == pytest.approx(value, rel=1e-3, abs=1e-3)


def test_rms_is_that_of_a_full_scale_sine(music):
    assert measure(np.sin(np.arange(COUNT))[None], RATE).rms_db == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_onsets_are_counted(rate):
    sound = 1e-4 * noise(COUNT)
    for start in np.arange(0.5, SECONDS - 0.5, 1 / rate):
        tail = np.arange(RATE // 3) / RATE
        at = round(start * RATE)
        sound[:, at : at + len(tail)] += np.sin(2 * np.pi * 440 * tail) * np.exp(-30 * tail)
    assert measure(sound, RATE).onsets_per_second * SECONDS / (SECONDS - 1) == pytest.approx(rate)


def test_flatness_is_that_of_noise_whatever_its_colour(measured):
    for coefficients in ([1], [1, -0.95], [1, -1.2, 0.8]):
        sound = lfilter([1], coefficients, noise(COUNT))
        assert measure(sound, RATE).flatness == pytest.approx(0.6, abs=0.06)
        # whether two channels are one sound or two does not matter
        both = np.concatenate([sound, sound[:, ::-1]])
        for stereo in (np.repeat(sound, 2, 0), both):
            assert flatness(stereo, RATE) == pytest.approx(flatness(sound, RATE), abs=0.01)
    assert measured.flatness < 0.25


@pytest.mark.parametrize("seconds", [0.0, 1.5, 4.0])
def test_the_longest_silence_is_timed(seconds):
    sound = noise(COUNT)
    sound[:, 5 * RATE : 5 * RATE + round(seconds * RATE)] = 0
    sound[:, 12 * RATE : 12 * RATE + round(seconds / 2 * RATE)] = 0
    assert measure(sound, RATE).longest_silence_seconds == pytest.approx(seconds, abs=0.1)


def test_the_longest_stand_still_is_timed(music, measured):
    sound = music.copy()
    sound[:, 5 * RATE : 11 * RATE] = tone(music)[:, 5 * RATE : 11 * RATE]
    assert measured.longest_still_seconds < 1
    assert measure(sound, RATE).longest_still_seconds == pytest.approx(5.25, abs=0.5)


@pytest.mark.parametrize("seconds", [0.07, 0.253, 0.4, 0.777, 0.95])
def test_a_snippet_repeated_is_a_loop(music, seconds):
    for hiss in (0, 0.001):
        assert measure(repeated(music, seconds) + hiss * noise(COUNT), RATE).loop > 0.86


def test_rhythm_is_not_a_loop():
    assert measure(drums(), RATE).loop < 0.86  # the pattern is back every two seconds
    assert measure(drums(beat=0.25), RATE).loop > 0.99  # every second


def test_held_and_fading_tones_are_no_loops(music):
    t = np.arange(COUNT) / RATE
    fade = np.exp(-(t % 5))
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220, 277.2, 329.6, 440.7))[None]
    for sound in (tone(music), hum(music), chord, chord * fade, noise(COUNT)):
        assert measure(sound + 1e-3 * noise(COUNT, 1), RATE).loop < 0.6


@pytest.mark.slow
def test_stereo_is_told_by_energies_and_correlation():
    left, right = noise(COUNT), noise(COUNT, 1)
    for channels, side_db, correlation in (
        ([left, right], 0, 0),
        ([left, 0.5 * left], -9.54, 1),
        ([left, -0.5 * left], 9.54, -1),
        ([left, 0 * left], 0, 0),
    ):
        found = measure(np.concatenate(channels), RATE)
        assert found.side_db == pytest.approx(side_db, abs=0.1)
        assert found.correlation == pytest.approx(correlation, abs=0.02)
    assert measure(np.concatenate([left, left]), RATE).side_db == -60
    mono = measure(left, RATE)
    assert mono.side_db is None and mono.correlation is None
    wide, narrow = (measure(np.concatenate([left, x * left]), RATE) for x in (0.25, 0.5))
    assert compare(wide, [narrow, narrow]).side_db == pytest.approx(9.54 - 4.44, abs=0.05)
    assert compare(mono, [wide]).side_db is compare(wide, [mono]).side_db is None


@pytest.mark.slow
@settings(max_examples=examples(25))
@given(
    st.sampled_from([8000, 11025, 44100, 96000]),
    st.integers(1, 3),
    st.floats(0.75, 4),
    st.sampled_from([0, 1e-6, 1.0]),
)
def test_measures_and_comparison_are_finite(rate, channels, seconds, gain):
    shape = channels, -int(-seconds * rate // 1)
    sound = measure(gain * np.random.default_rng(0).standard_normal(shape), rate)
    other = measure(np.random.default_rng(1).standard_normal(shape), rate)
    values = [*vars(sound).values(), *vars(compare(sound, [other])).values()]
    assert all(np.isfinite(value).all() for value in values if value is not None)
    assert compare(sound, [sound]).clean or gain == 0


@pytest.mark.parametrize(
    ("sound", "rate"),
    [
        (np.zeros((1, 5999)), 8000),
        (np.zeros(8000), 8000),
        (np.zeros((1, 8000)), 4000),
        (np.full((1, 8000), np.nan), 8000),
        (np.full((1, 8000), np.inf), 8000),
    ],
)
def test_what_cannot_be_measured_is_refused(sound, rate):
    with pytest.raises(UsageError, match="cannot be measured"):
        measure(sound, rate)


# -- what it is compared with --------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "count"), [(1, 1), (15, 1), (15.1, 2), (30, 2), (41, 3)])
def test_segments_cover_a_recording(seconds, count):
    sound = np.arange(round(seconds * 100))[None]
    found = segments(sound, 100)
    assert len(found) == count and len({part.shape for part in found}) == 1
    assert set(np.concatenate(found, axis=1)[0]) == set(sound[0])
    assert found[0].shape[1] == min(1500, sound.shape[1])


def changed(measures: Measures, **values):
    return dataclasses.replace(measures, **values)


def test_level_and_onsets_have_the_range_of_the_music(measured):
    music = [
        changed(measured, rms_db=db, onsets_per_second=rate) for db, rate in ((-40, 1), (-20, 4))
    ]
    for db, rate, level, onsets in ((-30, 2, 0, 1), (-50, 0.5, -10, 0.5), (-13, 6, 7, 1.5)):
        found = compare(changed(measured, rms_db=db, onsets_per_second=rate), music)
        assert found.level_db == pytest.approx(level) and found.onsets == pytest.approx(
            onsets, rel=1e-4
        )


def test_the_level_keeps_to_what_is_near(measured):
    soft, loud = (changed(measured, rms_db=db) for db in (-40, -20))
    assert compare(soft, [soft, loud]).clean
    assert compare(soft, [soft, loud], near=[loud]).faults == ("level",)


def test_the_rest_is_compared_with_the_mean(measured):
    for name, ratio in {"flux": "flux", "motion": "motion", "spread_db": "spread"}.items():
        value = getattr(measured, name)
        music = [changed(measured, **{name: share * value}) for share in (0.5, 2.5)]
        assert getattr(compare(measured, music), ratio) == pytest.approx(1 / 1.5, rel=1e-4)


def test_texture_is_the_distance_of_gaussians(measured):
    count = len(measured.mean_db)
    apart = changed(measured, mean_db=measured.mean_db + 3)
    assert compare(apart, [measured]).texture_db == pytest.approx(3, abs=1e-3)
    wide = changed(measured, covariance=25.0 * np.eye(count))
    narrow = changed(measured, covariance=4.0 * np.eye(count))
    assert compare(wide, [narrow]).texture_db == pytest.approx(5 - 2)


def test_hiss_above_4_khz_is_told_against_the_brightest_and_the_darkest_of_the_music(measured):
    rate, time = 16000, np.arange(2 * 16000) / 16000
    low, high = (np.sin(2 * np.pi * hertz * time)[None] for hertz in (440, 6000))
    for apart in (-20.0, -60.0):
        found = measure((low + 10 ** (apart / 20) * high).astype("float32"), rate)
        assert found.highs_db == pytest.approx(
            10 * np.log10(1 / (1 + 10 ** (-apart / 10))), abs=0.1
        )
    assert measure(low.astype("float32"), rate).highs_db < -100
    dark, bright, hissing = (changed(measured, highs_db=db) for db in (-60.0, -50.0, -40.0))
    assert compare(hissing, [dark, bright]).highs_db == pytest.approx(10)
    assert compare(hissing, [dark], near=[hissing]).highs_db == 0
    assert compare(dark, [bright]).highs_db == pytest.approx(-10)


def test_two_equal_channels_have_a_width_whatever_rounding_says():
    rng = np.random.default_rng(0)
    for seed in range(20):
        one = 0.1 * np.random.default_rng(seed).standard_normal(16000)
        assert measure(np.stack([one, one]).astype("float32"), 16000).side_db == -60
    one = 0.1 * rng.standard_normal(16000)
    assert measure(np.stack([one, -one]).astype("float32"), 16000).side_db == 60
