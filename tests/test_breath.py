"""Without a seed there is music all the same: it begins on a breath of noise."""

import dataclasses

import numpy as np
import pytest

from wavegen import checkpoint, demo, moment
from wavegen.breath import BELOW_DB, SIDE, breath
from wavegen.climate import level_db
from wavegen.sampling import Sampler


@pytest.fixture(scope="module")
def sampler():
    return Sampler(checkpoint.read_model(demo.DEMOS["demo-lstm"]))


def colours(sound, rate):
    """Returns the mean levels of groups of bands, dB against their mean."""
    power = moment.mel_power(sound[None], rate)[0]  # (bands, frames)
    decibels = 10 * np.log10(power.mean(axis=1)).reshape(moment.COLOURS, -1).mean(axis=1)
    return decibels - decibels.mean()


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_a_breath_is_as_loud_and_of_the_colour_as_recordings_are(sampler, rate):
    climate = dataclasses.replace(sampler.climate, loudest_db=-20.0)
    sound = breath(climate, rate, 2)
    assert sound.dtype == np.float32 and sound.shape[0] == 2
    assert level_db(sound) == pytest.approx(-20.0 - BELOW_DB, abs=0.1)
    for slope in (0.0, -10.0, 5.0):  # dB from group to group
        wanted = slope * np.arange(moment.COLOURS)
        usual = np.array(climate.usual)
        usual[moment.COLOUR : moment.COLOUR + moment.COLOURS] = wanted
        own = breath(dataclasses.replace(climate, usual=tuple(usual)), rate, 2)
        assert np.abs(colours(own, rate) - wanted + wanted.mean()).max() < 2.5
    difference = np.square(sound[0] - sound[1]).mean() / np.square(sound.sum(axis=0)).mean()
    assert difference == pytest.approx(SIDE**2, rel=0.3)
    assert breath(climate, rate, 1).shape == (1, sound.shape[1])


def test_what_has_no_seed_is_no_silence_and_always_the_same(sampler):
    rate, channels = sampler.config.sample_rate, sampler.config.channels
    none = np.zeros((channels, 0), "float32")
    sound = sampler.generate(none, 3.0, rng_seed=1, count=2)
    assert sound.shape == (2, channels, 3 * rate)
    for row in sound:
        assert sampler.climate.softest_db - 12 < level_db(row) < sampler.climate.loudest_db + 6
    assert np.array_equal(sound[1], sampler.generate(none, 3.0, rng_seed=1, first_variation=1)[0])
    silence = np.zeros((channels, rate), "float32")
    assert np.array_equal(sound[:1], sampler.generate(silence, 3.0, rng_seed=1))


def test_who_does_not_know_recordings_begins_from_silence():
    file = checkpoint.read_model(demo.DEMOS["demo-lstm"])
    unknowing = Sampler(dataclasses.replace(file, extra={}))
    none = np.zeros((unknowing.config.channels, 0), "float32")
    assert level_db(unknowing.generate(none, 0.5, rng_seed=1)[0]) < -60.0
