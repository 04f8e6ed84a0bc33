"""Slow gains: what drifts comes back, what is right stays as it is, and blocks do not matter."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavegen import holding

RATE, BLOCK = 4000, 80  # 20 ms


def stereo(middle_db, side_db, seconds=6.0, seed=0):
    """Returns noise `(1, 2, samples)` whose middle and side have levels that may change."""
    samples = round(seconds * RATE)
    noise = np.random.default_rng(seed).standard_normal((2, samples))
    loud = [10 ** (np.broadcast_to(db, samples) / 20) for db in (middle_db, side_db)]
    middle, side = noise * np.stack(loud)
    return np.stack([middle + side, middle - side])[None].astype("float32")


def width_db(sound):
    return np.subtract(*holding.decibels(holding.powers(sound)[::-1]))


def played(hold, sound, heard, aim, block=BLOCK):
    found = []
    for start in range(0, sound.shape[-1], block):
        part = sound[..., start : start + block]
        signal, heard = hold(part, heard, aim, part.shape[-1] / RATE)
        found.append(signal)
    return np.concatenate(found, axis=-1)


@given(st.floats(-30.0, 0.0), st.floats(-12.0, 12.0))
def test_an_image_that_has_walked_away_comes_back(width, off):
    sound = stereo(-20.0, -20.0 + width + off)
    start = holding.powers(stereo(-20.0, -20.0 + width)[0])[None]
    turned = played(holding.image_held, sound, start, width)
    assert abs(width_db(turned[0, :, RATE * 3 :]) - width) < holding.IMAGE_DB + 1.0
    middles = [x.mean(axis=1) for x in (sound, turned)]
    np.testing.assert_allclose(*middles, atol=1e-6)  # the middle is left alone


@given(st.floats(-0.5, 0.5))
def test_an_image_as_wide_as_it_should_be_is_not_touched(off):
    sound = stereo(-20.0, -30.0 + off)
    start = np.array([[1e-2, 1e-3 * 10 ** (off / 10)]])
    calm = played(holding.image_held, sound, start, -10.0, block=RATE)
    np.testing.assert_allclose(calm, sound, rtol=1e-5, atol=1e-7)


def test_a_turn_is_bounded_and_has_no_step():
    sound = stereo(-20.0, 0.0)
    sound[:] = np.where(np.arange(2)[:, None], -1.0, 1.0)  # all side, steady
    turned = played(holding.image_held, sound, np.array([[1e-2, 1e-6]]), -70.0)
    assert np.abs(np.diff(turned[0, 0])).max() < 0.08  # of a jump from 0 to -60 dB
    assert turned[0, 0, -1] == pytest.approx(10 ** (holding.IMAGE_TURNED_DB[0] / 20), rel=1e-3)


def test_what_is_in_the_middle_stays_there():
    sound = np.repeat(stereo(-20.0, -90.0)[:, :1], 2, axis=1)
    turned = played(holding.image_held, sound, np.array([[1e-2, 0.0]]), -90.0)
    np.testing.assert_array_equal(turned[:, 0], turned[:, 1])


@pytest.mark.parametrize(
    ("off", "left", "most"),
    [
        (-12.0, -6.0, holding.LEVEL_TURNED_DB),
        (-5.0, -1.0, holding.LEVEL_TURNED_DB),
        (0.8, 0.8, holding.LEVEL_TURNED_DB),
        (6.0, 1.0, holding.LEVEL_TURNED_DB),
        (12.0, 6.0, holding.LEVEL_TURNED_DB),
        (12.0, 1.0, holding.HELD_TURNED_DB),
        (20.0, 6.0, holding.HELD_TURNED_DB),
    ],
)
def test_a_level_comes_back_but_for_what_is_left_to_the_music(off, left, most):
    sound = stereo(-40.0 + off, -300.0, seconds=30.0)
    turned = played(partial(holding.level_held, most_db=most), sound, np.array([1e-4]), -40.0)
    level = 10 * np.log10(np.mean(np.square(turned[..., -10 * RATE :], dtype=float)))
    assert level + 40 == pytest.approx(left, abs=0.3)


@pytest.mark.parametrize("off", [-4.0, 0.0, 4.0])
def test_what_is_told_is_played_as_loud(off):
    told = stereo(-30.0, -36.0, seconds=3.0) * (1 + np.arange(3 * RATE) // RATE)
    sound = (told * 10 ** (off / 20)).astype("float32")
    powers, parts, size = np.zeros((1, 2)), [], RATE // 20
    for at in range(0, sound.shape[-1], size):
        cut = slice(at, at + size)
        part, powers = holding.told_held(sound[..., cut], told[..., cut], powers, size / RATE)
        parts.append(part)
    turned = np.concatenate(parts[1:], axis=-1)  # within the first it gets there
    np.testing.assert_allclose(turned, told[..., size:], rtol=1e-3, atol=1e-6)


def test_what_is_silent_is_not_made_loud_and_gains_have_bounds():
    silence, sound = np.zeros((1, 2, RATE), "float32"), stereo(-30.0, -36.0, seconds=1.0)
    assert not holding.told_held(silence, sound, np.full((1, 2), 1e-3), 1.0)[0].any()
    turned = holding.told_held(sound, silence, np.zeros((1, 2)), 1.0)[0]
    least = 10 ** (holding.TOLD_TURNED_DB[0] / 20)
    np.testing.assert_allclose(turned[..., -1], least * sound[..., -1], rtol=1e-3)


def test_rows_do_not_know_of_each_other():
    sounds = [stereo(-20.0, width, seed=i) for i, width in enumerate((-20.0, -10.0, -50.0))]
    start = np.array([[1e-2, 1e-3]])
    alone = [played(holding.image_held, sound, start, -10.0) for sound in sounds]
    together = played(holding.image_held, np.concatenate(sounds), start.repeat(3, axis=0), -10.0)
    np.testing.assert_array_equal(np.concatenate(alone), together)
