import numpy as np
import pytest
from conftest import SLOW, examples, tune
from contract import run_blocks, verify_contract
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from scipy.signal import lfilter

from wavegen import baselines
from wavegen.models.linear_prediction import HUSH, RIDGE, Following, autocorrelation, levinson

ORDER, HOP, MEMORY = 24, 16, 80.0
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=examples(30))
T = np.arange(640)
SIGNALS = {
    "silence": 0.0 * T,
    "tone": 0.5 * np.sin(0.1 * T),
    "two tones": np.cos(0.1 * T) / 2 + np.cos(0.15 * T) / 2,
    "full scale": np.ones(640),
    "as fast as can be": (-1.0) ** T,
    "square": np.sign(np.sin(0.05 * T + 0.01)),
    "click": 1.0 * (T == 333),
    "clicks": 1.0 * (T % 97 == 0),
    "noise": np.random.default_rng(0).uniform(-1, 1, 640),
    "least bit": np.random.default_rng(1).integers(0, 2, 640) / 2**15,
    "tone that stops": np.sin(0.3 * T) * (T < 320),
    "sweep": np.sin(3e-4 * T * T),
}


def following(order=ORDER, hop=HOP, memory=MEMORY):
    return Following(order, hop, memory)


def heard(predictor, signal, blocks=None):
    """Returns predictions (samples,) of what follows each sample, and the state in the end."""
    x = np.asarray(signal, "float32")[None, :, None]
    state, found, start = predictor.initial_state(1, 1), [], 0
    for size in blocks or [x.shape[1]]:
        mean, state = predictor.step(x[:, start : start + size], state)
        found.append(np.asarray(mean)[0, :, 0])
        start += size
    assert start == x.shape[1]
    return np.concatenate(found), state


def taps_of(state):
    """Returns the coefficients in force, newest sample first, as float64."""
    return np.asarray(state[2], np.float64)[0, 0, ::-1]


def error(predictor, signal):
    """Returns by how much each sample misses its prediction, relative to the loudness."""
    mean, _ = heard(predictor, signal)
    return np.abs(signal[1:] - mean[:-1]) / np.abs(signal).mean()


def coloured(seed, samples, *lead):
    """Returns noise through two poles, so that there is something to predict."""
    rng = np.random.default_rng(seed)
    radius, angle = rng.uniform(0.5, 0.95), rng.uniform(0.1, 3)
    poles = [1, -2 * radius * np.cos(angle), radius**2]
    return lfilter([0.1], poles, rng.standard_normal((*lead, samples))).astype("float32")


# -- the recursion -------------------------------------------------------------------------------


@few
@given(SEEDS, st.integers(1, 40))
def test_levinson_solves_the_toeplitz_equations(seed, order):
    x = coloured(seed, 400, 2, 3).astype("float64")
    found = [np.sum(x[..., k:] * x[..., : 400 - k], axis=-1) for k in range(order + 1)]
    correlation = np.stack(found, axis=-1)
    correlation[..., 0] *= 1.001
    taps = np.asarray(levinson(correlation.astype("float32")))
    assert taps.shape == (2, 3, order)
    for row in np.ndindex(2, 3):
        wanted = linalg.solve_toeplitz(correlation[row][:-1], correlation[row][1:])
        np.testing.assert_allclose(taps[row], wanted, atol=1e-3)


TONES = [[0.0], [0.1], [3.1], [0.1, 0.100001, 0.2], [np.pi]]  # radians a sample


def correlation_of(frequencies, order):
    return np.mean([np.cos(f * np.arange(order + 1)) for f in frequencies], axis=0)


@pytest.mark.parametrize("order", [2, 24, pytest.param(512, marks=SLOW)])
@pytest.mark.parametrize("frequencies", TONES)
def test_tones_have_a_stable_predictor(order, frequencies):
    correlation = correlation_of(frequencies, order)
    correlation[0] += RIDGE
    taps = np.asarray(levinson(correlation.astype("float32")[None]))[0]
    assert np.abs(np.roots([1, *-taps.astype("float64")])).max() < 1
    tone = np.mean([np.cos(f * np.arange(order + 600)) for f in frequencies], axis=0)
    missed = np.abs(tone[order:] - baselines.predict(tone, taps)[0][order:]).max()
    assert missed < 0.05 or order < 2 * len(frequencies)


@pytest.mark.slow
@pytest.mark.parametrize("lift", [0.0, -1e-6, -1e-2])
@pytest.mark.parametrize("frequencies", TONES)
def test_what_no_signal_could_have_still_has_a_stable_solution(lift, frequencies):
    """Should rounding outweigh the ridge, no error becomes negative, nor 0 / 0."""
    for order in (1, 24, 200):
        correlation = correlation_of(frequencies, order)
        correlation[0] += lift
        taps = np.asarray(levinson(correlation.astype("float32")[None]))[0]
        assert np.isfinite(taps).all()
        assert np.abs(np.roots([1, *-taps.astype("float64")])).max() < 1


# -- what it is fitted on ------------------------------------------------------------------------


@pytest.mark.slow
@few
@given(SEEDS, st.integers(1, 30), st.integers(1, 40), st.floats(3, 300), st.integers(1, 12))
def test_sums_are_the_autocorrelation_under_the_window(seed, order, hop, memory, hops):
    """The window (n + 1) exp(-n / memory) over all that was heard until the last full hop."""
    samples = hops * hop
    x = coloured(seed, samples + hop - 1)  # the hop that is not full yet does not count
    _, state = heard(following(order, hop, memory), x)
    ago = np.arange(samples)[::-1]
    windowed = x[:samples] * (ago + 1) * np.exp(-ago / memory)
    wanted = baselines.autocovariance(windowed, order)
    wanted[0] = wanted[0] * (1 + RIDGE) + HUSH**2 * memory**3 / 4
    found = np.asarray(autocorrelation(state[1], memory))[0, 0]
    np.testing.assert_allclose(found, wanted, atol=2e-6 * wanted[0])
    assert state[3].shape == (1, 1) and int(state[3][0, 0]) == hop - 1


@pytest.mark.parametrize("name", ["noise", "clicks", "least bit", "square"])
def test_coefficients_are_those_of_the_windowed_sound(name):
    x = SIGNALS[name]
    _, state = heard(following(), x)
    ago = T[::-1]
    covariance = baselines.autocovariance(x * (ago + 1) * np.exp(-ago / MEMORY), ORDER)
    covariance[0] += HUSH**2 * MEMORY**3 / 4
    wanted = baselines.linear_prediction(covariance, ORDER, ridge=RIDGE)
    np.testing.assert_allclose(taps_of(state), wanted, atol=1e-3)


def test_nothing_is_predicted_before_a_hop_is_full():
    mean, _ = heard(following(), SIGNALS["tone"])
    assert not mean[: HOP - 1].any() and mean[HOP - 1 : 2 * HOP].all()


# -- what comes of it ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "order, hop, memory",
    [(ORDER, HOP, MEMORY), pytest.param(160, 64, 200.0, marks=SLOW)],
)
@pytest.mark.parametrize("name", SIGNALS)
def test_the_filter_is_stable_and_finite_whatever_it_hears(name, order, hop, memory):
    mean, state = heard(following(order, hop, memory), SIGNALS[name])
    assert np.isfinite(mean).all()
    poles = np.roots([1, *-taps_of(state)])
    assert np.abs(poles).max(initial=0) < 1


@pytest.mark.slow
@few
@given(SEEDS, st.floats(-150, 0), st.integers(1, 60), st.integers(1, 40))
def test_noise_of_any_loudness_is_followed_stably(seed, loudness_db, order, hop):
    x = 10 ** (loudness_db / 20) * coloured(seed, 8 * hop)
    mean, state = heard(following(order, hop), x)
    assert np.isfinite(mean).all()
    assert np.abs(np.roots([1, *-taps_of(state)])).max(initial=0) < 1


@pytest.mark.slow
def test_long_filters_survive_pure_tones():
    """At the order that a WaveNet has by default."""
    t = np.arange(6000)
    predictor = following(512, 256, 1200.0)
    for f in (0.001, 0.1, 1.0):
        found = error(predictor, np.sin(f * t))
        assert np.isfinite(found).all() and found[3000:].max() < 0.01


@pytest.mark.parametrize(
    "order, hop, memory",
    [(ORDER, HOP, MEMORY), (512, 256, 1200.0)],
)
def test_silence_has_taps_of_zero(order, hop, memory):
    predictor = following(order, hop, memory)
    mean, state = heard(predictor, np.zeros(4 * hop + 3))
    assert not mean.any() and not taps_of(state).any() and not np.asarray(state[1]).any()


def test_what_is_far_below_hearing_is_no_tone():
    """Noise 120 dB down is always there: a tone below it is not predicted, one above it is."""
    below, above = (level * np.sin(0.1 * T) for level in (1e-8, 1e-4))
    assert error(following(), below)[200:].mean() > 0.9 * np.abs(below).mean() / below.max()
    assert error(following(), above)[200:].mean() < 0.01


def test_a_note_is_predicted_far_better_than_by_what_all_notes_have_in_common():
    rate = 8000
    music = [tune(2.0, rate, seed=seed)[0].astype("float64") for seed in range(4)]
    covariance = sum(baselines.autocovariance(x, 32) for x in music)
    fixed = baselines.linear_prediction(covariance, 32)
    t = np.arange(rate)
    note = sum(np.sin(2 * np.pi * 233 * k * t / rate) / k**2 for k in range(1, 9))
    note = 0.3 * note * np.exp(-3 * t / rate)
    _, missed = baselines.predict(note, fixed)
    found = error(following(64, 64, 600.0), note)
    fixed_error = np.abs(missed[1:]) / np.abs(note).mean()
    assert found[2000:].mean() < 0.1 * fixed_error[2000:].mean()


def test_it_follows_from_note_to_note():
    """Soon after the sound has changed it is predicted as well as if it had never been another."""
    changed = np.sin(np.where(T < 320, 0.3, 0.2) * (T - 320))
    steady = np.sin(0.2 * (T - 320))
    found, always = (error(following(), x) for x in (changed, steady))
    assert found[320:340].max() > 20 * always[320:340].max()
    assert found[480:].max() < 0.02


# -- the law -------------------------------------------------------------------------------------


class Streaming:
    """A predictor of two channels as something that runs in time."""

    def __init__(self, predictor):
        self.step = predictor.step
        self.initial_state = lambda batch_size: predictor.initial_state(batch_size, 2)

    def __call__(self, x):
        return self.step(x, self.initial_state(len(x)))[0]


@pytest.mark.parametrize(
    "order, hop",
    [(24, 16), *(pytest.param(*slow, marks=SLOW) for slow in ((1, 1), (1, 16), (7, 5), (24, 40)))],
)
def test_it_keeps_the_contract(order, hop):
    x = np.swapaxes(coloured(3, 45, 2, 2), 1, 2)
    verify_contract(Streaming(following(order, hop)), x, tolerance=1e-4)


@pytest.mark.slow
@settings(max_examples=examples(15))
@given(SEEDS, st.lists(st.integers(1, 45), min_size=1, max_size=6))
def test_blocks_of_any_length_are_the_whole(seed, blocks):
    streaming = Streaming(following())
    x = np.swapaxes(coloured(seed, sum(blocks), 2, 2), 1, 2)
    whole = np.asarray(streaming(x))
    found = run_blocks(streaming.step, streaming.initial_state(2), x, blocks)
    np.testing.assert_allclose(found, whole, atol=1e-3 * x.std())


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 37])
def test_rows_are_fitted_each_in_its_own_time(size):
    """Rows that are in different places of their hop do not feel each other."""
    predictor, begun = following(), [3, 15, 16, 29]
    x = coloured(4, 110, 4)[..., None]  # (rows, samples, 1)
    states, alone = [], []
    for row, heard_before in enumerate(begun):
        one = x[row : row + 1]
        _, state = predictor.step(one[:, :heard_before], predictor.initial_state(1, 1))
        states.append(state)
        mean, _ = predictor.step(one[:, heard_before : heard_before + 2 * size], state)
        alone.append(np.asarray(mean)[0])
    state = tuple(np.concatenate(parts) for parts in zip(*states, strict=True))
    assert state[3][:, 0].tolist() == [3, 15, 0, 13]
    found = []
    for block in range(2):
        starts = [at + block * size for at in begun]
        part = np.stack([x[row, at : at + size] for row, at in enumerate(starts)])
        mean, state = predictor.step(part, state)
        found.append(np.asarray(mean))
    assert np.asarray(state[3])[:, 0].tolist() == [(at + 2 * size) % HOP for at in begun]
    np.testing.assert_allclose(np.concatenate(found, axis=1), np.stack(alone), atol=1e-4)
