"""The compiled engine of a spectral LSTM computes what the reference does."""

import functools

import keras
import numpy as np
import pytest
from conftest import SLOW, make_frames, make_model, strokes

from wavegen import engines
from wavegen.engines.numba_cpu import Lanes
from wavegen.engines.numba_spectral import NumbaSpectral, weight_shapes
from wavegen.engines.reference import Reference
from wavegen.models import named_weights

# Widths that are no whole vectors, one layer and three, overlaps of a half and of three quarters.
FIELDS = [
    {"rise": 0.0},
    {"channels": 2},
    {"channels": 2, "units": 20, "layers": 3, "renderer_units": 17, "codes": 19, "hop_length": 8},
    {"n_fft": 256, "hop_length": 128, "bands": 40, "layers": 1},
]
# All but the oddest are in CI only; so are other precisions than float32.
SIZES = [pytest.param(fields, marks=[SLOW] * (n != 2)) for n, fields in enumerate(FIELDS)]


@pytest.fixture(scope="module", params=SIZES, ids=str)
def model(request):
    return make_model("spectral_lstm", **({"timbre_seconds": 1.0} | request.param))


@functools.cache
def reference_of(model):
    """Returns the reference that a model's tests share: it is compiled for every length."""
    return Reference(model)


def by_hand(model, precision="float32", lanes=None):
    named = {k.removeprefix("weights/"): np.asarray(v) for k, v in named_weights(model).items()}
    assert {k: v.shape for k, v in named.items()} == weight_shapes(model.config, 128)
    return NumbaSpectral(model.config, named, precision=precision, lanes=lanes)


def uniforms(model, rows, time):
    rng = np.random.default_rng(5)
    return rng.random((rows, time, *model.config.noise_shape)).astype("float32")


def apart(one, other):
    """Returns the greatest difference of two nests, relative to what the first holds."""
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return max(np.abs(a - b).max() / (np.abs(a).max() + 1e-9) for a, b in pairs)


def test_sessions_and_likelihoods_are_the_references(model):
    frames, engine, reference = strokes(model, time=70), by_hand(model), reference_of(model)
    counts = model.head.seen(model.step(frames, model.initial_state(2))[0]).counts
    assert np.asarray(counts)[:, -1].min() > 0.5
    assert apart(reference.prime(frames), engine.prime(frames)) < 1e-4
    np.testing.assert_allclose(engine.log_prob(frames[0]), reference.log_prob(frames[0]), atol=1e-4)


def test_what_was_drawn_and_silence_have_no_say_in_the_level_of_late(model):
    """Heard again by either engine, drawn frames leave it as it was, and so does silence."""
    frames, engine, reference = make_frames(model, time=20), by_hand(model), reference_of(model)
    drawn = np.array(make_frames(model, time=20, seed=1))
    drawn[..., -1] = 1
    level = [np.asarray(part) for part in engine.prime(frames)[1][2]]
    for more in (drawn, 0 * frames - (np.arange(frames.shape[-1]) == frames.shape[-1] - 1)):
        # the frame that came last is pending: it is heard with what comes next
        longer = np.concatenate([frames, frames[:, -1:], more], axis=1).astype("float32")
        wanted = [np.asarray(a) for a in engine.prime(longer[:, : frames.shape[1] + 2])[1][2]]
        for each in (engine, reference):
            found = each.prime(longer)[1][2]
            assert apart(wanted, found) < 1e-4
    assert apart(level, wanted) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("controls", [{}, {"temperature": 0.7, "top_p": 0.6, "noisiness": 0.3}])
def test_frames_are_the_references(model, controls):
    """A few: what is drawn is heard, and a code that flips by rounding changes all that follows."""
    frames, engine, reference = strokes(model, batch=5), by_hand(model), reference_of(model)
    noise = uniforms(model, 5, 4)
    controls = {"temperature": 1.0, "top_p": 1.0, "noisiness": 1.0} | controls
    wanted, _ = reference.draw(reference.prime(frames), noise, **controls)
    drawn, _ = engine.draw(engine.prime(frames), noise, **controls)
    rows = [apart(a, b) for a, b in zip(wanted, drawn, strict=True)]
    assert sorted(rows)[3] < 1e-3, rows  # one row of five may have met such a code


@pytest.mark.slow
def test_an_engine_takes_over_in_the_middle_of_a_phrase(model):
    frames, engine, reference = strokes(model), by_hand(model), reference_of(model)
    noise, calm = uniforms(model, 2, 4), {"temperature": 0.0, "noisiness": 0.0, "top_p": 1.0}
    wanted, _ = reference.draw(reference.prime(frames), noise, **calm)
    for first, then in ((engine, reference), (reference, engine)):
        one, session = first.draw(first.prime(frames), noise[:, :2], **calm)
        rest, _ = then.draw(session, noise[:, 2:], **calm)
        assert apart(wanted, np.concatenate([one, rest], axis=1)) < 1e-3


@pytest.mark.slow
def test_a_processor_without_vectors_pairs_inputs_of_an_odd_width():
    """Two smaller numbers share one row of weights, and every width here is odd."""
    odd = dict(units=7, renderer_units=5, codes=9, bands=7, n_fft=34, hop_length=17)
    model = make_model("spectral_lstm", **odd, timbre_seconds=1.0)
    frames, lanes = make_frames(model, time=40), Lanes(1, fused=False)
    whole = by_hand(model, lanes=lanes).log_prob(frames[0])
    for precision in ("bfloat16", "int8"):
        fewer = by_hand(model, precision, lanes).log_prob(frames[0])
        assert 0 < np.abs(whole - fewer).max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [Lanes(1, fused=False), Lanes(8)], ids=str)
def test_other_processors_compute_the_same(lanes):
    model = make_model("spectral_lstm", channels=2, timbre_seconds=1.0)
    frames = make_frames(model, time=40)
    found = by_hand(model, lanes=lanes).log_prob(frames[0])
    np.testing.assert_allclose(found, by_hand(model).log_prob(frames[0]), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "limit"), [("bfloat16", 0.1), ("int8", 0.1)])
def test_fewer_bits_stay_near(model, precision, limit):
    frames = make_frames(model, time=70)
    whole, fewer = (by_hand(model, p).log_prob(frames[0]) for p in ("float32", precision))
    assert 0 < np.abs(whole - fewer).max() < limit


def test_a_file_is_drawn_from_without_keras(tmp_path, model):
    from wavegen import checkpoint, models

    models.save(tmp_path / "model.safetensors", model, {}, {})
    engine = engines.make(checkpoint.read_model(tmp_path / "model.safetensors"))
    assert isinstance(engine, NumbaSpectral)
    frames, own = make_frames(model), by_hand(model, engine.precision)
    np.testing.assert_array_equal(engine.log_prob(frames[0]), own.log_prob(frames[0]))


def test_a_model_that_runs_away_stays_in_the_numbers_range():
    """A level that feeds on itself ends at that of a full-scale tone."""
    model = make_model("spectral_lstm", timbre_seconds=0.1)
    model.head.renderer.width.bias.assign(2.0 + 0 * np.asarray(model.head.renderer.width.bias))
    engine, frames = by_hand(model), make_frames(model)
    drawn, session = engine.draw(engine.prime(frames), uniforms(model, 2, 400))
    assert np.isfinite(drawn).all() and np.abs(drawn).max() > 1
    assert all(np.isfinite(a).all() for a in keras.tree.flatten(session))
