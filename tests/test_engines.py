"""Every engine passes by being listed: the reference's logits and tokens, sessions, hand-over."""

import dataclasses
import functools
from pathlib import Path

import conftest
import keras
import numpy as np
import pytest
from conftest import JAX, ONCE, SLOW, in_ci, make_config, make_frames, make_model, variants
from contract import stepping

from wavegen import engines
from wavegen.codec import codec_of
from wavegen.engines.numba_cpu import Lanes, NumbaCPU, weight_shapes
from wavegen.engines.numba_spectral import NumbaSpectral
from wavegen.errors import CheckpointError, UsageError
from wavegen.models import named_weights

# The reference by itself takes long to compile; in the quick suite others are compared with it.
CASES = [pytest.param(("reference", "float32"), marks=[SLOW] * (not JAX))]
CASES.append(("numba", "float32"))
CASES += [pytest.param(("numba", coarse), marks=SLOW) for coarse in ("bfloat16", "int8")]
# Every head of the family: mono, stereo, with and without the predictor, widths that are no whole
# vectors, three taps, many levels and few, orders and hops of the predictor that are odd.
HEADS = [
    {},
    {"channels": 2},
    {"predictor_order": 0},
    {"predictor_order": 0, "channels": 2, "kernel_size": 3},
    {"head": "softmax"},
    {"head": "softmax", "channels": 2},
    {"head": "softmax", "predictor_order": 0},
    {"head": "softmax", "kernel_size": 3, "levels": 64, "predictor_order": 5, "predictor_hop": 7},
    {"head": "softmax", "levels": 1024, "residual_channels": 20, "gate_channels": 18},
    {"head": "softmax", "levels": 33, "residual_channels": 16, "skip_channels": 130, "channels": 2},
    {"mixtures": 20, "post_channels": 40, "predictor_order": 40, "predictor_hop": 3},
]
if JAX:  # the compiled engine is the same; what it is compared with is not
    CASES, HEADS = CASES[:1], [HEADS[1], HEADS[5]]
# The reference is compiled for these, which takes long: the quick suite takes what most people use.
SOME = [HEADS[1]] if JAX else [HEADS[number] for number in (1, 3, 4, 5, 7)]
COMPILED = [
    pytest.param(fields, marks=[SLOW] * (fields is not HEADS[1] and not JAX)) for fields in SOME
]
TWO = {"channels": 2}
PLAIN = {"predictor_order": 0, "cycles": 1}  # quickly compiled
# A loop is compiled for the controls that it is given, and for each number of frames.
EVEN = {"temperature": 1.0, "top_p": 1.0}
COOL = {"temperature": 0.9, "top_p": 1.0}
# Other processors: plain loops, and narrower vectors without instructions for dot products.
PLACES = [
    (Lanes(1, fused=False), "float32"),
    (Lanes(8), "bfloat16"),
    (Lanes(8), "int8"),
]


@functools.cache
def one_model(family, fields):
    """Returns a model that several tests share: compiling for it takes longer than any test."""
    model = make_model(family, **dict(fields))
    if family == "wavenet" and not model.softmax:
        soften(model)
    return model


def soften(model):
    """Lets a model play so softly that a step of 16 bits is far above what rounding does to it."""
    if model.predictor:
        model.predictor.bounds.assign([0.6, 1e-4, 0.5])
        return
    count = model.config.mixtures
    for output in model.outputs_:  # without a predictor the scale is full scale
        kernel, bias = (np.array(keras.ops.convert_to_numpy(v)) for v in output.variables)
        kernel[:, count : 2 * count] *= 0.01
        bias[count : 2 * count] *= 0.01
        bias[2 * count :] -= 6
        output.kernel.assign(kernel)
        output.bias.assign(bias)


def soft_frames(model, batch, time):
    """Returns frames that are as soft."""
    frames = make_frames(model, batch=batch, time=time)
    if getattr(model.config, "head", "") == "logistic":
        return (frames - 32768) // 1000 + 32768
    return frames


def chord(model, batch, time):
    """Returns frames of chords that fade over noise: most sounds are of both kinds.

    A fit of the predictor to a few samples of noise alone has no good solution, and the two engines
    find others of the bad ones.
    """
    config, rng = model.config, np.random.default_rng(0)
    seconds = np.arange(time) / config.sample_rate
    f0_hz = rng.uniform(100, 1000, (batch, config.channels, 6, 1))
    tones = np.sin(2 * np.pi * f0_hz * seconds) * np.exp(-rng.uniform(1, 9, f0_hz.shape) * seconds)
    wave = 0.1 * tones.sum(axis=2) + 0.01 * rng.standard_normal((batch, config.channels, time))
    return codec_of(config).encode(wave.astype("float32"))


@functools.cache
def one_engine(model, name, precision):
    """Returns an engine of it that several tests share."""
    return engines.make(model, name, precision)


def head(fields):
    """Returns the shared wavenet of some fields."""
    return one_model("wavenet", tuple(fields.items()))


QUICKLY = ONCE[:3] if JAX else [("wavenet", TWO), ("spectral_lstm", TWO)]


@pytest.fixture(params=variants(quick=QUICKLY))
def model(request):
    family, fields = request.param
    return one_model(family, tuple(fields.items()))


@pytest.fixture(params=CASES, ids=lambda case: "-".join(map(str, case)))
def make(request):
    """Returns what makes the engine of this case, or skips a family it does not draw."""

    name, precision = request.param
    variant = request.node.callspec.params.get("model", ONCE[0])
    if precision != "float32" and variant not in ONCE:
        pytest.skip("coarser weights: each head once")

    def made(model, engine=one_engine):
        if name == "numba" and not engines.is_compiled(model.config):
            pytest.skip("draws no spectral baseline")
        return engine(model, name, precision)

    return made


def uniforms(model, rows, time, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((rows, time, *model.config.noise_shape)).astype("float32")


def numba(model, precision="float32", **options):
    """Returns the Numba engine by hand, with options that `make` does not pass on."""
    named = named_weights(model).items()
    weights = {name.removeprefix("weights/"): np.asarray(value) for name, value in named}
    codec = codec_of(model.config)
    tables = codec.values, codec.edges
    return NumbaCPU(model.config, weights, *tables, precision=precision, **options)


def by_hand(model, frames):
    y, _ = stepping(model)(frames[:, :-1], model.initial_state(len(frames)))
    return np.asarray(model.distributions(y, frames[:, 1:]))


def assert_near(found, wanted, share=1e-4):
    """Checks that no array of a nest is further off than a share of its greatest number."""
    nests = keras.tree.flatten(found), keras.tree.flatten(wanted)
    for a, b in zip(*nests, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype and a.shape == b.shape
        assert np.abs(a - b).max() <= share * max(1, np.abs(b).max())


# -- sessions --------------------------------------------------------------------------------------


@in_ci
def test_drawing_is_step_and_draw_by_hand(model):
    """The compiled loop gives what stepping and drawing frame by frame gives."""
    frames = soft_frames(model, batch=1, time=12)
    noise = uniforms(model, 1, 20)
    names = ["reference", "numba"] if type(model).family == "wavenet" else ["reference"]
    drawers = [one_engine(model, name, "float32") for name in names]
    found = [drawer.draw(drawer.prime(frames), noise, **COOL)[0] for drawer in drawers]
    step = stepping(model)
    _, state = step(frames[:, :-1], model.initial_state(1))
    last = frames[:, -1:]
    for t in range(5):
        y, state = step(last, state)
        last = np.asarray(model.draw(y, noise[:, t : t + 1], temperature=np.float32(0.9)))
        for drawn in found:
            if type(model).family == "wavenet":
                assert np.array_equal(drawn[:, t : t + 1], last)
            else:
                np.testing.assert_allclose(drawn[:, t : t + 1], last, rtol=2e-3, atol=2e-3)


def test_blocks_and_batches_change_no_bit(model, make):
    frames = make_frames(model, batch=3, time=12)
    noise = uniforms(model, 11, 20)
    drawer = make(model)
    heard = drawer.prime(np.repeat(frames[:1], 11, 0))
    whole, _ = drawer.draw(heard, noise, **COOL)
    session, parts = heard, []
    for start in (0, 10):
        part, session = drawer.draw(session, noise[:, start : start + 10], **COOL)
        parts.append(part)
    assert np.array_equal(np.concatenate(parts, 1), whole)
    for row in (1, 9):  # in a group of eight, and of the rest
        alone, _ = drawer.draw(drawer.prime(frames[:1]), noise[row : row + 1], **COOL)
        assert np.array_equal(alone[0], whole[row])
    if getattr(model.config, "head", "") != "mse":  # which leaves nothing to chance
        assert not np.array_equal(whole[0], whole[1])


def test_open_voices_draw_what_draw_draws(model, make):
    frames = make_frames(model, batch=2, time=12)
    noise = uniforms(model, 2, 20)
    drawer = make(model)
    heard = drawer.prime(frames)
    whole, after = drawer.draw(heard, noise, **COOL)
    voices = drawer.open(heard)
    starts = (0, 10)
    parts = [voices.draw(noise[:, start : start + 10], **COOL) for start in starts]
    assert np.array_equal(np.concatenate(parts, 1), whole)
    for a, b in zip(keras.tree.flatten(after), keras.tree.flatten(voices.session()), strict=True):
        assert np.array_equal(np.asarray(a), np.asarray(b))


def test_a_heard_state_can_be_answered_again(model, make):
    """A session is a value: drawing does not use it up."""
    frames = make_frames(model, batch=1, time=12)
    drawer = make(model)
    heard = drawer.prime(frames)
    kept = [np.array(a) for a in keras.tree.flatten(heard)]
    first, again, other = (
        drawer.draw(heard, uniforms(model, 1, 10, seed), **COOL)[0] for seed in (0, 0, 5)
    )
    assert np.array_equal(first, again)
    if getattr(model.config, "head", "") != "mse":
        assert not np.array_equal(first, other)
    for old, now in zip(kept, keras.tree.flatten(heard), strict=True):
        assert np.array_equal(old, np.asarray(now))


@in_ci
def test_priming_goes_on_where_it_stopped(model, make):
    frames = make_frames(model, batch=1, time=20)
    drawer = make(model)
    at_once = drawer.prime(frames)
    in_parts = drawer.prime(
        frames[:, 12:], drawer.prime(frames[:, 11:12], drawer.prime(frames[:, :11]))
    )
    assert_near(in_parts, at_once)


@in_ci
def test_log_prob_is_the_whole_signals(model, make):
    drawer = make(model, engines.make)
    drawer.block = 7
    frames = make_frames(model, batch=1, time=24)[0]
    y, _ = stepping(model)(frames[None, :-1], model.initial_state(1))
    wanted = np.asarray(model.log_prob(y, frames[None, 1:]))[0]
    exact = getattr(drawer, "precision", "float32") == "float32"
    np.testing.assert_allclose(
        drawer.log_prob(frames), wanted, **(dict(rtol=1e-4, atol=1e-4) if exact else dict(atol=0.1))
    )


def test_engine_keeps_the_weights_it_was_given(make):
    model = make_model("wavenet", **PLAIN)
    frames = make_frames(model, batch=1, time=12)
    drawer = make(model)
    before, _ = drawer.draw(drawer.prime(frames), uniforms(model, 1, 10))
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable) * 0)
    after, _ = drawer.draw(drawer.prime(frames), uniforms(model, 1, 10))
    assert np.array_equal(before, after)


@in_ci
def test_scoring_follows_parameters_that_are_replaced():
    """As the judge of a run replaces them, again and again."""
    model = make_model("wavenet", **PLAIN)
    drawer = engines.make(model, "reference")
    frames = make_frames(model, batch=1, time=24)[0]
    before = drawer.log_prob(frames)
    drawer.params = [np.asarray(value) * 0.5 for value in drawer.params]
    assert np.abs(drawer.log_prob(frames) - before).max() > 1e-3


def test_one_control_a_row(model, make):
    drawer = make(model)
    heard = drawer.prime(make_frames(model, batch=2, time=12))
    noise = np.repeat(uniforms(model, 1, 10), 2, 0)
    both, _ = drawer.draw(heard, noise, temperature=[0.3, 1.5], top_p=1.0)
    first, _ = drawer.draw(heard, noise, temperature=0.3, top_p=1.0)
    second, _ = drawer.draw(heard, noise, temperature=1.5, top_p=1.0)
    assert np.array_equal(both[0], first[0]) and np.array_equal(both[1], second[1])


# -- agreement with the reference ------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, pytest.param(8, marks=SLOW)])
@pytest.mark.parametrize(
    "fields", [*HEADS[:6], *(pytest.param(fields, marks=SLOW) for fields in HEADS[6:])], ids=str
)
def test_distributions_are_the_references(fields, batch):
    """Teacher-forced, below and above the receptive field, past some of the predictor's fits."""
    model = head(fields)
    time = max(2 * model.config.receptive_field, 5 * model.config.predictor_hop) + 10
    frames = chord(model, batch, time)
    wanted = by_hand(model, frames)
    found, _ = one_engine(model, "numba", "float32").distributions(frames)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-4 * wanted.std()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "fields"),
    [
        (128, {}),
        pytest.param(512, {}, marks=SLOW),
        # In a mean of two channels the chords' noise is softer: fits to few samples are bad ones.
        pytest.param(
            512, dict(head="softmax", channels=2, levels=256, stereo="left_right"), marks=SLOW
        ),
    ],
    ids=str,
)
def test_distributions_and_sessions_are_the_references_at_full_order(order, fields):
    """As the presets have the predictor, over several of its fits."""
    hop, memory = order // 2, 0.075 * order / 512
    fields = {"predictor_order": order, "predictor_hop": hop, "predictor_memory": memory, **fields}
    model = head({"sample_rate": 16000, **fields})
    frames = chord(model, 2, 5 * hop + 100)
    drawers = [one_engine(model, name, "float32") for name in engines.ENGINES]
    (wanted, session), (found, other) = (drawer.distributions(frames) for drawer in drawers)
    assert np.abs(found - wanted).max() < 1e-4 * wanted.std()
    assert_near(other, session)


@pytest.mark.slow
@pytest.mark.parametrize(("lanes", "precision"), PLACES, ids=str)
@pytest.mark.parametrize("kind", ["logistic", "softmax"])
def test_other_processors_compute_the_same(lanes, precision, kind):
    """Plain loops and narrower vectors, where the dot product instructions are not to be had."""
    model = head({"channels": 2, "kernel_size": 3, "head": kind})
    frames = chord(model, 5, 50)
    found, _ = numba(model, precision, lanes=lanes).distributions(frames)
    here, _ = numba(model, precision).distributions(frames)
    wanted = by_hand(model, frames)
    close = 1e-4 if precision == "float32" else 1e-2
    assert np.abs(found - here).max() < close * wanted.std()
    assert np.abs(found - wanted).max() < (1e-4 if precision == "float32" else 0.05) * wanted.std()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("kind", ["logistic", "softmax"])
def test_fewer_bits_stay_near(precision, kind):
    """Weights as coarse as these move a distribution by little, and by more than nothing."""
    model = head({"channels": 2, "head": kind})
    frames = make_frames(model, batch=2, time=40)
    wanted = by_hand(model, frames)
    found, _ = one_engine(model, "numba", precision).distributions(frames)
    assert 1e-5 * wanted.std() < np.abs(found - wanted).max() < 0.05 * wanted.std()


@pytest.mark.slow
@pytest.mark.parametrize("fields", COMPILED, ids=str)
def test_tokens_are_the_references(fields):
    """Over a short run with the same uniforms; later a draw on the brink may tip."""
    model = head(fields)
    frames = soft_frames(model, batch=3, time=model.config.receptive_field + 5)
    noise = uniforms(model, 3, 20 if conftest.QUICK else 40)
    slow = () if conftest.QUICK else ((1.0, 0.7),)  # a loop is compiled for each
    for temperature, top_p in ((0.8, 0.7), (0.0, 1.0), *slow):
        controls, drawn = {"temperature": temperature, "top_p": top_p}, []
        for name in engines.ENGINES:
            drawer = one_engine(model, name, "float32")
            drawn.append(drawer.draw(drawer.prime(frames), noise, **controls)[0])
        assert np.array_equal(*drawn), controls


@in_ci
@pytest.mark.parametrize("fields", COMPILED, ids=str)
@pytest.mark.parametrize("order", [("reference", "numba"), ("numba", "reference")])
def test_an_engine_takes_over_in_the_middle_of_a_phrase(fields, order):
    model = head(fields)
    first, second = (one_engine(model, name, "float32") for name in order)
    frames = soft_frames(model, batch=2, time=17)
    noise = uniforms(model, 2, 20)
    heard = first.prime(frames)
    whole, end = first.draw(heard, noise, **EVEN)
    start, session = first.draw(heard, noise[:, :10], **EVEN)
    rest, after = second.draw(session, noise[:, 10:], **EVEN)
    assert np.array_equal(np.concatenate([start, rest], 1), whole)
    assert_near(after, end)
    a, _ = first.distributions(frames[:, :9], session)
    b, _ = second.distributions(frames[:, :9], session)
    assert a.shape[1] == 9 and np.abs(a - b).max() < 1e-4 * a.std()


@pytest.mark.slow
@pytest.mark.parametrize("name", engines.ENGINES)
@pytest.mark.parametrize(
    "fields",
    [{"channels": 2}, pytest.param({"head": "softmax", "channels": 2}, marks=SLOW)],
    ids=str,
)
def test_rows_need_not_have_begun_together(name, fields):
    """Each has the predictor's next fit at a time of its own."""
    model = head(fields)
    drawer, frames = one_engine(model, name, "float32"), make_frames(model, batch=3, time=50)
    sessions = [drawer.prime(frames[row : row + 1, :time]) for row, time in enumerate((12, 20, 37))]
    together = keras.tree.map_structure(lambda *rows: np.concatenate(rows), *sessions)
    noise = uniforms(model, 3, 20)
    drawn, after = drawer.draw(together, noise, **EVEN)
    for row, session in enumerate(sessions):
        alone, end = drawer.draw(session, noise[row : row + 1], **EVEN)
        assert np.array_equal(alone[0], drawn[row])
        own = keras.tree.map_structure(lambda array, row=row: array[row : row + 1], after)
        assert_near(own, end, share=0)


@pytest.mark.parametrize(
    "precision", ["float32", *(pytest.param(name, marks=SLOW) for name in ("bfloat16", "int8"))]
)
def test_cores_change_no_bit(precision):
    model = make_model("wavenet", channels=2)
    frames = make_frames(model, batch=13, time=12)
    noise = uniforms(model, 13, 30)
    drawn = []
    for threads in (1, 2, 5):
        drawer = numba(model, precision, threads=threads)
        drawn.append(drawer.draw(drawer.prime(frames), noise)[0])
    assert np.array_equal(drawn[0], drawn[1]) and np.array_equal(drawn[0], drawn[2])


# -- choosing one ----------------------------------------------------------------------------------


def test_the_fastest_engine_is_chosen_and_others_are_refused():
    wavenet, lstm = make_model("wavenet"), make_model("spectral_lstm", head="mse")
    assert isinstance(engines.make(wavenet), NumbaCPU)
    assert isinstance(engines.make(make_model("spectral_lstm")), NumbaSpectral)
    assert type(engines.make(lstm)).__name__ == "Reference"
    for model, words, arguments in (
        (wavenet, "did you mean numba", ["numb"]),
        (lstm, "draws a wavenet, or a spectral_lstm with codes", ["numba"]),
        (wavenet, "there are float32, bfloat16, int8", ["numba", "int4"]),
        (wavenet, "reference engine has no int8", ["reference", "int8"]),
    ):
        with pytest.raises(UsageError, match=words):
            engines.make(model, *arguments)


def test_a_file_whose_weights_do_not_fit_is_refused_in_one_line(tmp_path):
    from wavegen import checkpoint, models

    path, model = tmp_path / "model.safetensors", head({"channels": 2})
    models.save(path, model, {}, {})
    file = checkpoint.read_model(path)
    names = {f"weights/{name}" for name in weight_shapes(model.config)}
    assert names == {name for name in file.tensors if name.startswith("weights/")}
    assert engines.make(file, "numba").draw is not None
    for spoil in (lambda a: a[:-1], None):
        spoiled = dict(file.tensors)
        whole = spoiled.pop("weights/skip/bias")
        if spoil:
            spoiled["weights/skip/bias"] = spoil(whole)
        with pytest.raises(CheckpointError, match=r"weights/skip/bias is (missing|of shape)"):
            engines.make(dataclasses.replace(file, tensors=spoiled), "numba")


@pytest.mark.parametrize("package", ["numba_cpu", "numba_spectral"])
def test_a_fast_engine_imports_nothing_of_the_rest_or_of_keras(package):
    text = "".join(
        path.read_text("utf-8") for path in (Path(engines.__file__).parent / package).glob("*.py")
    )
    imported = {
        line.split()[1] for line in text.split("\n") if line.startswith(("import ", "from "))
    }
    own = {name for name in imported if name.startswith("wavegen")}
    assert own and all(name.startswith("wavegen.engines.numba_") for name in own)
    assert not {name.split(".")[0] for name in imported} & {"keras", "tensorflow", "jax"}


def test_a_control_is_one_number_or_one_per_row():
    from wavegen.engines.reference import row_controls

    assert row_controls({"temperature": [0.5, 2.0], "top_p": 1.0}, 1) == {
        "temperature": 2.0,
        "top_p": 1.0,
    }


def test_shape_of_a_configuration_is_whole_vectors():
    from wavegen.engines.numba_cpu.shapes import shape_of

    config = make_config("wavenet", head="softmax", levels=33, residual_channels=20)
    shape = shape_of(config, 16, "int8")
    assert (shape.bins, shape.residual, shape.pair, shape.chunk) == (48, 32, 2, 512)
