"""The bands that condition a WaveNet, and that a conditioned WaveNet heeds them in every engine."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SLOW, make_frames, make_model
from hypothesis import given, settings
from hypothesis import strategies as st

from wavegen import engines
from wavegen.bands import FILTER, FLOOR_DB, MIDDLE_DB, SPAN_DB, TAPS, Bands, bands_of
from wavegen.codec import codec_of
from wavegen.streaming import parameters, pure

HOP = 16
CONDITIONED = dict(condition_bands=5, condition_hop=HOP)


def tone(frequency, rate=8000, seconds=0.5):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)[None]


def levels_along(bands, sound):
    return bands.along(sound.astype("float32"))[:, : bands.features]


def test_a_tone_is_in_its_band_at_its_level():
    bands = Bands(8000, 1, 24, 64)
    for frequency in (300.0, 1000.0, 3000.0):
        level = levels_along(bands, 0.5 * tone(frequency)) * SPAN_DB + MIDDLE_DB
        middle = level[len(level) // 2]
        assert -13 < middle.max() < -8.9  # -9 dB, shared by two bands at most
        louder = levels_along(bands, tone(frequency)) * SPAN_DB + MIDDLE_DB
        assert np.allclose(louder[len(level) // 2].max() - middle.max(), 6.02, atol=0.05)
        assert middle.argmax() == louder[len(level) // 2].argmax()
    order = [levels_along(bands, tone(f))[20].argmax() for f in (300, 1000, 3000)]
    assert order == sorted(order) and len(set(order)) == 3


def test_silence_is_the_floor_and_channels_are_apart():
    bands = Bands(8000, 2, 6, 32)
    sound = np.stack([tone(500)[0], np.zeros(4000)]).astype("float32")
    knots = levels_along(bands, sound)
    assert knots.shape == (-(-3999 // 32) + 1, 14)
    assert np.allclose(knots[:, 7:13], (FLOOR_DB - MIDDLE_DB) / SPAN_DB)
    assert knots[20, :6].max() > 1


def test_bands_of_what_is_turned_tell_the_image():
    """Of a sound in the middle the difference is silent, wherever its level is."""
    bands = Bands(8000, 2, 6, 32, turned=True)
    middle = levels_along(bands, np.repeat(tone(500), 2, axis=0))
    assert np.allclose(middle[:, 7:13], (FLOOR_DB - MIDDLE_DB) / SPAN_DB)
    left = levels_along(bands, np.concatenate([tone(500), 0.0 * tone(500)]))
    louder = (left[20, 7:13] - left[20, :6]) * SPAN_DB  # the mean is half of it
    assert abs(louder[left[20, :6].argmax()] - 6.02) < 0.05
    own = levels_along(Bands(8000, 1, 6, 32), tone(500))
    assert np.allclose(left[:, 7:13], own[:, :6], atol=1e-3)


def test_noise_is_calm_and_what_begins_still_steps():
    bands = Bands(16000, 1, 24, 128)
    noise = np.random.default_rng(4).standard_normal((1, 32000)).astype("float32")
    noise[:, 16000:] *= 10.0
    reach = bands.reach - bands.half
    measured, calm = bands.measured(noise[:, reach:-reach]), bands.levels(noise)
    assert measured.shape == calm.shape
    step = np.arange(len(calm)) * 128 + bands.reach - 16000
    steady = np.abs(step) > bands.reach
    for half in (step < 0, step > 0):
        assert (
            calm[half & steady].std(axis=0).mean()
            < 0.65 * measured[half & steady].std(axis=0).mean()
        )
    loud = calm[:, :-1].mean(axis=1) * SPAN_DB
    middle = loud[steady & (step > 0)].mean() - loud[steady & (step < 0)].mean()
    assert abs(middle - 20.0) < 1.0
    rise = np.ptp(loud[np.abs(step) <= bands.half + 128])  # within one window
    assert rise > 18.0


def test_a_soft_stroke_still_steps():
    """All bands rise by 4 dB, less than noise differs from itself: neighbours must not blur it."""
    bands, rises = Bands(16000, 1, 48, 128), []
    for number in range(4):
        noise = np.random.default_rng(number).standard_normal((1, 32000)).astype("float32")
        noise[:, 16000:] *= 10 ** (4 / 20)
        loud = bands.levels(noise)[:, :-1].mean(axis=1) * SPAN_DB
        knot = (16000 - bands.reach) / 128
        rises.append(loud[round(knot + 1)] - loud[round(knot - 1)])
    assert np.mean(rises) > 2.9  # 2.1 where only `ALIKE_DB` tells knots apart


def test_what_is_soft_above_soft_music_is_told():
    """A fading chord at -45 dB has its highs below -100 dB a band, and 16 bits still hold them."""
    sounds = [
        np.random.default_rng(5).standard_normal((1, 16000)) * 10 ** (-g / 20) for g in (0, 6)
    ]
    told = [
        Bands(16000, 1, 48, 128).levels(sound.astype("float32") * 10 ** (-86 / 20)) * SPAN_DB
        for sound in sounds
    ]
    assert np.allclose((told[0] - told[1])[:, :-1].mean(), 6.0, atol=0.5)


@settings(max_examples=30)
@given(st.integers(1, 400), st.integers(0, 12))
def test_knots_of_a_stretch_are_those_of_the_whole(samples, skip):
    bands = Bands(8000, 1, 4, 16)
    sound = np.random.default_rng(samples).standard_normal((1, samples)).astype("float32")
    whole = levels_along(bands, sound)
    assert len(whole) == -(-(samples - 1) // 16) + 1
    first = min(skip, len(whole) - 1)
    padded = np.pad(sound, [(0, 0), (bands.reach, len(whole) * 16 + bands.reach)])
    stretch = padded[:, 1 + first * 16 :][:, : 2 * bands.reach + (len(whole) - 1 - first) * 16]
    assert np.allclose(bands.levels(stretch), whole[first:], atol=1e-4)


def test_given_filters_whiten_a_sound_to_their_size():
    rng = np.random.default_rng(0)
    bands = Bands(16000, 1, 48, 64)
    sound = np.zeros(16000)
    noise = 0.01 * rng.standard_normal(len(sound))
    for n in range(2, len(sound)):  # one broad resonance at 2 kHz
        sound[n] = 1.27 * sound[n - 1] - 0.81 * sound[n - 2] + noise[n]
    filters = bands.along(sound[None].astype("float32"))[100:-10, bands.features :]
    filters = filters.reshape(-1, FILTER)[:, 1:]
    at = 1 + 100 * 64 + np.arange(len(filters)) * 16  # the first sample of each part
    left = [
        sound[n] - f[1:] @ sound[n - 1 : n - 1 - TAPS : -1]
        for n, f in zip(at, filters, strict=True)
    ]
    assert 0.8 < np.std(left) / 0.01 < 1.3  # nearly all that can be foretold is
    assert 0.8 < np.median(filters[:, 0]) / np.std(left) < 1.25
    assert np.std(sound) > 2 * np.std(left)


def test_the_innovation_is_what_noise_has_and_a_tone_lacks():
    bands = Bands(16000, 1, 48, 128)
    noise = 0.1 * np.random.default_rng(1).standard_normal((1, 16000))
    found = levels_along(bands, noise)[10:-10, -1].mean() * SPAN_DB + MIDDLE_DB
    assert abs(found + 20) < 0.5
    quiet = levels_along(bands, 0.001 * noise + 0.1 * tone(1000, 16000, 1.0))[10:-10, -1]
    assert quiet.mean() * SPAN_DB + MIDDLE_DB < -60


@pytest.fixture(
    params=[
        pytest.param({}, marks=SLOW),
        {"channels": 2, "cycles": 1},
        {"head": "softmax", "predictor_order": 0, "cycles": 1},
        pytest.param({"channels": 2}, marks=SLOW),
        {"mixture_shift": 0.3, "cycles": 1},
    ],
    ids=str,
)
def conditioned(request):
    return make_model("wavenet", **CONDITIONED, **request.param)


def given_to(model, hops, batch=2, lift=0.0):
    """Returns what rows are given; `lift` is added to the levels of knot 3."""
    bands = bands_of(model.config)
    levels = 0.5 * np.random.default_rng(3).standard_normal((batch, hops + 1, bands.features)) + 1
    levels[:, 3:4] += lift
    return bands.given(levels)


@pytest.mark.slow
def test_the_law_holds_for_whole_hops(conditioned):
    x, knots = make_frames(conditioned, time=6 * HOP), given_to(conditioned, 6)
    whole = np.asarray(conditioned(x, knots))
    state, parts = conditioned.initial_state(2), []
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        block, told = x[:, start * HOP : stop * HOP], knots[:, start : stop + 1]
        y, state = conditioned.step(block, state, told)
        parts.append(np.asarray(y))
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 2e-4 * whole.std()
    # A knot is heard one hop before it and one after, and from then on in the state.
    changed = given_to(conditioned, 6, lift=1.0)
    differs = np.abs(np.asarray(conditioned(x, changed)) - whole).max(axis=(0, 2))
    assert differs[: 2 * HOP].max() < 1e-6 < differs[2 * HOP + 1 : 4 * HOP].min()


def test_an_untrained_model_does_not_heed_conditions():
    from wavegen.config import build
    from wavegen.models import FAMILIES

    config = type(make_model("wavenet", **CONDITIONED).config)
    config = build(config, dict(predictor_order=0, cycles=1, layers_per_cycle=3) | CONDITIONED)
    model = FAMILIES["wavenet"](config)
    x = make_frames(model, time=2 * HOP)
    loud, soft = (
        np.asarray(model(x, bands_of(config).given(np.full((2, 3, 6), v)))) for v in (1, -1)
    )
    post = config.post_channels  # beyond it stands what the given filters predict
    assert np.array_equal(loud[..., :post], soft[..., :post])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_engines_agree_on_a_conditioned_model(conditioned, precision):
    frames, knots = make_frames(conditioned, time=1 + 3 * HOP), given_to(conditioned, 3)
    reference = engines.make(conditioned, "reference")
    fast = engines.make(conditioned, "numba", precision)
    ours, session = reference.distributions(frames, given=knots)
    theirs, other = fast.distributions(frames, given=knots)
    spread = np.abs(ours).mean()
    assert np.abs(ours - theirs).max() < (1e-3 if precision == "float32" else 0.3) * spread
    unconditioned, _ = fast.distributions(frames, given=given_to(conditioned, 3, lift=1.0))
    assert np.abs(ours - unconditioned).max() > 0.01 * spread  # they are heard at all
    if precision == "float32":
        noise = np.random.default_rng(4).random((2, 2 * HOP, conditioned.config.channels))
        more = given_to(conditioned, 2)
        a, after = reference.draw(session, noise.astype("float32"), more)
        b, _ = fast.draw(session, noise.astype("float32"), more)  # takes over from the other
        values = codec_of(conditioned.config).values
        assert np.abs(values[a] - values[b]).max() < 2e-3
        voices = fast.open(other)
        parts = [
            voices.draw(noise[:, i * HOP : (i + 1) * HOP], more[:, i : i + 2]) for i in range(2)
        ]
        c, _ = fast.draw(other, noise.astype("float32"), more)
        assert np.array_equal(np.concatenate(parts, axis=1), c)  # hop by hop is the same


@pytest.mark.slow
def test_likelihood_in_blocks_is_that_of_one_pass(conditioned):
    frames = make_frames(conditioned, batch=1, time=5 * HOP + 7)[0]
    bands = bands_of(conditioned.config)
    sound = codec_of(conditioned.config).decode(frames)
    knots = bands.along(sound)
    reference = engines.make(conditioned, "reference")
    reference.block = 2 * HOP
    found = reference.log_prob(frames, knots)
    x = np.pad(frames, [(0, 6 * HOP - len(frames) + 1), (0, 0)])[None]
    y = pure(conditioned)(
        parameters(conditioned), x[:, :-1], conditioned.initial_state(1), knots[None]
    )[0]
    wanted = np.asarray(conditioned.log_prob(y, x[:, 1:]))[0, : len(frames) - 1]
    assert np.allclose(found, wanted, atol=1e-4)
    fast = engines.make(conditioned, "numba", "float32").log_prob(frames, knots)
    assert np.allclose(fast, wanted, atol=2e-3)
