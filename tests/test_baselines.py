import dataclasses
import math

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from wavegen.baselines import (
    BLOCK,
    FIT_SAMPLES,
    EvenBlocks,
    SampleBaselines,
    autocovariance,
    linear_prediction,
    logistic_bits,
    predict,
    running_mean,
)
from wavegen.codec import PCM16, STFT, MuLaw
from wavegen.config import POLE
from wavegen.frame_baselines import FrameBaselines, student_scale, two_taps

SAMPLE_NAMES = [
    "uniform",
    "histogram",
    "bigram",
    "linear predictor, fixed scale",
    "linear predictor, adaptive scale",
]
few = settings(max_examples=examples(25))


def wave(seed, samples, channels=1, scale=0.02):
    """Returns (channels, samples) of an AR(2) source with logistic innovations."""
    noise = np.random.default_rng(seed).logistic(0, scale, (channels, samples))
    return lfilter([1], [1, -1.2, 0.5], noise).astype("float32")


def means(bits):
    return {name: float(cost.mean()) for name, cost in bits.items()}


@pytest.fixture(scope="module")
def codec():
    return MuLaw(32)


@pytest.fixture(scope="module")
def fitted(codec):
    return SampleBaselines.fit(codec, [codec.encode(wave(seed, 6000)) for seed in (1, 2)])


# -- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [64, 100, 1024])
def test_uniform_noise_costs_the_logarithm_of_the_levels(levels):
    rng = np.random.default_rng(0)
    train, fresh = rng.integers(0, levels, (2, 60_000, 1))
    found = means(SampleBaselines.fit(MuLaw(levels), [train]).bits(fresh))
    assert list(found) == SAMPLE_NAMES
    assert found["uniform"] == pytest.approx(math.log2(levels))
    assert found["histogram"] == pytest.approx(math.log2(levels), abs=0.03)
    assert all(cost > math.log2(levels) - 0.01 for cost in found.values())


@pytest.mark.parametrize("level", [0, 32, 40, 63])
def test_a_constant_costs_next_to_nothing(level):
    frames = np.full((20_000, 1), level, np.int32)
    bits = SampleBaselines.fit(MuLaw(64), [frames]).bits(frames)
    assert bits["bigram"][1:].mean() < 0.01 and bits["histogram"].mean() < 0.01
    assert bits["linear predictor, adaptive scale"][200:].mean() < 0.01


@pytest.mark.parametrize("levels", [16, 256, 1024])
def test_bigram_learns_what_follows_what(levels):
    frames = (np.arange(20_000) * (levels // 8) % levels).astype(np.int32)[:, None]
    bits = SampleBaselines.fit(MuLaw(levels), [frames]).bits(frames)
    assert bits["histogram"].mean() == pytest.approx(3, abs=0.1)
    assert bits["bigram"][1:].mean() < 0.02


def test_predictors_pay_the_entropy_of_the_residual():
    codec, scale = MuLaw(4096), 0.05
    found = SampleBaselines.fit(codec, [codec.encode(wave(1, 60_000, scale=scale))])
    fresh = codec.encode(wave(2, 60_000, scale=scale))
    bounds = np.concatenate([[-1], codec.edges, [1]])
    width = np.diff(bounds)[fresh].mean(), np.log2(np.diff(bounds)[fresh]).mean()
    assert width[0] < scale / 20  # bins are fine against the residual
    entropy = (math.log(scale) + 2) / math.log(2)  # of a logistic density
    bits = means(found.bits(fresh))
    assert bits["linear predictor, fixed scale"] == pytest.approx(entropy - width[1], abs=0.05)
    assert bits["linear predictor, adaptive scale"] == pytest.approx(entropy - width[1], abs=0.1)
    np.testing.assert_allclose(found.coefficients[:3], [1.2, -0.5, 0], atol=0.03)
    assert found.fixed_scale == pytest.approx(scale, rel=0.05)
    assert bits["linear predictor, fixed scale"] < bits["histogram"] - 0.5


def test_adaptive_scale_follows_the_loudness():
    codec = MuLaw(1024)
    loudness = np.where(np.arange(40_000) // 4000 % 2, 1.0, 0.05)
    frames = codec.encode((wave(3, 40_000, scale=0.05) * loudness).astype("float32"))
    bits = means(SampleBaselines.fit(codec, [frames]).bits(frames))
    assert bits["linear predictor, adaptive scale"] < bits["linear predictor, fixed scale"] - 0.2


@few
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_probabilities_of_all_levels_add_up_to_one(fitted, codec, seed, samples):
    levels = codec.encode(wave(seed, samples))[:, 0]
    total = dict.fromkeys(SAMPLE_NAMES, 0.0)
    for last in range(codec.levels):
        levels[-1] = last
        for name, bits in fitted.channel_bits(levels).items():
            total[name] += 2.0 ** -bits[-1]
    assert total == pytest.approx(dict.fromkeys(SAMPLE_NAMES, 1.0), abs=1e-6)


@few
@given(
    st.floats(-3, 3),
    st.floats(-12, 3).map(lambda exponent: 10**exponent),
    st.sampled_from([4, 5, 64, 257]),
)
def test_discretised_logistic_adds_up_to_one_however_far_its_mean(mean, scale, levels):
    edges = MuLaw(levels).edges.astype(np.float64)
    bits = logistic_bits(np.arange(levels), mean, scale, edges)
    assert np.isfinite(bits).all() and (bits >= 0).all()
    assert (2.0**-bits).sum() == pytest.approx(1, abs=1e-9)


@few
@given(st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_the_future_does_not_change_the_past(fitted, codec, seed, now):
    frames, other = codec.encode(wave(seed, 300)), codec.encode(wave(seed + 1, 300))
    other[:now] = frames[:now]
    bits, others = fitted.bits(frames), fitted.bits(other)
    for name in SAMPLE_NAMES:
        np.testing.assert_array_equal(bits[name][:now], others[name][:now])


@few
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_channels_are_judged_each_by_itself(fitted, seed, channels):
    frames = MuLaw(32, channels).encode(wave(seed, 100, channels))
    bits = fitted.bits(frames)
    for channel in range(channels):
        for name, alone in fitted.bits(frames[:, channel : channel + 1]).items():
            assert bits[name].shape == (100, channels)
            np.testing.assert_array_equal(bits[name][:, channel], alone[:, 0])


def test_fitting_on_two_channels_counts_both():
    frames = MuLaw(32, 2).encode(wave(5, 5000, 2))
    both = SampleBaselines.fit(MuLaw(32, 2), [frames])
    each = SampleBaselines.fit(MuLaw(32), [frames[:, :1], frames[:, 1:]])
    np.testing.assert_array_equal(both.histogram, each.histogram)
    np.testing.assert_array_equal(both.bigram, each.bigram)
    np.testing.assert_allclose(both.coefficients, each.coefficients)
    assert both.histogram.sum() == 10_000 and both.bigram.sum() == 2 * 4999


def test_arrays_give_the_same_baselines_back(fitted, codec):
    frames = codec.encode(wave(9, 500))
    again = SampleBaselines.from_arrays(codec, fitted.to_arrays())
    for name, bits in fitted.bits(frames).items():
        np.testing.assert_array_equal(again.bits(frames)[name], bits)
    for name, array in again.to_arrays().items():
        np.testing.assert_array_equal(array, fitted.to_arrays()[name])


@pytest.mark.parametrize("samples", [1, 2, 40, 65, 5000])
@pytest.mark.parametrize("loud", [0.0, 1.0])
@pytest.mark.parametrize("codec", [MuLaw(64), PCM16()])
def test_short_and_silent_recordings_can_be_fitted(codec, samples, loud):
    frames = codec.encode((loud * wave(1, samples)).astype("float32"))
    found = SampleBaselines.fit(codec, [frames])
    assert all(np.isfinite(array).all() for array in found.to_arrays().values())
    assert 0 < found.scale_floor < found.scale_ceiling and found.fixed_scale > 0
    for bits in found.bits(codec.encode(wave(2, 100))).values():
        assert np.isfinite(bits).all()


# Of 16 bits the histogram and the bigram know some hundreds of classes, in which all are alike.


@pytest.fixture(scope="module")
def fitted_16():
    codec = PCM16()
    return SampleBaselines.fit(codec, [codec.encode(wave(seed, 20_000)) for seed in (1, 2)])


def test_noise_of_16_bits_costs_16_bits():
    codec, rng = PCM16(), np.random.default_rng(0)
    train, fresh = rng.integers(0, 65536, (2, 60_000, 1)).astype(np.int32)
    found = means(SampleBaselines.fit(codec, [train]).bits(fresh))
    assert list(found) == SAMPLE_NAMES and found["uniform"] == 16
    assert found["histogram"] == pytest.approx(16, abs=0.01)
    assert all(cost > 15.99 for cost in found.values())


def test_probabilities_of_all_16_bit_levels_add_up_to_one(fitted_16):
    every = np.arange(65536)
    bits = fitted_16.channel_bits(every)
    assert (2.0 ** -bits["histogram"]).sum() == pytest.approx(1, abs=1e-9)
    for before in (0, 30_000, 32_768, 65_535):
        after = np.stack([np.full(65536, before), every], axis=1).ravel()
        cost = fitted_16.channel_bits(after)["bigram"][1::2]
        assert (2.0**-cost).sum() == pytest.approx(1, abs=1e-9)
    for mean, scale in ((0.0, 1e-6), (0.3, 1e-3), (-1.7, 0.1), (1.0, 3.0)):
        cost = logistic_bits(every, mean, scale, PCM16().edges.astype(np.float64))
        assert (2.0**-cost).sum() == pytest.approx(1, abs=1e-9)


def test_levels_of_one_class_cost_the_same(fitted_16):
    every, classes = np.arange(65536), PCM16().classes
    cost = fitted_16.channel_bits(every)["histogram"]
    for number in (0, 100, 128, 255):
        assert np.ptp(cost[classes == number]) == 0
    assert fitted_16.histogram.shape == (256,) and fitted_16.bigram.shape == (256, 256)
    assert fitted_16.histogram.sum() == 40_000


def test_music_of_16_bits_is_better_known_the_more_is_looked_at(fitted_16):
    fresh = PCM16().encode(wave(3, 20_000))
    found = means(fitted_16.bits(fresh))
    scale, step = 0.02, 2 / 65536
    entropy = (math.log(scale / step) + 2) / math.log(2)  # of the source's logistic innovation
    assert 15 > found["histogram"] > found["linear predictor, fixed scale"] + 0.5
    assert found["linear predictor, fixed scale"] == pytest.approx(entropy, abs=0.02)
    assert found["linear predictor, adaptive scale"] == pytest.approx(entropy, abs=0.05)
    np.testing.assert_allclose(fitted_16.coefficients[:3], [1.2, -0.5, 0], atol=0.03)


def test_16_bit_baselines_come_back_from_a_model_file_for_its_codec(fitted_16):
    frames, arrays = PCM16(2).encode(wave(9, 500, 2)), fitted_16.to_arrays()
    assert set(arrays) == {"histogram", "bigram", "coefficients", "scales"}  # tables: the codec's
    again = SampleBaselines.from_arrays(PCM16(2), arrays)
    for name, bits in fitted_16.bits(frames).items():
        np.testing.assert_array_equal(again.bits(frames)[name], bits)


def hours(pieces, length=33_000):
    return (np.full((length, 1), piece, np.int32) for piece in range(pieces))


@pytest.mark.parametrize("pieces", [1, 7, 100, 600])
def test_scales_are_fitted_evenly_on_early_and_late_recordings(pieces):
    blocks = EvenBlocks()
    for chunk in hours(pieces):
        blocks.add(chunk)
    used = np.array([block[0, 0] for block in blocks.kept])
    assert min(pieces * 8, FIT_SAMPLES // BLOCK // 2) <= len(used) <= FIT_SAMPLES // BLOCK
    if pieces >= 100:
        fifths = np.histogram(used, 5, (0, pieces))[0]
        assert fifths.max() <= 1.3 * fifths.min(), fifths


@pytest.mark.slow
def test_ceiling_is_the_greatest_scale_of_all_the_training():
    codec, length = MuLaw(1024), 1_000_000
    x = wave(4, length, scale=1e-3)[0]
    x[700_123:700_400] *= 100  # a moment that no even sample is likely to meet
    frames = codec.encode(x[None])
    found = SampleBaselines.fit(codec, np.array_split(frames, 7))
    error = predict(codec.values.astype(float)[frames[:, 0]], found.coefficients)[1]
    greatest = running_mean(np.abs(error))[:length].max()
    assert found.scale_ceiling == pytest.approx(found.scale_ratio * greatest, rel=1e-3)
    assert found.pole == POLE


def test_a_piece_that_begins_amid_sound_does_not_raise_the_ceiling():
    codec = MuLaw(4096)
    x = 0.7 * np.cos(np.arange(200_000) * 0.01) + 1e-3 * wave(6, 200_000)[0]
    frames = codec.encode(x[None].astype("float32"))
    found = SampleBaselines.fit(codec, np.array_split(frames, 40))  # most begin far from zero
    error = predict(codec.values.astype(float)[frames[:, 0]], found.coefficients)[1]
    greatest = running_mean(np.abs(error))[600:].max()  # the whole begins amid sound as well
    assert found.scale_ceiling <= found.scale_ratio * greatest * 1.001


def test_the_floor_is_of_least_bits_though_few_samples_feel_it():
    codec = MuLaw(256)
    loudness = np.where(np.arange(120_000) % 40_000 < 2000, 1e-5, 1.0)  # music with rests
    frames = codec.encode((wave(7, 120_000, scale=2e-3) * loudness).astype("float32"))
    found = SampleBaselines.fit(codec, [frames])
    name, paid = "linear predictor, adaptive scale", []
    for factor in (1.0, 0.1, 10.0):
        other = dataclasses.replace(found, scale_floor=found.scale_floor * factor)
        paid.append(other.bits(frames)[name][1000:].mean())
    assert paid[0] <= min(paid) + 3e-4


@pytest.mark.slow
def test_scales_know_the_end_of_the_training_as_well_as_its_beginning():
    codec = MuLaw(1024)
    loudness = np.where(np.arange(300_000) < 100_000, 0.05, 1.0)
    frames = codec.encode((wave(8, 300_000) * loudness).astype("float32"))
    found = SampleBaselines.fit(codec, np.array_split(frames, 5))
    name = "linear predictor, fixed scale"
    paid = found.bits(frames)[name].mean()
    for factor in (0.8, 1.25):
        other = dataclasses.replace(found, fixed_scale=found.fixed_scale * factor)
        assert paid < other.bits(frames)[name].mean()


# -- their parts ---------------------------------------------------------------------------------


@few
@given(st.floats(0, 0.95), st.floats(0, math.pi), st.integers(2, 12))
def test_linear_prediction_recovers_the_coefficients_of_a_source(radius, angle, order):
    known = np.zeros(order)
    known[:2] = 2 * radius * math.cos(angle), -(radius**2)
    response = lfilter([1], [1, *-known], np.eye(1, 1500)[0])
    found = linear_prediction(autocovariance(response, order), order)
    np.testing.assert_allclose(found, known, atol=1e-3)
    mean, error = predict(response, known)
    np.testing.assert_allclose(mean + error, response, atol=1e-12)
    np.testing.assert_allclose(error, np.eye(1, 1500)[0], atol=1e-9)


@few
@given(st.integers(0, 20), st.integers(0, 8))
def test_autocovariance_is_the_sum_of_products(samples, order):
    x = np.random.default_rng(samples).standard_normal(samples)
    wanted = [sum(x[t] * x[t - k] for t in range(k, samples)) for k in range(order + 1)]
    np.testing.assert_allclose(autocovariance(x, order), wanted, atol=1e-12)


def test_running_mean_knows_only_the_past():
    mean = running_mean(np.r_[np.zeros(5), 1.0, np.zeros(4)])
    assert (mean[:6] == 0).all() and (np.diff(mean[6:]) < 0).all() and mean[6] > 0
    assert running_mean(np.ones(1000))[-1] == pytest.approx(1)


# -- frames --------------------------------------------------------------------------------------

FRAME_NAMES = ["one Gaussian", "Gaussian per bin", "Student-t per bin", "two-tap predictor"]
DEVIATION = np.geomspace(0.5, 1e-3, 16)  # of each bin


def circular(seed, frames, channels=1):
    """Returns complex (frames, channels, 16) of unit variance of both parts."""
    z = np.random.default_rng(seed).standard_normal((2, frames, channels, 16))
    return z[0] + 1j * z[1]


def flat(z):
    """Returns float32 (frames, features) from complex (frames, channels, coefficients)."""
    return np.stack([z.real, z.imag], axis=2).reshape(len(z), -1).astype("float32")


@pytest.mark.parametrize("channels", [1, 2])
def test_gaussian_frames_cost_their_entropy(channels):
    codec = STFT(32, 16, channels)
    found = FrameBaselines.fit(codec, [flat(circular(0, 5000, channels) * DEVIATION)])
    nats = found.nats(flat(circular(1, 5000, channels) * DEVIATION))
    assert list(nats) == FRAME_NAMES and all(cost.shape == (5000,) for cost in nats.values())
    entropy = np.log(2 * np.pi * np.e * DEVIATION**2).mean()
    cost = means(nats)
    assert cost["Gaussian per bin"] == pytest.approx(entropy, abs=0.01)
    # Nothing can be cheaper than the entropy, and one variance for all costs its share more.
    wanted = math.log(2 * math.pi * math.e * (DEVIATION**2).mean())
    assert cost["one Gaussian"] == pytest.approx(wanted, abs=0.02)
    assert entropy + 0.01 < cost["Student-t per bin"] < entropy + 0.1
    assert cost["two-tap predictor"] > entropy


def test_heavy_tails_favour_the_student():
    rng = np.random.default_rng(3)
    z = circular(2, 6000) * DEVIATION / np.sqrt(rng.chisquare(4, (6000, 1, 16)) / 4)
    found = FrameBaselines.fit(STFT(32, 16), [flat(z[:3000])])
    cost = means(found.nats(flat(z[3000:])))
    assert cost["Student-t per bin"] < cost["Gaussian per bin"] - 0.05
    np.testing.assert_allclose(student_scale(np.abs(z) ** 2)[0], DEVIATION**2, rtol=0.1)


def resonator(seed, frames):
    a = 1.8 * np.exp(1j * np.linspace(-2, 2, 16))  # two poles of each bin, side by side
    b = -0.81 * np.exp(2j * np.linspace(-2, 2, 16))
    z = circular(seed, frames)
    for t in range(2, frames):
        z[t] += a * z[t - 1] + b * z[t - 2]
    return z * DEVIATION, a, b


def test_a_resonator_is_predicted_by_two_taps():
    z, a, b = resonator(4, 6000)
    found = FrameBaselines.fit(STFT(32, 16), np.split(flat(z[:3000]), 4))
    first, second = found.taps[:, 0] + 1j * found.taps[:, 1]
    np.testing.assert_allclose(first[0], a, atol=0.1)
    np.testing.assert_allclose(second[0], b, atol=0.1)
    cost = means(found.nats(flat(z[3000:])))
    assert cost["two-tap predictor"] < cost["Student-t per bin"] - 1
    entropy = np.log(2 * np.pi * np.e * DEVIATION**2).mean()
    assert cost["two-tap predictor"] == pytest.approx(entropy, abs=0.1)


def test_a_steady_tone_through_the_codec_is_predicted_by_two_taps():
    codec = STFT(64, 32)
    tone = 0.5 * np.sin(np.arange(64_000) * 0.123)
    noise = 1e-3 * np.random.default_rng(0).standard_normal(64_000)
    frames = codec.encode((tone + noise)[None].astype("float32"))
    cost = means(FrameBaselines.fit(codec, [frames]).nats(frames))
    assert cost["two-tap predictor"] < cost["Student-t per bin"] - 0.5


@few
@given(st.integers(0, 2**32 - 1), st.floats(0, 1.5))
def test_poles_of_the_taps_lie_inside_the_circle(seed, growth):
    z = circular(seed, 40) * np.exp(growth * np.arange(40))[:, None, None]
    a, b = two_taps(z[2:], z[1:-1], z[:-2])
    for one, two in zip(a.ravel(), b.ravel(), strict=True):
        assert np.abs(np.roots([1, -one, -two])).max() < 0.999


@few
@given(st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_frames_to_come_do_not_change_the_cost_of_those_before(seed, now):
    found = FrameBaselines.fit(STFT(32, 16), [flat(circular(0, 50))])
    frames, other = flat(circular(seed, 50)), flat(circular(seed + 1, 50))
    other[:now] = frames[:now]
    for name, nats in found.nats(frames).items():
        np.testing.assert_allclose(nats[:now], found.nats(other)[name][:now], rtol=1e-6)


def test_channels_of_frames_are_fitted_each_by_itself():
    z = circular(5, 2000, 2) * np.array([[1.0], [0.1]]) * DEVIATION
    both = FrameBaselines.fit(STFT(32, 16, 2), [flat(z)])
    for channel in (0, 1):
        alone = FrameBaselines.fit(STFT(32, 16), [flat(z[:, channel : channel + 1])])
        for name, array in alone.to_arrays().items():
            axis = 2 if name == "taps" else 0
            shared = np.take(both.to_arrays()[name], [channel], axis=axis)
            np.testing.assert_allclose(shared, array, rtol=1e-4, atol=1e-6)


def test_frame_arrays_give_the_same_baselines_back():
    found = FrameBaselines.fit(STFT(32, 16), [flat(circular(0, 300) * DEVIATION)])
    again = FrameBaselines.from_arrays(found.to_arrays())
    frames = flat(circular(1, 20))
    for name, nats in found.nats(frames).items():
        np.testing.assert_array_equal(again.nats(frames)[name], nats)
    assert all(array.dtype == np.float32 for array in found.to_arrays().values())


@pytest.mark.parametrize("frames", [1, 2, 3, 400])
@pytest.mark.parametrize("loud", [0.0, 1.0])
def test_few_and_silent_frames_can_be_fitted(frames, loud):
    found = FrameBaselines.fit(STFT(32, 16), [flat(loud * circular(0, frames))])
    for nats in found.nats(flat(circular(1, 10))).values():
        assert np.isfinite(nats).all()


def test_fitting_on_very_many_chunks_forgets_none_of_the_power():
    chunks = [flat((1 + i % 2) * circular(i, 900)) for i in range(40)]
    found = FrameBaselines.fit(STFT(32, 16), iter(chunks))
    np.testing.assert_allclose(found.gaussian_per_bin, 2.5, rtol=0.05)
