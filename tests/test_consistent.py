"""Chance for frames: by itself as uniform as any, together the frames of white noise."""

import numpy as np
import pytest
from scipy.stats import kstest

from wavegen import consistent
from wavegen.chance import uniforms
from wavegen.codec import codec_of
from wavegen.config import SpectralLSTMConfig, build

SMALL = dict(sample_rate=8000, n_fft=64, hop_length=32, codes=8, bands=12)


def chance(config, start, count, seed=3):
    return np.stack([uniforms(seed, row, start, count, config.noise_shape) for row in range(4)])


def drawn(noise, config):
    """Complex normal coefficients by inverse CDF, as frames."""
    size = config.channels * config.n_fft // 2
    radius = np.sqrt(-np.log1p(-noise[:, :, 1 : 1 + size, 0].astype(float)))
    angle = 2 * np.pi * noise[:, :, 1 : 1 + size, 1]
    parts = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    parts = parts.reshape(*noise.shape[:2], 2, config.channels, -1)
    frames = np.swapaxes(parts, 2, 3).reshape(*noise.shape[:2], -1)
    return np.concatenate([frames, np.full((*frames.shape[:2], 1), -1.0)], axis=-1)


@pytest.mark.parametrize("channels", [1, 2])
def test_uniform_by_itself_and_white_noise_together(channels):
    config = build(SpectralLSTMConfig, SMALL | dict(channels=channels))
    codec, size = codec_of(config), channels * 32
    own = chance(config, 0, 400)
    before, last = chance(config, 1 << 39, 1)[:, 0], chance(config, 399, 1)[:, 0]
    found = consistent.white(own, before, last, codec, np.full(4, 5))
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() < 1
    others = np.ones(found.shape[2], bool)
    others[1 : 1 + size] = False
    assert np.array_equal(found[:, :, others], own[:, :, others])
    for coefficient in (1, 2, size // 2, size):  # one of every other frame: they do not overlap
        for half in range(2):
            assert kstest(found[:, ::2, coefficient, half].ravel(), "uniform").pvalue > 1e-4

    def power(noise):
        frames = drawn(noise, config)
        sound, _ = codec.decode_step(frames, codec.decode_initial((4,), frame=np.full(4, 5)))
        return np.var(sound[..., 64:])

    # Decoding what agrees with itself loses nothing, and half of what does not.
    assert power(found) == pytest.approx(1.0, rel=0.03)
    assert power(own) == pytest.approx(0.5, rel=0.03)


def test_blocks_of_other_chances_agree_where_they_meet():
    config = build(SpectralLSTMConfig, SMALL | dict(channels=1))
    codec, noise = codec_of(config), []
    for block in range(40):  # of 5 frames, each by another chance
        at = 5 * block
        own = chance(config, at + (block << 40), 5)
        before = chance(config, at - 1 if at else 1 << 39, 1)[:, 0]
        noise.append(
            consistent.white(own, before, chance(config, at + 4, 1)[:, 0], codec, np.full(4, at))
        )
    frames = drawn(np.concatenate(noise, axis=1), config)
    sound, _ = codec.decode_step(frames, codec.decode_initial((4,)))
    # A frame spans two hops, and a hop is whole when the next frame has come.
    state = codec.encode_initial((4,), frame=np.ones(4, int), past=sound[..., 32:64])
    again, _ = codec.encode_step(sound[..., 64:], state)
    assert np.abs(again[..., :64] - frames[:, 1 : 1 + again.shape[1], :64]).max() < 1e-3


def test_only_frames_that_overlap_by_half_have_it():
    assert consistent.applies(build(SpectralLSTMConfig, SMALL))
    assert not consistent.applies(build(SpectralLSTMConfig, SMALL | dict(hop_length=16)))
    assert not consistent.applies(build(SpectralLSTMConfig, SMALL | dict(head="mse")))
