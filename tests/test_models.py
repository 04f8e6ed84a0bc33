import numpy as np
import pytest
from conftest import (
    ONCE,
    by_default,
    in_ci,
    make_config,
    make_frames,
    make_model,
    shared_model,
    variant_name,
    variants,
)
from contract import verify_contract
from keras import ops
from scipy.signal import lfilter
from scipy.special import expit, log_softmax, logsumexp

from wavegen.codec import codec_of
from wavegen.counting import parameters
from wavegen.models import FAMILIES, heads, predictor
from wavegen.models.frames import frames_of, parts_of
from wavegen.models.resonator import DEGREES, inside

POLE = 0.96  # of the running mean of errors
STEREO = [("wavenet", {"channels": 2}), ("wavenet", {"channels": 2, "head": "softmax"})]


@pytest.fixture(params=variants(quick=(ONCE[0], ONCE[2])))
def model(request):
    family, fields = request.param
    return shared_model(family, tuple(fields.items()))


@pytest.fixture(params=variants("wavenet"))
def wavenet(request):
    family, fields = request.param
    return shared_model(family, tuple(fields.items()))


def test_every_family_keeps_the_contract(model):
    frames = make_frames(model, time=8)
    verify_contract(model, frames)


@in_ci
@pytest.mark.parametrize(
    "fields", [pytest.param({"channels": 2}, marks=pytest.mark.slow), {"head": "softmax"}]
)
def test_a_wavenet_keeps_the_contract_when_its_predictor_is_fitted(fields):
    """A fit amplifies the rounding of what it is made from, which differs from block to block."""
    model = make_model("wavenet", predictor_hop=5, **fields)
    verify_contract(model, make_frames(model, time=12), tolerance=2e-4)


@pytest.mark.parametrize("head", ["logistic", "softmax"])
def test_receptive_field_is_what_the_configuration_says(head):
    model = make_model("wavenet", predictor_order=0, head=head)
    field, levels = model.config.receptive_field, codec_of(model.config).levels
    x = np.full((1, field + 3, 1), levels // 2, "int32")
    base = np.asarray(model(x))[0, -1]
    inside, outside = x.copy(), x.copy()
    inside[0, -field] = levels // 6
    outside[0, -field - 1] = levels // 6
    assert np.abs(np.asarray(model(inside))[0, -1] - base).max() > 1e-7
    assert np.array_equal(np.asarray(model(outside))[0, -1], base)


# -- where a WaveNet starts ----------------------------------------------------------------------


def start_of(**fields):
    """Returns an untrained model, frames, what `step` gives, and the predictor's mean and scale."""
    trained = make_model("wavenet", **fields)  # for its predictor
    model = FAMILIES["wavenet"](make_config("wavenet", **fields))
    model.predictor.whitening.assign(trained.predictor.whitening)
    model.predictor.bounds.assign(trained.predictor.bounds)
    frames = make_frames(model, time=60)
    y, _ = model.step(frames, model.initial_state(2))
    mean, scale = np.asarray(y, np.float64)[..., -2:-1], np.asarray(y, np.float64)[..., -1:]
    return model, frames, y, mean, scale


@by_default
def test_untrained_softmax_is_its_predictor():
    """The last layer is zero: the distribution is the discretised logistic, no more."""
    model, frames, y, mean, scale = start_of(head="softmax")
    logits = np.asarray(model.distributions(y, frames))[:, :, 0]
    edges = np.concatenate([[-np.inf], codec_of(model.config).edges, [np.inf]])
    np.testing.assert_allclose(np.exp(logits), np.diff(expit((edges - mean) / scale)), atol=2e-6)


@by_default
def test_untrained_mixture_lies_around_its_predictor():
    """The last layer is its bias: equal weights, and the same shifts and widenings everywhere."""
    model, frames, y, mean, scale = start_of()
    found = np.asarray(model.distributions(y, frames))[:, :, 0]
    count = model.config.mixtures
    weights, shifts, wider = np.split(heads.mixture_bias(count, 1.2), 3)
    wanted = np.concatenate([weights - np.log(count), shifts, wider])
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=2e-3)
    x = np.asarray(heads.amplitude(frames), np.float64) - mean
    edges = (x[..., None] + heads.STEP * np.array([-0.5, 0.5]))[:, :, 0]  # (batch, time, 2)
    low, high = ((edges[..., e : e + 1] - scale * shifts) / (scale * np.exp(wider)) for e in (0, 1))
    share = np.mean(expit(-low) - expit(-high), axis=-1) + heads.UNIFORM / heads.LEVELS
    nats = np.asarray(model.log_prob(y, frames))[..., 0]
    likely = share > 1e-8
    np.testing.assert_allclose(nats[likely], np.log(share[likely]), atol=2e-3)
    assert likely.mean() > 0.9


@by_default
def test_predictor_follows_the_recursion():
    """A fixed filter, one that follows what it leaves, and a scale that follows the errors."""
    layer = predictor.AdaptivePredictor(8, 16, 60.0, POLE, 1)
    layer.build((None, None, 1))
    taps = np.zeros(predictor.WHITENING, "float32")
    taps[:2] = 0.9, -0.1
    layer.whitening.assign(taps)
    layer.bounds.assign([0.5, 1e-3, 0.2])
    x = lfilter([0.1], [1, -1.7, 0.8], np.random.default_rng(3).standard_normal(200))
    x = x.astype("float32")
    mean, scale, coupling, surprise, size, _ = layer.step(
        ops.convert_to_tensor(x[None, :, None]), layer.initial_state(1)
    )
    assert size == 1.0 and not np.asarray(coupling).any()
    mean, scale, surprise = (np.asarray(array)[0, :, 0] for array in (mean, scale, surprise))
    fixed = lfilter(taps, [1.0], x)  # [t] is of sample t + 1
    left = x - np.concatenate([[0], fixed[:-1]])
    follows, _ = layer.following.step(
        ops.convert_to_tensor(left.astype("float32")[None, :, None]),
        layer.following.initial_state(1, 1),
    )
    np.testing.assert_allclose(mean, fixed + np.asarray(follows)[0, :, 0], atol=1e-4)
    np.testing.assert_allclose(surprise, x - np.concatenate([[0], mean[:-1]]), atol=1e-6)
    error = lfilter([1 - POLE], [1, -POLE], np.abs(surprise))
    np.testing.assert_allclose(scale, np.clip(0.5 * error, 1e-3, 0.2), atol=1e-6)
    assert np.abs(surprise[100:]).mean() < 0.7 * np.abs(left[100:]).mean()
    assert (scale < 0.2).all() and (scale > 1e-3).any()


@by_default
def test_what_the_network_hears_stays_in_its_range():
    layer = predictor.AdaptivePredictor(8, 16, 60.0, POLE, 2)
    layer.build((None, None, 2))
    layer.bounds.assign([0.5, 1e-5, 0.5])
    for size in (0.0, 1e-4, 0.1, 1.0):
        x = (size * np.random.default_rng(1).uniform(-1, 1, (1, 100, 2))).astype("float32")
        x[0, 50] = 1.0  # a click
        mean, scale, _, *told, _ = layer.step(ops.convert_to_tensor(x), layer.initial_state(1))
        found = np.asarray(layer.features(ops.convert_to_tensor(x), mean, scale, *told))
        assert found.shape == (1, 100, 10) and np.isfinite(found).all()
        assert np.abs(found).max() < 8


@by_default
def test_a_given_size_scales_what_a_predictor_makes_of_a_sound():
    """Of a sound half as loud, given as half as loud, all is half as large."""
    layer = predictor.AdaptivePredictor(8, 16, 60.0, POLE, 1, conditioned=True)
    layer.build((None, None, 1))
    x = lfilter([0.1], [1, -1.7, 0.8], np.random.default_rng(4).standard_normal(300))
    given = np.zeros((1, 300, 1, 2 + predictor.WHITENING), "float32")
    given[..., 0], given[..., 1], given[..., 2] = 0.1, 0.3, 0.9
    found = []
    for factor in (1.0, 0.5):
        heard = ops.convert_to_tensor((factor * x)[None, :, None].astype("float32"))
        given_here = given * np.where(np.arange(given.shape[-1]) < 2, factor, 1.0)
        *told, _ = layer.step(heard, layer.initial_state(1), given_here.astype("float32"))
        found.append([np.asarray(array) for array in told])
    for whole, half in zip(*found, strict=True):
        np.testing.assert_allclose(half, 0.5 * whole, rtol=1e-3, atol=1e-6)
    scale = found[0][1]
    assert scale.min() >= 0.1 * predictor.GIVEN_BOUNDS[1] * 0.999
    missing = np.sqrt(predictor.NOISE * predictor.LEAST) * 0.3
    assert scale.max() <= np.hypot(0.1 * predictor.GIVEN_BOUNDS[2], missing) * 1.001


def test_mu_law_of_what_is_heard():
    x = np.array([-2.0, -1.0, -0.01, 0.0, 0.01, 1.0, 1.5, 9.0], "float32")
    found = np.asarray(predictor.companded(ops.convert_to_tensor(x)))
    assert np.array_equal(found, -np.asarray(predictor.companded(ops.convert_to_tensor(-x))))
    assert found[3] == 0 and found[5] == pytest.approx(1) and found[4] > 0.2
    assert found[6] == found[7] and (np.diff(found[:7]) > 0).all()


# -- what a WaveNet says -------------------------------------------------------------------------


@by_default
@pytest.mark.parametrize("variant", STEREO, ids=variant_name)
def test_right_channel_depends_on_the_left_sample_of_its_instant(variant):
    model = make_model(variant[0], **variant[1])
    frames, levels = make_frames(model), codec_of(model.config).levels
    y, _ = model.step(frames, model.initial_state(2))
    following = np.roll(frames, -1, axis=1)
    other = following.copy()
    other[..., 0] = (other[..., 0] + levels // 5) % levels
    a, b = (np.asarray(model.distributions(y, f)) for f in (following, other))
    assert np.array_equal(a[:, :, 0], b[:, :, 0])
    assert np.abs(a[:, :, 1] - b[:, :, 1]).max() > 1e-3
    other[..., 1] = 0  # of the right channel nothing may be looked at
    assert np.array_equal(np.asarray(model.distributions(y, other)), b)


@by_default
@pytest.mark.parametrize("variant", STEREO, ids=variant_name)
def test_what_surprises_on_the_left_is_expected_on_the_right(variant):
    """The coupling moves the right mean by a share of the left sample's surprise."""
    model = make_model(variant[0], **variant[1])
    frames = make_frames(model)
    y, _ = model.step(frames, model.initial_state(2))
    means, scales, share = np.split(np.asarray(y)[..., -5:], [2, 4], axis=-1)
    for c in (0, 1):
        _, mean, scale = model.last_layer(y, c, frames[..., 0])
        left = np.asarray(model.amplitude(frames[..., 0])) - means[..., 0]
        wanted = means[..., c] + (share[..., 0] * left if c else 0)
        np.testing.assert_allclose(np.asarray(mean)[..., 0], wanted, atol=1e-6)
        np.testing.assert_array_equal(np.asarray(scale)[..., 0], scales[..., c])


@by_default
@pytest.mark.parametrize("apart_db", [-40.0, -20.0, 0.0])
def test_before_its_first_step_a_stereo_wavenet_knows_how_wide_the_image_is(apart_db):
    """Right is half of left, and noise of its own: so much of it is left open, and no more."""
    model = make_model("wavenet", channels=2, predictor_order=16)
    rng = np.random.default_rng(3)
    left, own = rng.standard_normal((2, 1, 4000)) * 1000
    right = 0.5 * left + 10 ** (apart_db / 20) * 0.5 * own
    levels = np.stack([left, right], axis=-1).round().astype("int32") + 32768
    y, _ = model.step(levels, model.initial_state(1))
    means, scales, coupling = np.split(np.asarray(y)[0, 1000:, -5:], [2, 4], axis=-1)
    assert abs(np.median(coupling) - 0.5) < 0.06
    ratio_db = 20 * np.log10(np.median(scales[:, 1]) / np.median(scales[:, 0]))
    assert abs(ratio_db - (apart_db - 6.02)) < 1.5


@by_default
def test_distributions_are_what_the_likelihood_is_of(wavenet):
    frames, config = make_frames(wavenet, time=40), wavenet.config
    y, _ = wavenet.step(frames[:, :-1], wavenet.initial_state(2))
    following = frames[:, 1:]
    found = np.asarray(wavenet.distributions(y, following), np.float64)
    nats = np.asarray(wavenet.log_prob(y, following))
    assert found.shape == (2, 39, config.channels, config.levels) or config.head == "logistic"
    if config.head == "softmax":
        wanted = np.take_along_axis(log_softmax(found, -1), following[..., None], -1)[..., 0]
    else:
        assert found.shape == (2, 39, config.channels, 3 * config.mixtures)
        parts = [wavenet.last_layer(y, c, following[..., 0])[1:] for c in range(config.channels)]
        mean, scale = (np.stack([np.asarray(part[i]) for part in parts], 2) for i in (0, 1))
        weights, shifts, wider = np.split(found, 3, axis=-1)
        np.testing.assert_allclose(logsumexp(weights, axis=-1), 0, atol=1e-5)
        x = np.asarray(heads.amplitude(following), np.float64)[..., None]
        scales = scale * np.exp(wider)
        low, high = (
            (x - mean - scale * shifts + side * heads.STEP / 2) / scales for side in (-1, 1)
        )
        share = np.sum(np.exp(weights) * (expit(-low) - expit(-high)), -1)
        wanted = np.log(share + heads.UNIFORM / heads.LEVELS)
    likely = wanted > -15
    np.testing.assert_allclose(nats[likely], wanted[likely], atol=5e-3)
    assert likely.mean() > 0.8


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


@by_default
def test_draws_follow_the_likelihood_the_right_ones_given_the_left(wavenet):
    frames, count = make_frames(wavenet, batch=1, time=60), 4096
    y = np.asarray(wavenet.step(frames, wavenet.initial_state(1))[0])[:, -1:]
    uniform = ((np.arange(count) + 0.5) / count).astype("float32")
    channels = wavenet.config.channels
    every = np.arange(codec_of(wavenet.config).levels, dtype="int32")[None, :, None]
    for c in range(channels):
        noise = np.full((count, 1, channels), 0.3, "float32")
        noise[..., c] = uniform[:, None]
        drawn = np.asarray(wavenet.draw(np.repeat(y, count, 0), noise, np.float32(1.0)))
        assert drawn.dtype == np.int32 and drawn.shape == (count, 1, channels)
        assert c == 0 or (drawn[..., 0] == drawn[0, 0, 0]).all()
        following = np.repeat(every, channels, -1)
        if c:
            following[..., 0] = drawn[0, 0, 0]
        nats = wavenet.log_prob(np.repeat(y, every.shape[1], 1), following)
        wanted = np.exp(np.asarray(nats, np.float64)[0, :, c])
        assert wanted.sum() == pytest.approx(1, abs=1e-4)
        counts = np.bincount(drawn[:, 0, c], minlength=len(wanted)) / count
        apart = np.abs(np.cumsum(counts) - np.cumsum(wanted)).max()
        assert apart < (wavenet.config.mixtures + 1) / count + 1e-4
        assert len(np.unique(drawn[:, 0, c])) > 8


def test_at_temperature_zero_chance_has_no_say(wavenet):
    frames, channels = make_frames(wavenet, batch=1, time=60), wavenet.config.channels
    y = np.asarray(wavenet.step(frames, wavenet.initial_state(1))[0])[:, -1:]
    noise = np.random.default_rng(0).random((50, 1, channels)).astype("float32")
    drawn = np.asarray(wavenet.draw(np.repeat(y, 50, 0), noise, np.float32(0.0)))
    assert (drawn == drawn[0]).all()
    found = np.asarray(wavenet.distributions(y, drawn[:1]))[0, 0]
    for c in range(channels):
        if wavenet.config.head == "softmax":
            assert drawn[0, 0, c] == found[c].argmax()
            continue
        _, *ground = wavenet.last_layer(y, c, drawn[:1, :, 0])
        mean, scale = (np.asarray(array).item() for array in ground)
        weights, shifts, _ = np.split(found[c], 3)
        middle = mean + scale * shifts[weights.argmax()]
        assert abs(float(heads.amplitude(drawn[0, 0, c])) - middle) < 0.51 * heads.STEP


def test_spectral_draw_has_the_density_it_claims():
    """The squared distance from the mean, in scales, is that of a bivariate Student-t."""
    model = make_model("spectral_lstm", head="student_t")
    frames = make_frames(model, batch=1, time=4)
    y = np.asarray(model.step(frames, model.initial_state(1))[0])[:, -1:]
    count = 2000
    noise = np.random.default_rng(0).standard_normal((count, 1, *model.config.noise_shape))
    noise = noise.astype("float32")
    drawn = np.asarray(model.draw(np.repeat(y, count, 0), noise, temperature=np.float32(1.0)))
    mean, log_scale = (np.asarray(a) for a in model.head.density(y))
    distance = np.asarray(parts_of(drawn, 1)) - mean
    square = ((distance**2).sum(2) / np.exp(2 * log_scale))[..., 1:]  # the lowest: below
    for quantile in (0.25, 0.5, 0.9, 0.99):
        wanted = DEGREES * ((1 - quantile) ** (-2 / DEGREES) - 1)
        assert abs(np.mean(square < wanted) - quantile) < 0.01
    still = np.asarray(model.draw(y, noise[:1], temperature=np.float32(0.0)))
    expected = mean.copy()
    expected[:, :, 1, 0] = 0.0
    np.testing.assert_allclose(np.asarray(parts_of(still, 1)), expected, atol=1e-6)


@pytest.mark.parametrize("head", ["student_t", "mse"])
def test_the_highest_frequency_is_not_drawn_as_loud_as_the_lowest_by_any_head(head):
    model = make_model("spectral_lstm", head=head, channels=2)
    frames, half = make_frames(model, batch=1, time=4), model.config.n_fft // 2
    y = model.step(frames, model.initial_state(1))[0][:, -1:]
    noise = np.random.default_rng(0).standard_normal((1, 1, *model.config.noise_shape))
    drawn = np.asarray(parts_of(model.draw(y, noise.astype("float32")), 2))
    assert np.array_equal(np.argwhere(drawn == 0)[:, 2:], [[1, 0], [1, half]])


def test_spectral_density_integrates_to_one():
    model = make_model("spectral_lstm", head="student_t")
    frames = make_frames(model, batch=1, time=4)
    y = model.step(frames, model.initial_state(1))[0][:, -1:]
    mean, log_scale = (np.asarray(a) for a in model.head.density(y))
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
        model.log_prob(ops.repeat(y, x.size, 1), frames_of(ops.convert_to_tensor(points), 1))
    )[0, :, 0]
    n = model.head.coefficients
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
    model = make_model("spectral_lstm", head="student_t")
    n = model.head.coefficients
    raw = np.zeros((1, 1, 4, n), "float32")
    raw[0, 0, :2] = np.array([[1.0 - 2.0], [2.0]])  # on top of the start (2, 0)
    pole = np.asarray(inside(ops.convert_to_tensor(np.array([[1.0], [2.0]], "float32"))))
    pole = complex(*pole[:, 0])
    now = np.random.default_rng(1).standard_normal((1, 1, 2, n)).astype("float32")
    mean = np.asarray(model.head.resonate(raw, np.zeros_like(now), now))
    wanted = pole * (now[0, 0, 0] + 1j * now[0, 0, 1])
    np.testing.assert_allclose(mean[0, 0, 0] + 1j * mean[0, 0, 1], wanted, atol=1e-5)


def test_parts_and_frames_are_inverse():
    model = make_model("spectral_lstm", channels=2, head="mse")
    frames = make_frames(model)
    parts = parts_of(ops.convert_to_tensor(frames), 2)
    assert np.array_equal(np.asarray(frames_of(parts, 2)), frames)
    n = model.config.n_fft // 2
    z = frames.reshape(*frames.shape[:2], 2, 2, n)
    assert np.array_equal(np.asarray(parts)[:, :, 1, n + 3], z[:, :, 1, 1, 3])


def test_parameters_are_counted_without_building(model):
    built = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert parameters(model.config) == built
