"""The head `codes` of a spectral LSTM: spectrum of late, codes, renderer."""

import numpy as np
import pytest
from conftest import SLOW, learned_frames, make_config, make_frames, make_model, strokes
from keras import ops
from scipy.special import softmax
from scipy.stats import logistic as scipy_logistic
from scipy.stats import t as student

from wavegen.codec import codec_of
from wavegen.feed import NOISE_DB, disturbed
from wavegen.framing import UNKNOWN
from wavegen.models.book import EXAMPLES, fitted
from wavegen.models.composer import logistic
from wavegen.models.frames import parts_of
from wavegen.models.renderer import DEGREES, VARIANCE, Renderer
from wavegen.models.spectrum import RISEN, RelativeSpectrum
from wavegen.train_settings import TrainSettings


@pytest.fixture(scope="module", params=[pytest.param(1, marks=SLOW), 2], ids=["mono", "stereo"])
def model(request):
    return make_model("spectral_lstm", channels=request.param)


def after(model, frames):
    """Returns what `step` says after the last of some frames, `(batch, 1, width)`."""
    return np.asarray(model.step(frames, model.initial_state(len(frames)))[0])[:, -1:]


# -- the spectrum of late ------------------------------------------------------------------------


def test_every_coefficient_is_in_one_band_and_bands_follow_each_other():
    for fields in ({}, {"bands": 4}, {"bands": 16}, {"n_fft": 1024, "hop_length": 512}):
        config = make_config("spectral_lstm", **fields)
        assert len(config.band_of) == config.n_fft // 2
        assert sorted(set(config.band_of)) == list(range(max(config.band_of) + 1))
        assert list(config.band_of) == sorted(config.band_of)
        assert max(config.band_of) < config.bands


def test_the_level_of_late_is_the_mean_loudness_of_what_was_heard():
    config = make_config("spectral_lstm", timbre_seconds=1.0)
    spectrum = RelativeSpectrum(config)
    power = np.random.default_rng(0).uniform(0.0, 1.5, (1, 300, spectrum.features))
    power = power.astype("float32")
    before, level, _ = spectrum.step(power, HEARD, spectrum.initial_state(1))
    before, level = np.asarray(before), np.asarray(level)
    assert np.array_equal(before[:, 1:], level[:, :-1])  # a frame has no say in its own
    for t in (0, 5, 299):
        weight = spectrum.pole ** np.arange(t, -1, -1)
        mean = (weight[:, None] * power[0, : t + 1] ** 0.25).sum(axis=0) / weight.sum()
        np.testing.assert_allclose(level[0, t], (mean @ spectrum.smooth) ** 2, rtol=0.01)


HEARD = np.ones((1, 1), bool)


def test_one_frame_is_enough_to_know_a_level_and_silence_has_one():
    spectrum = RelativeSpectrum(make_config("spectral_lstm"))
    loud = np.full((1, 1, spectrum.features), 0.25, "float32")
    _, level, _ = spectrum.step(loud, HEARD, spectrum.initial_state(1))
    np.testing.assert_allclose(np.asarray(level), 0.5, rtol=0.06)
    _, level, _ = spectrum.step(0 * loud, HEARD, spectrum.initial_state(1))
    assert np.all(np.asarray(level) > 0)


def test_what_was_drawn_and_digital_silence_have_no_say_in_the_level_of_late():
    spectrum = RelativeSpectrum(make_config("spectral_lstm", timbre_seconds=1.0))
    rng = np.random.default_rng(0)
    power = rng.uniform(0.5, 1.5, (2, 60, spectrum.features)).astype("float32")
    heard = rng.random((2, 60)) < 0.5
    for row in (0, 1):
        counts = heard[row] & (np.arange(60) % 7 > 0)
        power[row, np.arange(60) % 7 == 0] = 0.0
        own, says = power[row : row + 1], heard[row : row + 1]
        before, level, state = spectrum.step(own, says, spectrum.initial_state(1))
        kept = own[:, counts]
        alone = spectrum.step(kept, counts[None, counts], spectrum.initial_state(1))
        np.testing.assert_allclose(np.asarray(level)[:, counts], alone[1], rtol=1e-4)
        for found, wanted in zip(state, alone[2], strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4)
        same = np.asarray(before)[:, ~counts], np.asarray(level)[:, ~counts]
        np.testing.assert_allclose(*same, rtol=1e-5)


@pytest.mark.slow
def test_louder_is_the_same_only_louder(model):
    """Codes, the LSTM and the frame drawn relative to the seed do not know the seed's level."""
    frames = make_frames(model, time=60)
    noise = np.random.default_rng(0).random((2, 1, *model.config.noise_shape)).astype("float32")
    one, four = after(model, frames), after(model, 4 * frames)
    seen, louder = model.head.seen(one), model.head.seen(four)
    np.testing.assert_allclose(louder.hidden, seen.hidden, atol=1e-4)
    np.testing.assert_array_equal(louder.code, seen.code)
    drawn = [np.asarray(model.draw(y, noise)) for y in (one, four)]
    sound, louder_sound = (each[..., :-1] for each in drawn)
    np.testing.assert_allclose(louder_sound, 4 * sound, rtol=0.02, atol=1e-3 * sound.std())
    np.testing.assert_array_equal(drawn[0][..., -1], drawn[1][..., -1])
    nats = [
        float(np.asarray(model.log_prob(*each))[0, 0, 0])
        for each in ((one, drawn[0]), (four, drawn[1]))
    ]
    assert nats[0] - nats[1] == pytest.approx(2 * np.log(4), abs=0.02)


# -- codes ---------------------------------------------------------------------------------------


def test_codes_are_the_nearest_of_the_book_and_all_are_used(model):
    frames = learned_frames(model)
    bands = np.asarray(model.head.described(frames))
    book = np.asarray(model.head.book)
    distance = np.square(bands[:, :, None] - book).sum(-1)
    code = np.asarray(model.head.code_of(bands))
    assert np.array_equal(code, distance.argmin(-1))
    assert len(np.unique(code)) == model.config.codes
    heard, _ = model.step(frames, model.initial_state(3))
    assert np.array_equal(np.asarray(model.head.seen(heard).code)[..., 0], code)


def test_of_little_sound_there_are_fewer_codes():
    every = np.random.default_rng(0).normal(size=(3 * EXAMPLES, 7)).astype("float32")
    codes, *_ = fitted(every, 8)
    assert codes.shape == (8, 7) and len(np.unique(codes, axis=0)) == 3
    assert np.array_equal(codes[3:6], codes[:3])
    nearest = np.square(every[:, None] - codes).sum(-1).argmin(-1)
    assert set(nearest) == {0, 1, 2}


@pytest.mark.parametrize("rise", [0.0, 2.0])
def test_a_sound_that_begins_has_another_code_than_one_that_ends(rise):
    """Though both frames together have the same spectrum."""
    model = make_model("spectral_lstm", rise=rise, codes=19)
    head, frames = model.head, make_frames(model, batch=3, time=50)
    head.start_from(list(strokes(model, batch=3, time=500)))
    last, _, late, *_ = head.initial_state(3)
    _, powers, _, _, level, _ = head.look(ops.convert_to_tensor(frames), last, late)
    soft, loud = 0.1 * powers[:, 1:], powers[:, 1:]
    begins, ends = head.spectrum.kind(loud, soft, level), head.spectrum.kind(soft, loud, level)
    same = np.mean(np.asarray(head.code_of(begins)) == np.asarray(head.code_of(ends)))
    assert same == 1.0 if rise == 0.0 else same < 0.1
    if rise:  # ten times the power: one, in log10, for all bands
        wanted = rise * head.spectrum.features**0.5 * RISEN
        np.testing.assert_allclose(np.asarray(begins)[..., -1], wanted, rtol=0.05)


@pytest.mark.slow
def test_codes_can_be_fitted_to_next_to_nothing(model):
    from wavegen.models import FAMILIES

    for count in (0, 2):
        fresh = FAMILIES["spectral_lstm"](model.config)
        silence = np.zeros((count, model.config.channels * 32 + 1), "float32")
        fresh.start_from(None, [silence])
        assert np.isfinite(np.asarray(fresh.head.book)).all()
        assert np.isfinite(after(fresh, make_frames(fresh))).all()


def test_codes_are_drawn_as_often_as_the_softmax_says(model):
    y, count = after(model, make_frames(model, batch=1)), 4000
    head = model.head
    noise = np.full((count, 1, *model.config.noise_shape), 0.5, "float32")
    noise[:, 0, 0, 0] = (np.arange(count) + 0.5) / count
    many = np.repeat(y, count, 0)
    wanted = softmax(np.asarray(head.logits(head.seen(y)), np.float64)[0, 0])
    for top_p, kept in ((1.0, wanted), (0.6, nucleus(wanted, 0.6))):
        # without noise each code gives one frame: count the different ones
        drawn = np.asarray(model.draw(many, noise, noisiness=np.float32(0), top_p=top_p))[:, 0]
        _, counts = np.unique(np.round(drawn, 6), axis=0, return_counts=True)
        kept = kept[kept > 1 / count]
        np.testing.assert_allclose(np.sort(counts) / count, np.sort(kept), atol=1e-3)
    still = np.asarray(model.draw(many, noise, noisiness=np.float32(0), temperature=np.float32(0)))
    assert (still[..., -1] == still[0, :, -1]).all()  # one code; sums of other rows round otherwise
    np.testing.assert_allclose(still, np.broadcast_to(still[:1], still.shape), atol=1e-6)


def test_a_drawn_frame_says_its_code_and_is_heard_as_that(model):
    """Whatever it is nearest to: of a frame of sound nothing is said, and it is looked at."""
    frames = make_frames(model)
    assert (frames[..., -1] == UNKNOWN).all()
    seen = model.head.seen(model.step(frames, model.initial_state(2))[0])
    code = np.asarray(seen.code)[..., 0]
    other = np.array(frames)
    other[..., -1] = (code + 1) % model.config.codes
    heard = model.head.seen(model.step(other, model.initial_state(2))[0])
    np.testing.assert_array_equal(np.asarray(heard.code)[..., 0], other[..., -1])
    assert np.abs(np.asarray(heard.hidden) - np.asarray(seen.hidden)).max() > 1e-3
    noise = np.random.default_rng(0).random((2, 1, *model.config.noise_shape)).astype("float32")
    drawn = np.array(model.draw(after(model, frames), noise))
    assert set(np.unique(drawn[..., -1])) <= set(range(model.config.codes))
    codec = codec_of(model.config)
    sound = codec.decode_step(drawn, codec.decode_initial((2,)))[0]
    drawn[..., -1] = 0
    np.testing.assert_array_equal(codec.decode_step(drawn, codec.decode_initial((2,)))[0], sound)


def nucleus(probability, share):
    """Returns the probabilities of the likeliest that make up a share, scaled to sum to one."""
    order = np.argsort(-probability)
    kept = order[: np.searchsorted(np.cumsum(probability[order]), share) + 1]
    found = np.zeros_like(probability)
    found[kept] = probability[kept]
    return found / found.sum()


# -- the renderer --------------------------------------------------------------------------------


@pytest.mark.parametrize("hop_length", [256, 128])
def test_a_steady_tone_turns_on_into_its_next_frame(hop_length):
    """440 Hz, between two coefficients; of any two frames the next one follows."""
    config = make_config("spectral_lstm", n_fft=512, hop_length=hop_length, bands=16)
    renderer, codec = Renderer(config, RelativeSpectrum(config)), codec_of(config)
    time = np.arange(6000) / config.sample_rate
    frames = codec.encode(np.sin(2 * np.pi * 440.0 * time)[None].astype("float32"))[None, 4:12]
    z = np.asarray(parts_of(ops.convert_to_tensor(frames), 1))
    angle = np.zeros((1, 1, 2 * z.shape[-1]), "float32")
    turned = np.asarray(renderer.turned(z[:, :-2], z[:, 1:-1], angle)[0])
    error = np.square(turned - z[:, 2:]).sum() / np.square(z[:, 2:]).sum()
    assert error < 1e-3
    assert np.square(z[:, 1:-1] - z[:, 2:]).sum() / np.square(z[:, 2:]).sum() > 0.1


def drawn_often(model, y, noisiness, count=3000):
    """Returns draws of one code, `(count, 2, coefficients)`, and the density they are of."""
    rng = np.random.default_rng(0)
    noise = rng.random((count, 1, *model.config.noise_shape)).astype("float32")
    noise[:, :, model.config.normals] = rng.standard_normal((count, 1, model.head.coefficients, 2))
    noise[:, 0, 0] = 0.3  # one code for all
    drawn = np.asarray(model.draw(np.repeat(y, count, 0), noise, noisiness=np.float32(noisiness)))
    assert len(np.unique(drawn[..., -1])) == 1
    code = drawn[:1, :, -1].astype("int32")
    mean, log_scale, *_ = map(np.asarray, model.head.density(model.head.seen(y), code))
    parts = parts_of(ops.convert_to_tensor(drawn), model.config.channels)
    return np.asarray(parts)[:, 0], mean[0, 0], np.exp(log_scale[0, 0])


def test_frames_lie_around_their_mean_as_the_density_says(model):
    drawn, mean, scale = drawn_often(model, after(model, make_frames(model, batch=1)), 1.0)
    scaled = ((drawn - mean) / scale)[:, model.head.renderer.sounds > 0]
    for quantile in (0.1, 0.5, 0.9):  # each part of a bivariate Student-t is one
        share = np.mean(scaled < student.ppf(quantile, DEGREES))
        assert share == pytest.approx(quantile, abs=0.01)


def test_the_highest_frequency_is_not_drawn_as_loud_as_the_lowest(model):
    drawn, *_ = drawn_often(model, after(model, make_frames(model, batch=1)), 1.0, count=10)
    half = model.config.n_fft // 2
    assert not drawn[:, 1, ::half].any()
    assert np.count_nonzero(drawn) == drawn[:, 1:].size * 2 - 10 * model.config.channels


@pytest.mark.slow
@pytest.mark.parametrize("noisiness", [0.0, 0.25, 0.5, 1.5])
def test_noisiness_makes_tones_waver_and_below_a_half_all_else_softer(model, noisiness):
    head = model.head
    _, mean, scale = drawn_often(model, after(model, make_frames(model, batch=1)), 1.0)
    mean = mean * np.float32(np.arange(mean.shape[1]) % 2)  # every other has no tone at all
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3000, 1, head.coefficients, 2)).astype("float32")
    given = mean[None, None], np.log(scale)[None, None], noise
    usual, other = (np.asarray(head.renderer.draw(*given, n))[:, 0] for n in (1.0, noisiness))
    power, wanted = (np.square(each).sum(1).mean(0) for each in (other, usual))
    np.testing.assert_allclose(power[::2], wanted[::2] * min(2 * noisiness, 1) ** 2, rtol=1e-3)
    if noisiness >= 0.5:
        np.testing.assert_allclose(power, wanted, rtol=0.15)
    tone, chance = np.square(mean).sum(0), VARIANCE * np.square(scale)
    made_up = (1 - noisiness**2) * chance * tone / (tone + chance)  # for what chance has lost
    steady = mean * np.sqrt(np.maximum(1 + made_up / np.maximum(tone, 1e-30), 0))
    np.testing.assert_allclose(other.mean(axis=0), steady, atol=0.12 * scale.max())
    tonal = np.argsort(np.square(mean).sum(0) / np.square(scale))[-3:]  # the tone is much of them
    wavers = [each.std(axis=0).sum(0)[tonal].mean() for each in (other, usual)]
    assert (wavers[0] < 0.98 * wavers[1]) if noisiness < 1 else (wavers[0] > 1.02 * wavers[1])


def test_bands_come_to_the_power_that_is_expected_of_them(model):
    renderer = model.head.renderer
    rng = np.random.default_rng(3)
    z = rng.standard_normal((2, 3, 2, model.head.coefficients)).astype("float32")
    expected = np.asarray(model.head.spectrum.power_of(z)) * rng.uniform(0.2, 5.0, (2, 3, 1))
    expected = expected.astype("float32")  # whatever is between two bands is as far off as they
    none = np.zeros_like(expected)
    power = [
        np.asarray(model.head.spectrum.power_of(renderer.brought(z, expected, none, noisiness)))
        for noisiness in (0.0, 0.5, 1.0, 1.5)
    ]
    np.testing.assert_allclose(power[0], expected, rtol=1e-3)
    far = [np.abs(np.log(each / expected)).mean() for each in power]
    assert far[0] < 0.3 * far[2] and far[0] < far[1] < far[2] == far[3]
    assert np.array_equal(renderer.brought(z, expected, none, 1.0), z)
    swung = renderer.brought(z, expected, none + 0.7, 0.5)  # as if so much more was expected
    more = renderer.brought(z, expected * np.exp(np.float32(0.7)), none, 0.5)
    np.testing.assert_allclose(swung, more, rtol=1e-4)


def test_powers_of_bands_are_drawn_around_what_is_expected_of_them(model):
    """A logistic distribution, whose scale the network says; without noisiness, no chance."""
    noise = np.random.default_rng(0).random((3000, 1, *model.config.noise_shape)).astype("float32")
    noise[:, 0, : 1 + model.head.coefficients] = 0.3  # chance in the bands alone
    frames = make_frames(model, batch=1)
    frames[..., model.config.n_fft // 2 :: model.config.n_fft] = 0.0  # as music has its highest
    y = np.repeat(after(model, frames), len(noise), 0)
    power = {}
    for noisiness in (0.0, 0.5):
        drawn = model.draw(y, noise, noisiness=np.float32(noisiness))
        parts = parts_of(ops.convert_to_tensor(drawn), model.config.channels)
        power[noisiness] = np.log(np.asarray(model.head.spectrum.power_of(parts)))[:, 0]
    assert power[0.0].std(axis=0).max() < 1e-3
    wide, apart = power[0.5].std(axis=0), power[0.5] - power[0.5].mean(axis=0)
    assert wide.min() > 0.05
    # neighbours share coefficients, others share nothing
    features = model.head.spectrum.features // model.config.channels
    assert abs(np.corrcoef(apart[:, 0], apart[:, features - 1])[0, 1]) < 0.1


def test_logistic_draws_are_the_quantiles():
    uniforms = np.array([0.0, 0.1, 0.5, 0.9, 1 - 2**-24], "float32")
    found = np.asarray(logistic(uniforms))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1:4], scipy_logistic.ppf(uniforms[1:4]), atol=1e-5)


def test_powers_of_bands_are_judged_as_the_logistic_distribution_has_it(model):
    frames, head = make_frames(model), model.head
    following = frames[:, 1:]
    seen = head.seen(model.step(frames[:, :-1], model.initial_state(2))[0])
    rng = np.random.default_rng(1)
    bias = head.renderer.tone.bias
    start = bias.numpy()
    bias.assign(start + rng.uniform(-1, 1, start.shape).astype("float32"))
    y = model.step(frames[:, :-1], model.initial_state(2))[0]
    code = np.asarray(head.seen(model.step(frames, model.initial_state(2))[0]).code)[:, 1:, 0]
    _, _, expected, unsure = map(np.asarray, head.density(seen, code.astype("int32")))
    power = head.spectrum.power_of(parts_of(ops.convert_to_tensor(following), head.config.channels))
    logs = np.asarray(head.spectrum.relative(power, seen.level)) * np.log(10)
    wanted = scipy_logistic.logpdf(logs, expected, unsure).mean(axis=-1)
    np.testing.assert_allclose(head.judged(y, following)[2], wanted, rtol=1e-4, atol=1e-5)
    bias.assign(start)


def test_the_likelihood_is_that_of_the_code_and_of_the_frame_given_it(model):
    frames, head = make_frames(model), model.head
    y, _ = model.step(frames[:, :-1], model.initial_state(2))
    following = frames[:, 1:]
    found = np.asarray(model.log_prob(y, following), np.float64)[..., 0] * head.coefficients
    seen = head.seen(y)
    code = np.asarray(head.seen(model.step(frames, model.initial_state(2))[0]).code)[:, 1:, 0]
    code = code.astype("int32")
    logits = np.asarray(head.logits(seen), np.float64)
    of_code = np.log(np.take_along_axis(softmax(logits, -1), code[..., None], -1))[..., 0]
    mean, log_scale, *_ = (np.asarray(a, np.float64) for a in head.density(seen, code))
    z = np.asarray(parts_of(ops.convert_to_tensor(following), model.config.channels), np.float64)
    square = np.square(z - mean).sum(2) / np.exp(2 * log_scale)
    nats = -np.log(2 * np.pi) - 2 * log_scale - (DEGREES / 2 + 1) * np.log1p(square / DEGREES)
    np.testing.assert_allclose(found, of_code + nats.sum(-1), rtol=1e-4, atol=1e-4)


# -- what training disturbs ----------------------------------------------------------------------


def test_slips_and_dropout_are_a_function_of_the_step():
    config = make_config("spectral_lstm", units=64, codes=50)
    settings = TrainSettings(batch=16, window=32, slips=0.2, dropout=0.25)
    one, same, other = (disturbed(config, settings, step) for step in (3, 3, 4))
    assert np.array_equal(one.codes, same.codes) and np.array_equal(one.masks, same.masks)
    assert not np.array_equal(one.codes, other.codes)
    assert np.mean(one.codes >= 0) == pytest.approx(0.2, abs=0.05)
    assert one.codes.max() < 50 and one.codes.min() == -1
    assert set(np.unique(one.masks)) == {0.0, np.float32(1 / 0.75)}
    assert one.masks.mean() == pytest.approx(1.0, abs=0.05)
    assert one.noise.shape == (16, 33, 2, 16) and np.array_equal(one.noise, same.noise)
    loudness_db = 20 * np.log10(one.noise.std(axis=(2, 3)))
    assert NOISE_DB[0] - 3 < loudness_db.min() < loudness_db.max() < NOISE_DB[1] + 3
    assert disturbed(make_config("spectral_lstm", head="mse"), settings, 3) is None
    assert disturbed(make_config("wavenet"), settings, 3) is None


def without_memory(model, y):
    """Returns what `step` returned but for what is recalled, which in training is nothing."""
    seen = model.head.seen(np.asarray(y))._asdict()
    return np.concatenate([seen[n] for n in seen if n not in ("recalled", "missed", "counts")], -1)


def test_a_code_heard_wrong_changes_what_follows_and_no_frame(model):
    frames = make_frames(model)
    settings = TrainSettings(batch=2, window=frames.shape[1], slips=0.0, dropout=0.0)
    bearable = disturbed(model.config, settings, 0)
    bearable = bearable._replace(noise=0 * bearable.noise)
    state = model.initial_state(2)
    clean, _ = model.step(frames, state)
    same, _ = model.step(frames, state, bearable)
    clean, same = (without_memory(model, y) for y in (clean, same))
    np.testing.assert_allclose(same, clean, atol=1e-6)
    code = int(clean[0, 5, model.config.units])
    bearable.codes[0, 5] = (code + 1) % model.config.codes
    wrong = without_memory(model, model.step(frames, state, bearable)[0])
    assert np.abs(wrong[0, 5, :8] - clean[0, 5, :8]).max() > 1e-4
    np.testing.assert_array_equal(wrong[..., 8:], clean[..., 8:])


def test_noise_is_heard_by_the_renderer_alone(model):
    frames = make_frames(model)
    settings = TrainSettings(batch=2, window=frames.shape[1], slips=0.0, dropout=0.0)
    noisy = disturbed(model.config, settings, 0)
    state = model.initial_state(2)
    clean, kept = model.step(frames, state)
    heard, also = model.step(frames, state, noisy)
    one, other = model.head.seen(np.asarray(clean)), model.head.seen(np.asarray(heard))
    for name in ("hidden", "code", "power", "level"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-6)
    for name in ("bands", "turned", "around"):
        assert np.abs(getattr(other, name) - getattr(one, name)).max() > 1e-3
    np.testing.assert_array_equal(np.asarray(also[0]), np.asarray(kept[0]))  # the last frame
