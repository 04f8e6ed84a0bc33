"""Chance for frames: by itself as normal as any, together the frames of white noise."""

import numpy as np
import pytest
from scipy.stats import kstest

from wavegen import consistent
from wavegen.chance import normals, uniforms
from wavegen.codec import codec_of
from wavegen.config import SpectralLSTMConfig, build

SMALL = dict(sample_rate=8000, n_fft=64, hop_length=32, codes=8, bands=12)


def chance(config, start, count, seed=3):
    return np.stack(
        [uniforms(seed, row, start, count, consistent.shape(config)) for row in range(4)]
    )


def drawn(noise, config):
    """Complex normal coefficients of mean square 1, as frames."""
    parts = np.swapaxes(noise[:, :, config.normals], 2, 3) * 0.5**0.5
    parts = parts.reshape(*noise.shape[:2], 2, config.channels, -1)
    frames = np.swapaxes(parts, 2, 3).reshape(*noise.shape[:2], -1)
    return np.concatenate([frames, np.full((*frames.shape[:2], 1), -1.0)], axis=-1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("n_fft", [64, 66])
def test_normal_by_itself_and_white_noise_together(channels, n_fft):
    fields = SMALL | dict(channels=channels, n_fft=n_fft, hop_length=n_fft // 2)
    config = build(SpectralLSTMConfig, fields)
    codec, size, pairs = codec_of(config), channels * n_fft // 2, config.normals
    own = chance(config, 0, 401)
    found = consistent.white(own, own, config, codec, np.full(4, 5))
    assert found.dtype == np.float32 and found.shape == (4, 400, *config.noise_shape)
    assert np.array_equal(found[:, :, : pairs.start], own[:, 1:, : pairs.start])
    rest = found.shape[2] - pairs.stop
    assert np.array_equal(found[:, :, pairs.stop :], own[:, 1:, own.shape[2] - rest :])
    for coefficient in (1, 2, size // 2, size):  # one of every other frame: they do not overlap
        for half in range(2):
            assert kstest(found[:, ::2, coefficient, half].ravel(), "norm").pvalue > 1e-4
    apart = found.copy()
    several = np.random.default_rng(0).random((*found.shape[:2], size, 2), np.float32)
    apart[:, :, pairs] = normals(several)

    def power(noise):
        frames = drawn(noise, config)
        sound, _ = codec.decode_step(frames, codec.decode_initial((4,), frame=np.full(4, 5)))
        return np.var(sound[..., n_fft:])

    # Decoding what agrees with itself loses nothing, and half of what does not.
    assert power(found) == pytest.approx(1.0, rel=0.03)
    assert power(apart) == pytest.approx(0.5, rel=0.03)


def test_blocks_of_other_chances_agree_where_they_meet():
    config = build(SpectralLSTMConfig, SMALL | dict(channels=1))
    codec, noise = codec_of(config), []
    for block in range(40):  # of 5 frames, each by another chance
        at = 5 * block
        own, shared = chance(config, at + (block << 40), 6), chance(config, at, 6)
        noise.append(consistent.white(own, shared, config, codec, np.full(4, at)))
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
