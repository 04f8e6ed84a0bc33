import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.special import expit, log_expit, logsumexp

from wavegen import backend
from wavegen.codec import PCM16
from wavegen.models import heads

EVERY = np.arange(heads.LEVELS, dtype="int32")
LEAST = np.log(heads.UNIFORM / heads.LEVELS)  # what a level costs at most
few = settings(max_examples=examples(30))
MEANS = st.floats(-3, 3)
SCALES = st.floats(-6, 1).map(lambda exponent: 10**exponent)
MIXTURES = st.lists(st.tuples(st.floats(-8, 3), MEANS, SCALES), min_size=1, max_size=5)
ONE = np.float32(1)


def parts_of(components):
    """Returns (log-weights, means, scales) of a list of (weight, mean, scale)."""
    weights, means, scales = np.array(components, "float32").T
    return weights - np.float32(logsumexp(weights)), means, scales


def log_prob(parts, levels):
    """Returns log-probabilities of levels (n,), by the code to be tested."""
    return np.asarray(heads.mixture_log_prob(tuple(part[None] for part in parts), levels))


def wanted_log_prob(parts, levels):
    """Returns the same in double precision, by differences in the tail where they are exact."""
    weights, means, scales = (part.astype("float64")[None] for part in parts)
    edges = (levels[:, None] + np.array([-0.5, 0.5]) - heads.LEVELS // 2)[:, None] * heads.STEP
    low, high = np.moveaxis((edges - means[..., None]) / scales[..., None], -1, 0)
    low = np.where(levels[:, None] == 0, -np.inf, low)
    high = np.where(levels[:, None] == heads.LEVELS - 1, np.inf, high)
    flip = low + high > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = log_expit(high) + np.log1p(-np.exp(log_expit(low) - log_expit(high)))
    return np.logaddexp(logsumexp(weights + share, axis=-1), LEAST)


def draws(parts, uniforms, temperature=ONE, top_p=1.0):
    rows = tuple(np.repeat(part[None], len(uniforms), 0) for part in parts)
    uniforms = np.asarray(uniforms, "float32")
    return np.asarray(heads.draw_mixture(rows, uniforms, temperature, top_p))


def grid(count):
    return ((np.arange(count) + 0.5) / count).astype("float32")


# -- softmax -------------------------------------------------------------------------------------


def test_logistic_log_prob_sums_to_one_and_holds_in_the_tails():
    edges = np.linspace(-1, 1, 31).astype("float32")
    mean = np.array([[0.0], [0.97], [-3.0]], "float32")
    scale = np.array([[0.1], [0.02], [0.05]], "float32")
    found = np.asarray(heads.logistic_log_prob(edges, mean, scale))
    assert np.isfinite(found).all() and found.min() >= heads.FLOOR
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0, atol=1e-5)


def test_draw_level_is_the_inverse_cdf():
    probability = np.array([0.1, 0.0, 0.2, 0.7], "float32")
    logits = np.log(probability + 1e-30)[None]
    for uniform, level in (
        (0.0, 0),
        (0.099, 0),
        (0.101, 2),
        (0.299, 2),
        (0.301, 3),
        (0.9999999, 3),
    ):
        drawn = heads.draw_level(logits, np.array([uniform], "float32"), ONE, 1.0)
        assert int(drawn[0]) == level
    assert int(heads.draw_level(logits, np.array([0.0], "float32"), np.float32(0), 1.0)[0]) == 3


def test_top_p_keeps_the_likeliest_levels():
    logits = np.log(np.array([0.15, 0.5, 0.3, 0.05], "float32"))[None]
    uniforms = np.linspace(0, 0.999, 200).astype("float32")
    logits = np.repeat(logits, 200, axis=0)
    for top_p, kept in ((0.4, {1}), (0.79, {1, 2}), (1.0, {0, 1, 2, 3})):
        drawn = heads.draw_level(logits, uniforms, ONE, np.float32(top_p))
        assert set(np.asarray(drawn).tolist()) == kept


# -- what a mixture is ---------------------------------------------------------------------------


def test_amplitudes_are_those_of_16_bits():
    np.testing.assert_array_equal(np.asarray(heads.amplitude(EVERY)), PCM16().values)


@few
@given(
    st.lists(st.floats(-20, 20), min_size=9, max_size=9),
    st.floats(-1, 1),
    st.floats(-8, 0).map(lambda exponent: 10**exponent),
)
def test_shifts_and_widths_are_in_scales_of_the_predictor(out, mean, scale):
    out, mean, scale = (np.float32(array) for array in (out, [mean], [scale]))
    weights, means, scales = (np.asarray(part) for part in heads.mixture(out, mean, scale))
    assert np.exp(weights.astype("float64")).sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(np.diff(weights), np.diff(out[:3]), atol=1e-5)
    scale = max(scale, heads.LEAST_SCALE)
    np.testing.assert_allclose(means, mean + scale * out[3:6], rtol=1e-5, atol=1e-7)
    wanted = np.maximum(scale * np.exp(np.clip(out[6:], -6, 6)), heads.LEAST_SCALE)
    np.testing.assert_allclose(scales, wanted, rtol=1e-5)


def test_components_begin_apart():
    for count in (1, 2, 8):
        weights, shifts, wider = np.split(heads.mixture_bias(count, 1.2), 3)
        assert not weights.any() and (np.diff(wider) > 0).all() and abs(wider.sum()) < 1e-5
        assert len(np.unique(shifts)) == count and (np.abs(shifts) <= np.exp(wider)).all()


# -- its probabilities ---------------------------------------------------------------------------


@few
@given(MIXTURES)
def test_a_mixture_sums_to_one_over_all_levels(components):
    total = np.exp(log_prob(parts_of(components), EVERY).astype("float64")).sum()
    assert total == pytest.approx(1 + heads.UNIFORM, abs=1e-4)


@few
@given(MIXTURES, st.integers(0, heads.LEVELS - 1))
def test_log_probabilities_are_exact_in_both_tails(components, level):
    """Wherever the mean lies, as a double precision difference of the CDF says."""
    parts = parts_of(components)
    near = np.round(parts[1] / heads.STEP).astype(int) + heads.LEVELS // 2
    levels = np.unique(np.clip([0, heads.LEVELS - 1, level, *near, *near + 1], 0, EVERY[-1]))
    found, wanted = log_prob(parts, levels.astype("int32")), wanted_log_prob(parts, levels)
    assert (found >= LEAST - 1e-4).all()
    np.testing.assert_allclose(found, wanted, atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 1e4])
def test_no_output_of_a_network_breaks_the_likelihood_or_its_gradient(size):
    rng = np.random.default_rng(0)
    out = ops.convert_to_tensor((size * rng.standard_normal((400, 9))).astype("float32"))
    mean = rng.uniform(-2, 2, (400, 1)).astype("float32")
    scale = (10 ** rng.uniform(-8, 0.5, (400, 1))).astype("float32")
    levels = np.resize([0, 1, 30000, 32768, 65534, 65535], 400).astype("int32")

    def cost(out):
        return -ops.sum(heads.mixture_log_prob(heads.mixture(out, mean, scale), levels)), ()

    (nats, _), gradient = backend.value_and_gradient(cost)(out)
    assert np.isfinite(float(nats)) and np.isfinite(np.asarray(gradient)).all()
    assert float(nats) <= 400 * -LEAST * 1.001


# -- its draws -----------------------------------------------------------------------------------


@few
@given(MIXTURES)
def test_draws_follow_the_mixture(components):
    """Over an even grid of uniforms the share below each level is the CDF, within the grid."""
    parts, count = parts_of(components), 20_000
    drawn = draws(parts, grid(count))
    assert drawn.dtype == np.int32 and drawn.min() >= 0 and drawn.max() < heads.LEVELS
    found = np.cumsum(np.bincount(drawn, minlength=heads.LEVELS)) / count
    edges = (EVERY + 0.5 - heads.LEVELS // 2) * heads.STEP
    weights, means, scales = (part.astype("float64") for part in parts)
    z = (edges[:, None] - means) / scales
    wanted = (np.exp(weights) * expit(z)).sum(-1)
    wanted[-1] = 1.0
    # A scale of a thirtieth of a step: by rounding a mean at an edge may be on its other side.
    steep = 0.25 * np.exp(weights) / scales * 3e-7 * np.maximum(1, np.abs(means))
    allowed = (len(weights) + 1) / count + 2e-4 + np.minimum(steep.sum(), 1)
    assert np.abs(found - wanted).max() < allowed


@few
@given(MIXTURES, st.floats(0, 1, exclude_max=True), st.floats(0.0, 4.0), st.floats(1e-6, 1.0))
def test_every_draw_is_a_level(components, uniform, temperature, top_p):
    wide = [(50 * weight, 1e4 * mean, 1e4 * scale) for weight, mean, scale in components]
    for parts in (parts_of(components), parts_of(wide)):
        uniforms = [0.0, min(uniform, 1 - 2**-24), 1 - 2**-24]
        drawn = draws(parts, uniforms, np.float32(temperature), np.float32(top_p))
        assert ((drawn >= 0) & (drawn < heads.LEVELS)).all()


def test_temperature_widens_a_component_and_zero_takes_its_middle():
    parts = parts_of([(0.0, 0.25, 0.01)])
    offsets = {t: draws(parts, grid(999), np.float32(t)) - 40960 for t in (0.0, 0.5, 1.0, 2.0)}
    assert not offsets[0.0].any()
    for t in (0.5, 2.0):
        np.testing.assert_allclose(offsets[t], t * offsets[1.0], atol=1.5)
    assert np.array_equal(draws(parts, grid(999), 1.0), offsets[1.0] + 40960)  # a plain number
    assert offsets[1.0][-1] > 1000 and (np.diff(offsets[1.0]) >= 0).all()


def test_low_temperatures_sharpen_the_weights_and_high_ones_keep_them():
    parts = parts_of([(np.log(0.3), -0.5, 1e-4), (np.log(0.7), 0.5, 1e-4)])
    for temperature, share in ((2.0, 0.7), (1.0, 0.7), (0.5, 0.49 / 0.58), (0.0, 1.0)):
        drawn = draws(parts, grid(10_000), np.float32(temperature))
        assert np.mean(drawn > 32768) == pytest.approx(share, abs=2e-4)
    assert set(draws(parts, grid(100), np.float32(0))) == {32768 + 16384}


@pytest.mark.parametrize("top_p", [1e-6, 0.3, 0.9])
def test_top_p_cuts_the_tails_off(top_p):
    """What is left is the middle share of every component; their weights stay."""
    parts = parts_of([(np.log(0.4), -0.5, 1e-3), (np.log(0.6), 0.5, 1e-2)])
    drawn, whole = (draws(parts, grid(20_000), ONE, np.float32(p)) for p in (top_p, 1.0))
    for middle, scale, chosen in ((-0.5, 1e-3, whole < 32768), (0.5, 1e-2, whole >= 32768)):
        edge = scale * np.log((1 + top_p) / (1 - top_p)) / heads.STEP
        offsets = np.abs(drawn[chosen] - 32768 - middle / heads.STEP)
        assert offsets.max() <= edge + 1 and offsets.max() > 0.98 * edge - 1
