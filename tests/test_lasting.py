"""Chance that lasts: uniform by itself, next like last, the same in blocks of any length."""

import numpy as np
from conftest import make_config
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from wavegen.chance import uniforms
from wavegen.lasting import SECONDS, SHARE, lasting

CONFIG = make_config("spectral_lstm", channels=2)
FIRST = CONFIG.swings.start
EVERY = round(SECONDS * CONFIG.sample_rate / CONFIG.hop_length)  # frames


def drawn(start, frames, variations=(0, 1, 2), attempt=0, seed=7):
    """Returns chance, and what became of it."""
    at = start + (attempt << 40)
    before = np.stack([uniforms(seed, v, at, frames, CONFIG.noise_shape) for v in variations])
    after = before.copy()
    lasting(after, CONFIG, seed, list(variations), start)
    return before, after


def test_it_is_uniform_by_itself_and_goes_together_for_a_while():
    before, after = drawn(0, 200 * EVERY)
    assert after.dtype == np.float32 and after.min() >= 0 and after.max() < 1
    assert np.array_equal(before[:, :, :FIRST], after[:, :, :FIRST])
    own = after[:, :, FIRST:]
    for part in range(3):  # between two numbers of the curve, too
        apart = own[0, part * EVERY // 3 :: 2 * EVERY, :, 0].ravel()
        assert kstest(apart, "uniform").pvalue > 1e-4
    normal = norm.ppf(np.clip(own.reshape(3, len(own[0]), -1).astype(float), 1e-7, 1 - 1e-7))

    def together(frames):
        return np.mean(normal[:, frames:] * normal[:, : normal.shape[1] - frames])

    assert abs(together(1) - SHARE) < 0.05
    assert 0.2 < together(EVERY // 2) < SHARE and abs(together(2 * EVERY)) < 0.05
    # Bands, the two of a pair and variations know nothing of each other.
    flat = np.swapaxes(normal, 1, 2).reshape(-1, normal.shape[1])[:, :: 2 * EVERY]
    assert np.abs(np.corrcoef(flat) - np.eye(len(flat))).mean() < 0.1


@given(st.integers(0, 10**9), st.integers(1, 3 * EVERY), st.integers(1, 3 * EVERY))
def test_blocks_of_any_length_and_batches_are_the_same(start, one, two):
    _, whole = drawn(start, one + two)
    _, first = drawn(start, one)
    _, second = drawn(start + one, two, (2, 0))
    assert np.array_equal(whole[:, :one], first)
    assert np.array_equal(whole[[2, 0], one:], second)


def test_other_chances_share_what_lasts():
    _, one = drawn(5, 4 * EVERY, (0,))
    _, other = drawn(5, 4 * EVERY, (0,), attempt=3)
    own, others = (norm.ppf(a[0, :, FIRST:].astype(float)).ravel() for a in (one, other))
    assert abs(np.corrcoef(own, others)[0, 1] - SHARE) < 0.1
    _, fourth = drawn(5, 4 * EVERY, (4,))
    assert abs(np.corrcoef(own, norm.ppf(fourth[0, :, FIRST:].astype(float)).ravel())[0, 1]) < 0.2
