import numpy as np
import pytest
from conftest import make_frames, make_model
from contract import verify_contract
from keras import ops

from wavegen.cli.info import parameters
from wavegen.models import predictor
from wavegen.models.spectral_lstm import DEGREES, inside
from wavegen.models.wavenet import draw_level


def test_every_family_keeps_the_contract(model):
    frames = make_frames(model, time=24)
    verify_contract(model, frames)


def test_receptive_field_is_what_the_configuration_says():
    model = make_model("wavenet", predictor_order=0)
    field = model.config.receptive_field
    x = np.full((1, field + 3, 1), 16, "int32")
    base = np.asarray(model(x))[0, -1]
    inside, outside = x.copy(), x.copy()
    inside[0, -field] = 5
    outside[0, -field - 1] = 5
    assert np.abs(np.asarray(model(inside))[0, -1] - base).max() > 1e-7
    assert np.array_equal(np.asarray(model(outside))[0, -1], base)


def test_untrained_wavenet_is_its_predictor():
    """With the last layer at zero the distribution is the discretised logistic, no more."""
    model = make_model("wavenet")
    model.outputs_[0].kernel.assign(np.zeros(model.outputs_[0].kernel.shape))
    model.outputs_[0].bias.assign(np.zeros(model.outputs_[0].bias.shape))
    frames = make_frames(model)
    y, _ = model.step(frames, model.initial_state(2))
    logits = np.asarray(model.logits(y, frames))[:, :, 0]
    mean, scale = np.asarray(y)[..., -2:-1], np.asarray(y)[..., -1:]
    edges = np.concatenate([[-np.inf], model._edges.astype("float64"), [np.inf]])
    cdf = 1 / (1 + np.exp(-np.clip((edges - mean) / scale, -700, 700)))
    wanted = np.diff(cdf)
    np.testing.assert_allclose(np.exp(logits), wanted, atol=2e-6)


def test_logistic_log_prob_sums_to_one_and_holds_in_the_tails():
    edges = np.linspace(-1, 1, 31).astype("float32")
    mean = np.array([[0.0], [0.97], [-3.0]], "float32")
    scale = np.array([[0.1], [0.02], [0.05]], "float32")
    log_prob = np.asarray(predictor.logistic_log_prob(edges, mean, scale))
    assert np.isfinite(log_prob).all() and log_prob.min() >= predictor.FLOOR
    np.testing.assert_allclose(np.exp(log_prob).sum(-1), 1.0, atol=1e-5)


def test_predictor_follows_the_recursion():
    layer = predictor.AdaptivePredictor(2, 1)
    layer.build((None, None, 1))
    layer.coefficients.assign([1.5, -0.7])
    layer.bounds.assign([0.5, 1e-3, 0.2])
    x = (0.4 * np.random.default_rng(3).standard_normal(40)).astype("float32")
    mean, scale, _ = layer.step(ops.convert_to_tensor(x[None, :, None]), layer.initial_state(1))
    error, expected, before = 0.0, 0.0, 0.0
    for t in range(40):
        error = 0.97 * error + 0.03 * abs(x[t] - expected)
        expected, before = 1.5 * x[t] - 0.7 * before, x[t]
        assert abs(float(mean[0, t, 0]) - expected) < 1e-5
        assert abs(float(scale[0, t, 0]) - np.clip(0.5 * error, 1e-3, 0.2)) < 1e-6


def test_right_channel_depends_on_the_left_sample_of_its_instant():
    model = make_model("wavenet", channels=2)
    frames = make_frames(model)
    y, _ = model.step(frames, model.initial_state(2))
    following = np.roll(frames, -1, axis=1)
    other = following.copy()
    other[..., 0] = (other[..., 0] + 7) % model.config.levels
    a, b = (np.asarray(model.logits(y, f)) for f in (following, other))
    assert np.array_equal(a[:, :, 0], b[:, :, 0])
    assert np.abs(a[:, :, 1] - b[:, :, 1]).max() > 1e-3
    other[..., 1] = 0  # of the right channel nothing may be looked at
    assert np.array_equal(np.asarray(model.logits(y, other)), b)


def test_loss_is_the_likelihood_and_counts_valid_frames_only(model):
    if getattr(model.config, "head", "") == "mse":
        pytest.skip("its loss is the squared error")
    frames = make_frames(model)
    y, _ = model.step(frames[:, :-1], model.initial_state(2))
    weight = np.zeros((2, frames.shape[1] - 1), "float32")
    weight[0, 3], weight[1, 5] = 1, 1
    loss = float(model.compute_loss(y=frames[:, 1:], y_pred=y, sample_weight=weight))
    nats = -np.asarray(model.log_prob(y, frames[:, 1:])).mean(-1)
    assert abs(loss - (nats[0, 3] + nats[1, 5]) / 2) < 1e-4


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
        drawn = draw_level(logits, np.array([uniform], "float32"), np.float32(1), 1.0)
        assert int(drawn[0]) == level
    assert int(draw_level(logits, np.array([0.0], "float32"), np.float32(0), 1.0)[0]) == 3


def test_top_p_keeps_the_likeliest_levels():
    logits = np.log(np.array([0.15, 0.5, 0.3, 0.05], "float32"))[None]
    uniforms = np.linspace(0, 0.999, 200).astype("float32")
    logits = np.repeat(logits, 200, axis=0)
    one = np.float32(1)
    assert set(np.asarray(draw_level(logits, uniforms, one, np.float32(0.4)))) == {1}
    assert set(np.asarray(draw_level(logits, uniforms, one, np.float32(0.79)))) == {1, 2}
    assert set(np.asarray(draw_level(logits, uniforms, one, np.float32(1.0)))) == {0, 1, 2, 3}


def test_drawn_levels_follow_the_distribution(model):
    if type(model).family != "wavenet":
        pytest.skip("has no levels")
    frames = make_frames(model, batch=1, time=5)
    y = np.asarray(model.step(frames, model.initial_state(1))[0])[:, -1:]
    uniform = ((np.arange(4096) + 0.5) / 4096).astype("float32")
    noise = np.stack([uniform] * model.config.channels, -1)[:, None]
    drawn = np.asarray(model.draw(np.repeat(y, 4096, 0), noise, np.float32(1.0)))
    logits = np.asarray(model.logits(y, np.zeros((1, 1, model.config.channels), "int32")))[0, 0, 0]
    wanted = np.exp(logits - logits.max())
    wanted /= wanted.sum()
    counts = np.bincount(drawn[:, 0, 0], minlength=len(wanted)) / 4096
    np.testing.assert_allclose(counts, wanted, atol=2 / 4096)


def test_spectral_draw_has_the_density_it_claims():
    """The squared distance from the mean, in scales, is that of a bivariate Student-t."""
    model = make_model("spectral_lstm")
    frames = make_frames(model, batch=1, time=4)
    y = np.asarray(model.step(frames, model.initial_state(1))[0])[:, -1:]
    count = 2000
    noise = np.random.default_rng(0).random((count, 1, *model.config.noise_shape)).astype("float32")
    drawn = np.asarray(model.draw(np.repeat(y, count, 0), noise, np.float32(1.0)))
    mean, log_scale = (np.asarray(a) for a in model.density(y))
    distance = np.asarray(model.parts(drawn)) - mean
    square = (distance**2).sum(2) / np.exp(2 * log_scale)
    for quantile in (0.25, 0.5, 0.9, 0.99):
        wanted = DEGREES * ((1 - quantile) ** (-2 / DEGREES) - 1)
        assert abs(np.mean(square < wanted) - quantile) < 0.01
    still = np.asarray(model.draw(y, noise[:1], np.float32(0.0)))
    np.testing.assert_allclose(np.asarray(model.parts(still)), mean, atol=1e-6)


def test_spectral_density_integrates_to_one():
    model = make_model("spectral_lstm")
    frames = make_frames(model, batch=1, time=4)
    y = model.step(frames, model.initial_state(1))[0][:, -1:]
    mean, log_scale = (np.asarray(a) for a in model.density(y))
    # Integrate over the plane of one coefficient, the others at their means, where they cost a
    # known constant.
    k, s = 3, float(np.exp(log_scale[0, 0, 3]))
    grid = np.sinh(np.linspace(-7, 7, 281)) * s
    weight = np.gradient(grid)
    x, z = np.meshgrid(grid, grid, indexing="ij")
    points = np.repeat(mean, x.size, 1)
    points[0, :, 0, k] += x.ravel()
    points[0, :, 1, k] += z.ravel()
    total = np.asarray(
        model.log_prob(ops.repeat(y, x.size, 1), model.frames(ops.convert_to_tensor(points)))
    )[0, :, 0]
    n = model.coefficients
    others = sum(-np.log(2 * np.pi) - 2 * log_scale[0, 0, j] for j in range(n) if j != k)
    density = np.exp(total * n - others).reshape(x.shape)
    assert abs((density * weight[:, None] * weight[None]).sum() - 1) < 0.02


def test_poles_lie_inside_the_unit_circle_whatever_the_network_says():
    raw = np.random.default_rng(0).standard_normal((1, 1, 2, 500)).astype("float32")
    for size in (0.0, 1.0, 1e3, 1e15):
        pole = np.asarray(inside(ops.convert_to_tensor(raw * np.float32(size))))
        assert np.hypot(pole[0, 0, 0], pole[0, 0, 1]).max() < 0.999


def test_resonator_continues_a_decaying_tone():
    """Poles p and 0 give now * p: the mean of a pure tone is its next frame."""
    model = make_model("spectral_lstm")
    n = model.coefficients
    raw = np.zeros((1, 1, 4, n), "float32")
    raw[0, 0, :2] = np.array([[1.0 - 2.0], [2.0]])  # on top of the start (2, 0)
    pole = np.asarray(inside(ops.convert_to_tensor(np.array([[1.0], [2.0]], "float32"))))
    pole = complex(*pole[:, 0])
    now = np.random.default_rng(1).standard_normal((1, 1, 2, n)).astype("float32")
    mean = np.asarray(model.resonate(raw, np.zeros_like(now), now))
    wanted = pole * (now[0, 0, 0] + 1j * now[0, 0, 1])
    np.testing.assert_allclose(mean[0, 0, 0] + 1j * mean[0, 0, 1], wanted, atol=1e-5)


def test_parts_and_frames_are_inverse():
    model = make_model("spectral_lstm", channels=2)
    frames = make_frames(model)
    assert np.array_equal(np.asarray(model.frames(model.parts(frames))), frames)


def test_parameters_are_counted_without_building(model):
    built = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert parameters(model.config) == built
