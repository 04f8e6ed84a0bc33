"""The parts of the Numba engine against plain numpy; whole engines meet in test_engines.py."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from conftest import SLOW, make_config, make_frames, make_model
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numba import njit
from scipy.linalg import solve_toeplitz

from wavegen import engines
from wavegen.codec import codec_of
from wavegen.engines.numba_cpu import PRECISIONS, Lanes, engine, kernel, warm_up
from wavegen.engines.numba_cpu.elementary import exp, expm1, gate, log
from wavegen.engines.numba_cpu.fading import HUSH, RIDGE, hop_window, lag_fading, window_aging
from wavegen.engines.numba_cpu.fitting import predictors
from wavegen.engines.numba_cpu.following import followed, hear
from wavegen.engines.numba_cpu.mixture import components, describe, invert, nats_of
from wavegen.engines.numba_cpu.packing import NONE, Packer, aligned, bfloat16, packed, padded
from wavegen.engines.numba_cpu.product import Rows, linear
from wavegen.engines.numba_cpu.rounding import GATE_SCALE, encode, encode_gate
from wavegen.engines.numba_cpu.shapes import WHITENING, shape_of, weight_shapes
from wavegen.engines.numba_cpu.softmax import nucleus, peak, pick, shares
from wavegen.engines.numba_cpu.streams import State, decoded, encoded, rings, scratch, unrolled
from wavegen.engines.numba_cpu.tile import CHUNK
from wavegen.engines.numba_cpu.vector import load, store

HERE = Lanes.here()
# The same source as plain loops, and for less than this processor has; a fused multiply-add that
# it does not have would be a call for every lane.
PLAIN = [Lanes(4, fused=False), Lanes(1, fused=False)]
ALL = list(dict.fromkeys([HERE, *([Lanes(8), Lanes(4)] if HERE.fused else []), *PLAIN]))
LESS = Lanes(8, fused=HERE.fused)  # no dot products: bfloat16 and int8 go another way
TWO = list(dict.fromkeys([HERE, LESS]))
EPSILON = 2.0**-24  # of a float32 that is rounded once, relative


def lanes_name(lanes):
    return f"{lanes.width}{'' if lanes.fused else '-plain'}{'-dots' if lanes.dots else ''}"


def each_of(lanes):
    """Tests run for this processor in the quick suite, in CI for others as well."""
    marked = [pytest.param(one, marks=[SLOW] * (one != HERE)) for one in lanes]
    return pytest.mark.parametrize("lanes", marked, ids=lanes_name)


def each_of_precisions(*quick):
    """Tests run for these in the quick suite, in CI for all."""
    marked = [pytest.param(one, marks=[SLOW] * (one not in quick)) for one in PRECISIONS]
    return pytest.mark.parametrize("precision", marked)


each_precision = each_of_precisions("float32", "int8")
# A kernel takes a quarter of a minute to compile: the quick suite has one.
each_kernel = each_of_precisions("float32")

# -- elementary functions --------------------------------------------------------------------------

FUNCTIONS = ("exp", "expm1", "log", "gate")


@njit(cache=True)
def applied(lanes, width, which, a, b, out):
    for v in range(0, a.size, width):
        x, y = load(lanes, a, v), load(lanes, b, v)
        if which == 0:
            store(out, v, exp(lanes, x))
        elif which == 1:
            store(out, v, expm1(lanes, x))
        elif which == 2:
            store(out, v, log(lanes, x))
        else:
            store(out, v, gate(lanes, x, y))


def computed(lanes, name, a, b=None):
    """Returns the function of every element: whole vectors, the rest of the last one is ones."""
    size = -(-a.size // 16) * 16
    out = np.zeros(size, np.float32)
    a, b = (np.append(x, np.ones(size - x.size)).astype("f4") for x in (a, a if b is None else b))
    applied(lanes, lanes.width, FUNCTIONS.index(name), a, b, out)
    return out


def spread(low, high, count, seed=0):
    """Returns numbers all over a range, with its ends."""
    return np.append(np.random.default_rng(seed).uniform(low, high, count), [low, high])


def either_sign(least, most, count):
    """Returns numbers of every size between two, of both signs."""
    sizes = np.exp(spread(np.log(least), np.log(most), count))
    return np.concatenate([sizes, -sizes])


@each_of(ALL)
def test_exp(lanes):
    x = np.concatenate([spread(-87, 88, 40000), spread(-1, 1, 10000), [0.0, -0.0]]).astype("f4")
    found, wanted = computed(lanes, "exp", x)[: x.size], np.exp(x.astype(float))
    assert np.abs(found / wanted - 1).max() < 1e-7
    assert np.all(found[-2:] == 1)  # the share of the likeliest level is one, exactly


@each_of(ALL)
def test_expm1(lanes):
    x = np.concatenate([spread(-87, 88, 40000), either_sign(1e-30, 1, 20000)]).astype("f4")
    found, wanted = computed(lanes, "expm1", x)[: x.size], np.expm1(x.astype(float))
    assert np.abs(found / wanted - 1).max() < 1.3e-7
    tiny = np.abs(x) < 1e-8  # where exp has nothing but one to say
    assert tiny.sum() > 1000
    assert np.array_equal(found[tiny], x[tiny])


@each_of(ALL)
def test_log(lanes):
    limits = np.finfo(np.float32)
    powers = 2.0 ** np.arange(-126, 128)
    x = np.concatenate(
        [
            np.exp(spread(-87.3, 88.7, 40000)),
            spread(0.5, 2, 20000),
            1 + either_sign(1e-7, 0.1, 5000),
            powers,
            np.nextafter(powers[1:].astype("f4"), np.float32(0)),
            [1.0, limits.tiny, limits.max],
        ]
    ).astype("f4")
    found, wanted = computed(lanes, "log", x)[: x.size], np.log(x.astype(float))
    assert np.all(found[x == 1] == 0)
    found, wanted = found[x != 1], wanted[x != 1]
    assert np.abs(found / wanted - 1).max() < 1e-7


@each_of(ALL)
def test_gate(lanes):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-12, 12, (2, 100000))
    extremes = [-1e30, -700, -50, -10, 0, 10, 50, 700, 1e30]
    small = either_sign(1e-20, 1e-2, 1000)
    a = np.concatenate([a, np.repeat(extremes, 9), small]).astype("f4")
    b = np.concatenate([b, np.tile(extremes, 9), small[::-1]]).astype("f4")
    found = computed(lanes, "gate", a, b)[: a.size]
    wanted = np.tanh(a.astype(float)) / (1 + np.exp(-b.astype(float).clip(-700, 700)))
    # Where tanh is almost one, e^-2a is about 2^24 and 1 +- e^-2a is rounded: three errors of half
    # a unit in the last place, and the sigmoid's own.
    assert np.abs(found - wanted).max() < 3e-7
    assert np.abs(found).max() <= 1  # int16 gates have no room beyond


# -- products --------------------------------------------------------------------------------------


@njit(cache=True)
def multiplied(lanes, shape, w, at, inputs, outputs, streams, x, first, out, scales, s_at, xs, k):
    return linear(lanes, shape, w, at, inputs, outputs, streams, x, first, out, scales, s_at, xs, k)


def sizes(lanes, precision):
    """Returns a `Shape` that says no more than a product wants to know."""
    config = make_config("wavenet")
    return shape_of(config, lanes.width, precision)


class Product:
    """A matrix as the kernel has it, behind another one's weights, and as it is meant."""

    def __init__(self, lanes, precision, values):
        self.lanes, self.precision, self.values = lanes, precision, values
        self.shape = sizes(lanes, precision)
        self.inputs, self.outputs = values.shape
        self.before = 2 * self.outputs  # elements of weights that belong to someone else
        pack = Packer(lanes.width, precision)
        pack.matrix(values)
        kind = {"float32": np.float32, "bfloat16": np.uint32, "int8": np.uint16}[precision]
        other = np.full(self.before, 77, kind)
        self.w = aligned(np.concatenate([other, *pack.matrices]))
        assert self.w.dtype == kind
        self.scales = np.concatenate([np.full(3, 1e9, np.float32), *pack.scales])

    def codes(self, x):
        """Returns rows of inputs in the numbers of the precision."""
        codes, scales = encoded(x, self.precision)
        return codes, scales if self.precision == "int8" else np.ones(len(x), np.float32)

    def meant(self, x):
        """Returns float64 (inputs, weights) that the codes stand for: the product is exact."""
        codes, scales = self.codes(x)
        values = self.values.astype(np.float32)
        if self.precision == "bfloat16":
            values = decoded(bfloat16(values), None, "bfloat16")
        if self.precision == "int8":
            parts = [values[i : i + CHUNK] for i in range(0, len(values), CHUNK)]
            steps = [np.abs(part).max(axis=0) / 127 for part in parts]
            values = [np.rint(a / b) * b for a, b in zip(parts, steps, strict=True)]
            values = np.concatenate(values)
        return decoded(codes, scales, self.precision).astype(float), values.astype(float)

    def __call__(self, codes, scales, first, step):
        """Returns (streams, outputs), every stream's vectors amid numbers that must survive."""
        streams, outputs = len(codes), self.outputs
        x = np.pad(codes, [(0, 0), (2, 4)])  # rows of another length than a matrix has inputs
        out = np.full((streams, outputs + 5), -5, np.float32)
        first = np.append(np.zeros(1, np.float32), first).astype(np.float32)
        at, s_at = multiplied(
            self.lanes, self.shape, self.w, self.before, self.inputs, outputs, streams,
            Rows(aligned(x), 2, x.shape[1]), Rows(first, 1, step),
            Rows(out.ravel(), 3, outputs + 5),
            self.scales, 3, np.append(np.float32(1e9), scales), 1,
        )  # fmt: skip
        assert at == self.w.size
        if self.precision == "int8":
            assert s_at == self.scales.size
        assert np.all(out[:, :3] == -5) and np.all(out[:, outputs + 3 :] == -5)
        return out[:, 3 : outputs + 3]


# Vectors of outputs: every way to make up a width of tiles of 8, 4, 2 and 1; and inputs, which are
# even where they pair, and more than one chunk of int8.
WIDTHS = [(1, 2), (2, 6), (3, 40), (7, 48), (8, 512), (13, 22), (15, 64), (16, 30), (1, 1100)]


@each_of_precisions("int8")
@each_of(TWO)
def test_products(lanes, precision):
    rng = np.random.default_rng(0)
    for vectors, inputs in WIDTHS:
        outputs = vectors * lanes.width
        product = Product(lanes, precision, rng.standard_normal((inputs, outputs)))
        for streams_ in (1, 3, 4, 5, 8):
            x = rng.standard_normal((streams_, inputs)).astype("f4")
            x *= 10.0 ** rng.integers(-3, 4, (streams_, 1)).astype("f4")
            bias, own = rng.standard_normal(outputs), rng.standard_normal((streams_, outputs))
            codes, scales = product.codes(x)
            values, weights = product.meant(x)
            # A sum of n terms is rounded n times at most; a term left out is far beyond that.
            size = np.abs(values) @ np.abs(weights) + 5
            bound = 2 * EPSILON * (inputs + 4) * size
            found = product(codes, scales, bias, 0)
            assert np.all(np.abs(found - (values @ weights + bias)) < bound)
            found = product(codes, scales, own, outputs)
            assert np.all(np.abs(found - (values @ weights + own)) < bound)


@each_precision
@each_of(TWO)
def test_a_stream_has_the_bits_it_has_alone(lanes, precision):
    rng = np.random.default_rng(1)
    for vectors, inputs in [(15, 64), (3, 700)]:
        outputs = vectors * lanes.width
        product = Product(lanes, precision, rng.standard_normal((inputs, outputs)))
        x = rng.standard_normal((8, inputs)) * 10.0 ** np.arange(-3, 5)[:, None]
        codes, scales = product.codes(x.astype("f4"))
        own = rng.standard_normal((8, outputs))
        alone = [
            product(codes[s : s + 1], scales[s : s + 1], own[s : s + 1], outputs) for s in range(8)
        ]
        for many in (3, 4, 5, 8):
            found = product(codes[:many], scales[:many], own[:many], outputs)
            assert np.array_equal(found, np.concatenate(alone[:many]))


@each_of(TWO)
@pytest.mark.parametrize("inputs", [CHUNK, 2 * CHUNK])
def test_the_largest_int8_sums_have_room(lanes, inputs):
    outputs = 3 * lanes.width
    signs = np.where(np.arange(outputs) % 2, 1.0, -1.0)
    product = Product(lanes, "int8", np.ones((inputs, 1)) * signs)
    codes = np.full((5, inputs), 32767, np.int16) * np.array([1, -1, 1, -1, 1], np.int16)[:, None]
    found = product(codes, np.ones(5, np.float32), np.zeros(outputs), 0)
    wanted = codes[:, :1] * signs * float(inputs)  # weights of 127 in steps of 1 / 127
    np.testing.assert_allclose(found, wanted, rtol=3e-7)


# -- rounding --------------------------------------------------------------------------------------


@njit(cache=True)
def rounded(lanes, source, at, count, codes, to, scales):
    for k in range(scales.size - 1):
        encode(lanes, source, at + k * count, count, codes, to + k * count, scales, k + 1)


@njit(cache=True)
def rounded_gates(lanes, width, source, codes):
    for v in range(0, source.size, width):
        encode_gate(codes, v, load(lanes, source, v))


def ties():
    """Returns rows of 32 numbers exactly between two int16 steps, and between two bfloat16."""
    rng = np.random.default_rng(3)
    steps = (rng.integers(-24000, 24000, (20, 32)) + 0.5) * 2.0**-14
    steps[:, 0] = 1.5  # the row's largest, whose power of two is one
    bits = (rng.integers(0x3000, 0x4F00, (20, 32)) << 16) + 0x8000
    halves = bits.astype(np.uint32).view(np.float32)
    return np.concatenate([steps, halves, -halves]).astype("f4")


def rows_to_round():
    rng = np.random.default_rng(2)
    sizes_ = np.float32(10) ** np.arange(-36, 38, dtype="f4")[:, None]
    limits = np.finfo(np.float32)
    every_size = rng.standard_normal((len(sizes_), 32)).astype("f4") * sizes_
    powers = np.float32(2) ** rng.integers(-120, 120, (20, 32)).astype("f4")
    edges = np.zeros((5, 32), np.float32)
    edges[0, 3], edges[1, 5], edges[2, :2] = limits.max, -limits.tiny, [2 - 2.0**-23, -2 + 2.0**-23]
    edges[3] = -0.0
    rows = np.concatenate([every_size, powers, edges, ties()])
    rows[np.abs(rows) < limits.tiny] = 0  # no denormals: processors differ in them
    return rows


@each_precision
@each_of([*TWO, Lanes(1, fused=False)])
def test_compiled_code_rounds_as_numpy(lanes, precision):
    rows = rows_to_round()
    if precision == "bfloat16":  # beyond the largest bfloat16 lies infinity, in both
        rows[np.abs(rows) > 3.3e38] = 3.3e38
    many, count = rows.shape
    kind = PRECISIONS[precision]
    codes, scales = np.full(rows.size + 7, 9, kind), np.zeros(many + 1, np.float32)
    source = np.append(np.full(3, 1e30, np.float32), rows)
    rounded(lanes, source, 3, count, codes, 5, scales)
    wanted, steps = encoded(rows, precision)
    assert wanted.dtype == kind
    found = codes[5:-2].reshape(rows.shape)
    unsigned = f"u{found.itemsize}"  # bits, so that the two zeros differ
    assert np.array_equal(found.view(unsigned), wanted.view(unsigned))
    assert np.all(codes[:5] == 9) and np.all(codes[-2:] == 9)
    if precision == "int8":
        assert np.array_equal(scales[1:], steps) and scales[0] == 0


@each_precision
@each_of(TWO)
def test_gates_are_rounded_in_their_own_steps(lanes, precision):
    x = np.concatenate([spread(-1, 1, 1000), [0, 0.5], (np.arange(-10, 10) + 0.5) * 2.0**-15])
    x = x.astype("f4")[: x.size // 16 * 16]
    codes = np.zeros(x.size, PRECISIONS[precision])
    rounded_gates(lanes, lanes.width, x, codes)
    wanted = encoded(x, precision)[0]
    if precision == "int8":
        wanted = np.rint(x / GATE_SCALE).clip(-32767, 32767)
    assert np.array_equal(codes, wanted)


normal = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
alike = st.floats(-2, 2, width=32, allow_subnormal=False)
rows_of = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=st.one_of(normal, alike)
)


@each_precision
@given(rows=rows_of)
def test_what_was_rounded_stays_as_it_is(precision, rows):
    """A session may be taken and given back after any sample: the rings come back the same."""
    if precision == "bfloat16":
        rows = rows.clip(-3.3e38, 3.3e38)
    codes, scales = encoded(rows, precision)
    again = decoded(codes, scales, precision)
    assert again.dtype == np.float32 and np.all(np.isfinite(again))
    codes_again, scales_again = encoded(again, precision)
    assert np.array_equal(codes, codes_again)
    assert np.array_equal(scales, scales_again)
    assert np.array_equal(again, decoded(codes_again, scales_again, precision))


@given(rows=rows_of)
def test_int16_is_near(rows):
    again = decoded(*encoded(rows, "int8"), "int8").astype(float)
    size = np.maximum(np.abs(rows).max(axis=-1, keepdims=True), 1e-30)
    assert np.all(np.abs(again - rows) <= size * 2.0**-15 * (1 + 1e-6))


# -- packing ---------------------------------------------------------------------------------------


def slow_bfloat16(value):
    """Returns the bits of the nearest bfloat16, the even one of two that are as near."""
    low = int(np.float32(value).view(np.uint32)) >> 16

    def stands_for(bits):
        return float(np.uint32(bits << 16).view(np.float32))

    near = [abs(float(value) - stands_for(bits)) for bits in (low, low + 1)]
    if near[0] == near[1]:
        return low + low % 2
    return low + int(near[1] < near[0])


def test_bfloat16_is_the_nearest_ties_to_even():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 0x7F000000, 3000).astype(np.uint32)
    bits[:1000] = bits[:1000] & 0xFFFF0000 | 0x8000  # ties, and just beside them
    bits[1000:1500] = bits[:500] + 1
    bits[1500:2000] = bits[:500] - 1
    values = bits.view(np.float32) * rng.choice([-1, 1], bits.size).astype("f4")
    values = np.append(values, [0.0, -0.0, 1.0, -1.0]).astype("f4")
    found = bfloat16(values)
    assert found.dtype == np.uint16
    assert found.tolist() == [slow_bfloat16(value) for value in values]


def untiled(flat, rows, outputs, width):
    """Returns the matrix of flat tiles, (rows, outputs)."""
    columns, at = [], 0
    while outputs:
        vectors = next(n for n in (8, 4, 2, 1) if n * width <= outputs)
        size = vectors * width
        columns.append(flat[at : at + rows * size].reshape(rows, size))
        at, outputs = at + rows * size, outputs - size
    assert at == flat.size
    return np.concatenate(columns, axis=1)


@pytest.mark.parametrize("width", [1, 4, 16])
@pytest.mark.parametrize("vectors", [1, 3, 8, 15, 26])
def test_tiles_hold_the_matrix(width, vectors):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, vectors * width)).astype("f4")
    packs = {precision: Packer(width, precision) for precision in PRECISIONS}
    for pack in packs.values():
        pack.matrix(values)
    flat = {precision: np.concatenate(pack.matrices) for precision, pack in packs.items()}
    found = untiled(flat["float32"], 6, values.shape[1], width)
    assert np.array_equal(found, values)
    # Two inputs in one: the earlier one in the lower half.
    found = untiled(flat["bfloat16"], 3, values.shape[1], width)
    assert np.array_equal(found & 0xFFFF, bfloat16(values[0::2]))
    assert np.array_equal(found >> 16, bfloat16(values[1::2]))
    found = untiled(flat["int8"], 3, values.shape[1], width)
    pairs = np.stack([found & 0xFF, found >> 8], axis=1).astype(np.uint8).view(np.int8)
    again = pairs.reshape(values.shape) * packs["int8"].scales[0].astype(float)
    steps = np.abs(values).max(axis=0) / 127
    assert np.all(np.abs(again - values) <= steps * 0.5001)
    assert np.array_equal(np.abs(pairs.reshape(values.shape)).max(axis=0), [127] * len(steps))


def test_an_output_of_zeros_stays_zero():
    values = np.zeros((4, 8), np.float32)
    values[:, 0] = [1, -2, 3, -4]
    product = Product(Lanes(8, fused=HERE.fused), "int8", values)
    found = product(*product.codes(np.ones((1, 4), np.float32)), np.arange(8), 0)
    assert np.array_equal(found[0, 1:], np.arange(1, 8))
    assert abs(found[0, 0] - -2) < 0.1


def test_int8_has_scales_of_its_own_for_every_chunk():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2 * CHUNK + 10, 32)).astype("f4")
    values[CHUNK : 2 * CHUNK] *= 100  # would leave no step to the others
    pack = Packer(16, "int8")
    pack.matrix(values)
    assert [scale.shape for scale in pack.scales] == [(32,)] * 3
    assert [matrix.size for matrix in pack.matrices] == [256 * 32, 256 * 32, 5 * 32]
    for k, scale in enumerate(pack.scales):
        part = values[k * CHUNK : (k + 1) * CHUNK]
        np.testing.assert_allclose(scale, np.abs(part).max(axis=0) / 127, rtol=1e-6)


def test_padding_and_alignment():
    found = padded(np.ones((2, 3, 5)), 4, 8)
    assert found.shape == (2, 4, 8) and found.dtype == np.float32
    assert np.all(found[:, :3, :5] == 1) and found.sum() == 30
    array = np.arange(10, dtype=np.uint16).reshape(2, 5)
    copy = aligned(array)
    assert copy.ctypes.data % 4096 == 0 and np.array_equal(copy, np.arange(10))
    assert copy.dtype == np.uint16 and not np.shares_memory(copy, array)
    assert copy.base.nbytes - copy.nbytes >= 4096  # a prefetch beyond the end stays inside


ODD = dict(residual_channels=10, gate_channels=9, skip_channels=21, post_channels=7, levels=33)
ODD |= dict(mixtures=5, predictor_order=5, predictor_hop=7)


@pytest.mark.parametrize("width", [1, 8, 16])
def test_widths_are_whole_vectors(width):
    config = make_config("wavenet", channels=2, head="softmax", kernel_size=3, **ODD)
    shape = shape_of(config, width, "int8")
    unit = max(width, 2)
    wanted = {"residual": 10, "gate": 9, "skip": 21, "post": 7, "bins": 33, "lags": 7}
    for name, own in wanted.items():
        size = getattr(shape, name)
        assert size % unit == 0 and own <= size < own + unit
    assert (shape.layers, shape.taps, shape.channels, shape.levels) == (6, 3, 2, 33)
    assert (shape.mixtures, shape.inputs, shape.order, shape.hop) == (0, 10, 5, 7)
    assert (shape.outputs, shape.pair, shape.chunk) == (shape.bins + unit, 2, CHUNK)
    plain = shape_of(replace(config, predictor_order=0), width, "float32")
    assert (plain.outputs, plain.order, plain.lags, plain.hop) == (plain.bins, 0, 0, 0)
    assert (plain.inputs, plain.pair) == (2, 1) and plain.chunk > 10**6
    logistic = shape_of(replace(config, head="logistic"), width, "float32")
    assert (logistic.levels, logistic.mixtures) == (0, 5)
    assert logistic.bins % unit == 0 and 5 <= logistic.bins < 5 + unit
    assert logistic.outputs == 3 * logistic.bins


@cache
def odd_model(**fields):
    """Returns a model none of whose widths is whole vectors."""
    return make_model("wavenet", **ODD | fields)


def packed_model(width=16, **fields):
    """Returns a model's variables by name, its codec, its `Shape` and its packed weights."""
    from wavegen.models import named_weights

    model = odd_model(**fields)
    named = {k.removeprefix("weights/"): np.asarray(v) for k, v in named_weights(model).items()}
    codec, config = codec_of(model.config), model.config
    shape = shape_of(config, width, "float32")
    return named, codec, shape, packed(config, shape, named, codec.values, codec.edges, "float32")


HEADS = [
    dict(),
    dict(channels=2),
    dict(predictor_order=0, channels=2),
    dict(head="softmax"),
    dict(head="softmax", channels=2),
    dict(head="softmax", predictor_order=0),
]


@pytest.mark.parametrize("fields", HEADS, ids=str)
def test_variables_are_the_models(fields):
    named, _, _, _ = packed_model(**fields)
    shapes = weight_shapes(odd_model(**fields).config)
    assert {name: array.shape for name, array in named.items()} == shapes


@pytest.mark.parametrize("fields", HEADS, ids=str)
def test_packed_weights(fields):
    named, _, shape, found = packed_model(**fields)
    scalars = found.scalars.reshape(shape.inputs, 16)
    assert np.array_equal(scalars[:, :10], named["scalars/kernel"]) and np.all(scalars[:, 10:] == 0)
    assert np.array_equal(found.first, np.append(named["scalars/bias"], np.zeros(6)).astype("f4"))

    # The first tap of the first block: tanh and sigmoid apart, each a whole vector.
    first = untiled(found.matrix[: 16 * 32], 16, 32, 16)
    kernel = named["block_0/dilated/kernel"].reshape(2, 10, 18)[0]
    assert np.array_equal(first[:10, :9], kernel[:, :9])
    assert np.array_equal(first[:10, 16:25], kernel[:, 9:])
    assert np.count_nonzero(first) == np.count_nonzero(kernel)

    # The last output: what is none cannot be drawn, and what follows stands apart.
    last, outputs = shape.channels - 1, shape.outputs
    bias, size = found.bias[-outputs:], shape.levels or shape.mixtures
    matrix = untiled(found.matrix[-16 * outputs :], 16, outputs, 16)
    kernel, own = named[f"output_{last}/kernel"], named[f"output_{last}/bias"]
    places = [np.arange(size), shape.bins + np.arange(2)]
    if shape.mixtures:
        places = [part * shape.bins + np.arange(size) for part in range(3)]
    if outputs == shape.bins:
        places = places[:1]
    places = np.concatenate(places)
    assert np.array_equal(bias[places], own[: len(places)])
    assert np.array_equal(matrix[:7, places], kernel[:, : len(places)])
    assert np.all(bias[size : shape.bins] == NONE)
    assert np.count_nonzero(bias[shape.bins :]) == np.count_nonzero(own[size : len(places)])
    assert np.count_nonzero(matrix) == np.count_nonzero(kernel[:, : len(places)])

    if shape.channels > 1:
        given_ = found.given.reshape(-1, 16)
        assert np.all(given_[:, 7:] == 0)
        rows = named.get("given_left/embeddings")
        if rows is None:
            rows = np.append(named["given_left/kernel"], named["given_left/bias"][None], axis=0)
        assert np.array_equal(given_[:, :7], rows)


def test_a_softmax_has_tables():
    named, codec, _, found = packed_model(head="softmax", channels=2)
    embedding = found.embedding.reshape(2, 33, 16)
    assert np.all(embedding[..., 10:] == 0)
    for c in (0, 1):
        assert np.array_equal(embedding[c, :, :10], named[f"embedding_{c}/embeddings"])
    assert np.array_equal(found.values, codec.values)
    edges, spans = found.edges, found.spans
    assert np.array_equal(edges[:32], codec.edges) and np.all(edges[32:] > 1e9)
    np.testing.assert_allclose(spans[1:32], np.diff(codec.edges), rtol=1e-5)
    assert spans[0] > 1e9 and np.all(spans[32:] > 1e9)  # the outermost levels have no end
    _, _, _, other = packed_model()
    assert max(array.size for array in other) < 65536  # of 16 bits there are none


def test_packed_predictor():
    from wavegen.models.linear_prediction import autocorrelation, window_shifts, window_weights

    named, _, shape, found = packed_model()
    assert np.array_equal(found.whitening, named["predictor/whitening"][::-1])
    assert np.array_equal(found.limits[:3], named["predictor/bounds"])
    assert np.array_equal(found.limits[3:5], np.array([0.97, 1 - 0.97], "f4"))
    memory = 0.01 * 8000
    assert found.window.shape == (3 * 7,) and found.fading.shape == (3 * shape.lags,)
    window = hop_window(7, memory).astype("f4")
    assert np.array_equal(window, window_weights(7, memory)[:, ::-1])
    kept, once, squared, twice = window_aging(7, memory).astype("f4")
    wanted = [[kept, 0, 0], [once, kept, 0], [squared, twice, kept]]
    assert np.array_equal(wanted, window_shifts(2, 7, memory)[1])
    sums = np.random.default_rng(0).standard_normal((3, 6)).astype("f4")
    decay, lag, noise = lag_fading(5, 8, memory)[:, ::-1]
    second, third = padded(sums[1:], 8)
    found = decay * (third + lag * second) + noise
    np.testing.assert_allclose(found[:6], autocorrelation(sums, memory), rtol=1e-6)
    assert np.all(found[6:] == 0)


# -- what a stream remembers -----------------------------------------------------------------------


def random_state(config, batch, seed=0):
    """Returns a model state of nothing but different numbers."""
    rng = np.random.default_rng(seed)

    def some(*size):
        return rng.standard_normal(size).astype("f4")

    past = [(config.kernel_size - 1) * dilation for dilation in config.dilations]
    blocks = tuple(some(batch, time, config.residual_channels) for time in past)
    order, hop, channels = config.predictor_order, config.predictor_hop, config.channels
    if not order:
        return blocks, ()
    moment = [some(batch, time, channels) for time in (WHITENING, 1, 4 if channels > 1 else 1)]
    following = some(batch, order + hop, channels), some(batch, channels, 3, order + 1)
    phases = rng.integers(0, hop, (batch, 1)).astype(np.int32)
    return blocks, (*moment, (*following, some(batch, channels, order), phases))


def leaves(nest):
    if isinstance(nest, tuple):
        return [leaf for part in nest for leaf in leaves(part)]
    return [np.asarray(nest)]


def assert_same(found, wanted):
    found, wanted = leaves(found), leaves(wanted)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)


STATES = [
    dict(predictor_order=5, channels=2),
    dict(predictor_order=16),
    dict(predictor_order=17, predictor_hop=1, kernel_size=3),
    dict(predictor_order=0, channels=2, kernel_size=4),
]


@pytest.mark.parametrize("fields", STATES, ids=str)
@pytest.mark.parametrize("width", [1, 16])
def test_a_state_comes_out_as_it_went_in(fields, width):
    config = make_config("wavenet", **ODD | fields)
    for precision in PRECISIONS:
        shape = shape_of(config, width, precision)
        state = random_state(config, 3)
        own = rings(shape, precision, state)
        once = unrolled(shape, precision, own, config)
        if precision == "float32":
            assert_same(once, state)
        assert_same(unrolled(shape, precision, rings(shape, precision, once), config), once)
        assert_same(once[1:], state[1:])  # the predictor's is float32 always
        for a in leaves(once):  # a value of its own: what turns on is not it
            assert not any(np.shares_memory(a, b) for b in own)


@pytest.mark.parametrize("fields", STATES, ids=str)
@pytest.mark.parametrize("width", [1, 16])
def test_turned_rings_come_out_oldest_first(fields, width):
    config = make_config("wavenet", **ODD | fields)
    shape, streams_ = shape_of(config, width, "float32"), 3
    blocks, moment = random_state(config, streams_)
    rng = np.random.default_rng(1)
    places, parts = [], []
    for block in blocks:
        past = block.shape[1]
        place = int(rng.integers(past))
        ring = np.full((past, streams_, shape.residual), 99, np.float32)
        for i in range(past):  # the oldest stands where the next one will be written
            for s in range(streams_):
                ring[(place + i) % past, s, : config.residual_channels] = block[s, i]
        places.append(place)
        parts.append(ring.ravel())
    assert max(places) > 0
    own = rings(shape, "float32", (blocks, moment))
    place = WHITENING - 2 if shape.order else 0
    past = own.past.copy()
    if shape.order:
        twice = past.reshape(streams_, shape.channels, 2 * WHITENING)
        for i in range(WHITENING):
            at = (place + i) % WHITENING
            twice[..., at] = twice[..., at + WHITENING] = moment[0][:, i]
    own = own._replace(ring=np.concatenate(parts), places=np.array([*places, place]), past=past)
    assert isinstance(own, State)
    assert_same(unrolled(shape, "float32", own, config), (blocks, moment))


# -- the predictor ---------------------------------------------------------------------------------


@njit(cache=True, error_model="numpy")
def following(lanes, shape, weights, state, room, x, out):
    for n in range(x.size):
        hear(lanes, shape, weights, state, room, 0, 0, x[n], False)
        out[n] = followed(lanes, shape, state, 0, 0, state.taps, 0)
        phase = state.phases[0] + 1
        state.phases[0] = phase if phase < shape.hop else 0


def predicted(x, order, hop, memory):
    """Returns the prediction of the sample after each of x, by the definition, in float64."""
    taps, means = np.zeros(order), []
    for end in range(1, len(x) + 1):
        if end % hop == 0:
            ago = np.arange(end)[::-1]
            seen = x[:end] * (ago + 1) * np.exp(-ago / memory)
            seen = np.append(seen, np.zeros(order))
            r = np.array([seen[:end] @ seen[lag : end + lag] for lag in range(order + 1)])
            r[0] = r[0] * (1 + RIDGE) + HUSH**2 * memory**3 / 4
            taps = solve_toeplitz(r[:-1], r[1:])
        recent = np.append(np.zeros(order), x[:end])[: -order - 1 : -1]
        means.append(recent @ taps)
    return np.array(means)


@pytest.mark.slow
@each_of(ALL)
@pytest.mark.parametrize(("order", "hop"), [(24, 16), (5, 7), (1, 1), (40, 3)])
def test_the_predictor_follows_the_sound(lanes, order, hop):
    fields = dict(predictor_order=order, predictor_hop=hop, channels=2)
    _, _, shape, weights = packed_model(lanes.width, **fields)
    model, rng = odd_model(**fields), np.random.default_rng(0)
    time = np.arange(200)
    x = np.sin(time / 3) + 0.5 * np.sin(time / 1.7 + 1) + 0.1 * rng.standard_normal(200)
    state = rings(shape, "float32", made("float32", **fields).silence(1))
    room, found = scratch(shape, "float32", 1), np.zeros(200, np.float32)
    following(lanes, shape, weights, state, room, x.astype("f4"), found)
    memory = model.config.predictor_memory * model.config.sample_rate
    wanted = predicted(x.astype("f4").astype(float), order, hop, memory)
    assert np.abs(found - wanted).max() < 1e-4
    error = np.abs(wanted[100:-1] - x[101:])
    assert order < 5 or error.mean() < 0.5 * np.abs(x).mean()  # it does predict


def test_silence_is_predicted_too():
    """And what comes after it, though sums have faded to the least of numbers."""
    maker = made("float32")
    frames = np.full((1, 4000, 1), 32768, np.int32)
    frames[:, :50] += np.random.default_rng(0).integers(-3000, 3000, (1, 50, 1), np.int32)
    session = maker.prime(frames)
    assert all(np.all(np.isfinite(array)) for array in leaves(session))
    again, _ = maker.distributions(frames[:, 50:350], session)
    fresh, _ = maker.distributions(frames[:, 50:350], (session[0], maker.silence(1)))
    past = maker.config.receptive_field  # the network's own silence is another one than a model's
    np.testing.assert_allclose(again[:, past:], fresh[:, past:], rtol=1e-4, atol=1e-4)


# -- the draw from a softmax -----------------------------------------------------------------------

LAST = np.float32(1 - 2.0**-24)  # the largest uniform


@njit(cache=True, error_model="numpy")
def picked(lanes, shape, room, rows, uniforms, temperatures, top_ps, levels):
    at = rows.shape[1]
    for n in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            room.out[at + i] = rows[n, i]
        levels[n] = pick(lanes, shape, room, 1, uniforms[n], temperatures[n], top_ps[n])


@njit(cache=True, error_model="numpy")
def nuclei(lanes, shape, room, rows, temperature, top_p, kept):
    for n in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            room.out[i] = rows[n, i]
        shares(lanes, shape, room, 0, peak(lanes, shape, room, 0), np.float32(1) / temperature)
        floor = nucleus(lanes, shape, room, top_p)
        for i in range(kept.shape[1]):
            kept[n, i] = room.row[i] >= floor


def head_of(lanes, logits):
    """Returns (shape, room, rows): logits as `pick` finds them, of the second of two streams."""
    config = make_config("wavenet", head="softmax", levels=logits.shape[1])
    shape = shape_of(config, lanes.width, "float32")
    room = scratch(shape, "float32", 2)
    room.out[:] = 1e6  # another stream's
    rows = np.full((len(logits), shape.outputs), NONE, np.float32)
    rows[:, : shape.levels] = logits
    rows[:, shape.bins :] = 1e6  # the predictor's outputs, no levels
    return shape, room, rows


def drawn(lanes, logits, uniforms, temperature=1.0, top_p=1.0):
    """Returns the level of each row of logits at each uniform, int64 (rows, uniforms)."""
    shape, room, rows = head_of(lanes, logits)
    rows = np.repeat(rows, len(uniforms), axis=0)
    uniforms = np.tile(np.asarray(uniforms, np.float32), len(logits))
    temperatures, top_ps = (np.full(len(rows), value, np.float32) for value in (temperature, top_p))
    levels = np.zeros(len(rows), np.int64)
    picked(lanes, shape, room, rows, uniforms, temperatures, top_ps, levels)
    return levels.reshape(len(logits), -1)


def some_logits(rows, levels, size=2.0, seed=0):
    return (size * np.random.default_rng(seed).standard_normal((rows, levels))).astype("f4")


def assert_inverse_cdf(levels, logits, uniforms, temperature):
    """Checks that each uniform lies in the share of its level, all but rounding."""
    shares_ = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(float) / temperature)
    above = np.cumsum(shares_, axis=-1) / shares_.sum(axis=-1, keepdims=True)
    below = np.concatenate([np.zeros_like(above[..., :1]), above[..., :-1]], axis=-1)
    above, below = (np.take_along_axis(a, levels[..., None], -1)[..., 0] for a in (above, below))
    assert np.all(below - 1e-6 < uniforms) and np.all(uniforms < above + 1e-6)


BOTH = [HERE, Lanes(1, fused=False)]
UNIFORMS = np.concatenate([(np.arange(500) + 0.5) / 500, [0, 2.0**-24, LAST]]).astype("f4")


@pytest.mark.slow
@each_of(BOTH)
@pytest.mark.parametrize("levels", [4, 30, 33, 256])
def test_a_level_is_where_the_cdf_reaches_the_uniform(lanes, levels):
    logits = some_logits(20, levels)
    for temperature in (0.3, 1.0, 2.5):
        found = drawn(lanes, logits, UNIFORMS, temperature)
        assert_inverse_cdf(found, np.repeat(logits[:, None], 503, 1), UNIFORMS, temperature)
        assert np.all(np.diff(found[:, :500], axis=1) >= 0)
        assert found.min() == 0 and found.max() == levels - 1


@pytest.mark.slow
@each_of(BOTH)
def test_at_temperature_zero_the_likeliest_is_drawn(lanes):
    logits = some_logits(200, 33)
    logits[100:] = np.round(logits[100:])  # several likeliest: the first of them
    found = drawn(lanes, logits, [0, 0.5, LAST], 0.0)
    assert np.array_equal(found, np.repeat(logits.argmax(axis=1)[:, None], 3, 1))
    found = drawn(lanes, logits[:100], [0, 0.5, LAST], 1e-8)  # and nearly so just above it
    assert np.array_equal(found, np.repeat(logits[:100].argmax(axis=1)[:, None], 3, 1))


@pytest.mark.slow
@each_of(BOTH)
@pytest.mark.parametrize("top_p", [1e-6, 0.1, 0.5, 0.9, 0.99])
def test_the_nucleus_is_the_models(lanes, top_p):
    from wavegen.models.heads import draw_level

    logits = some_logits(16, 33, size=1.0)
    logits[8:] = np.round(2 * logits[8:]) / 2  # of levels that are as likely all stay, or none
    logits[15] = 0.0
    uniforms = ((np.arange(4096) + 0.5) / 4096).astype("f4")  # finds the least likely level
    temperature = 0.8
    wanted = np.asarray(
        draw_level(
            np.repeat(logits[:, None], len(uniforms), 1),
            np.repeat(uniforms[None], len(logits), 0),
            np.float32(temperature),
            np.float32(top_p),
        )
    )
    found = drawn(lanes, logits, uniforms, temperature, top_p)
    shape, room, rows = head_of(lanes, logits)
    kept = np.zeros((len(logits), shape.bins), np.bool_)
    nuclei(lanes, shape, room, rows, np.float32(temperature), np.float32(top_p), kept)
    for n in range(len(logits)):
        assert np.array_equal(np.flatnonzero(kept[n]), np.unique(wanted[n]))
        assert np.array_equal(np.unique(found[n]), np.unique(wanted[n]))
    assert (found != wanted).mean() < 1e-3  # a uniform that rounding puts on the other side


@each_of(BOTH)
@pytest.mark.slow
@pytest.mark.parametrize("top_p", [1.0, 1 - 2.0**-24, 0.9])
def test_what_cannot_be_is_never_drawn(lanes, top_p):
    """Not at the ends of the uniforms, and not the levels that fill up the last vector."""
    logits = np.full((4, 33), -500, np.float32)
    possible = [[20, 21, 25], [0, 32], [17], [5, 31]]
    for row, levels in zip(logits, possible, strict=True):
        row[levels] = 1.0
    found = drawn(lanes, logits, UNIFORMS, 1.0, top_p)
    for row, levels in zip(found, possible, strict=True):
        assert np.unique(row).tolist() == levels
        assert row[500] == levels[0] and row[502] == levels[-1]  # at 0 and just below 1


# -- the mixture -----------------------------------------------------------------------------------


@njit(cache=True, error_model="numpy")
def mixed(lanes, shape, room, rows, mean, scale, uniforms, temperature, top_p, drawn, parts):
    """Draws a level for every uniform of every row; writes what each row's mixture is made of."""
    at = shape.outputs
    for n in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            room.out[at + i] = rows[n, i]
        components(lanes, shape, room, 1, mean[n], scale[n])
        describe(shape, room, 1, mean[n], scale[n], parts[n])
        for u in range(uniforms.size):
            drawn[n, u] = invert(lanes, shape, room, 1, uniforms[u], temperature, top_p)


@njit(cache=True, error_model="numpy")
def judged(lanes, shape, room, row, mean, scale, levels, nats):
    for i in range(row.size):
        room.out[shape.outputs + i] = row[i]
    components(lanes, shape, room, 1, mean, scale)
    for n in range(levels.size):
        nats[n] = nats_of(shape, room, 1, levels[n])


class Mixtures:
    """Last layers' outputs, of the second of two streams, and what the model makes of them."""

    def __init__(self, lanes, count, rows=12):
        from wavegen.models import heads

        rng = np.random.default_rng(count)
        self.lanes, self.count = lanes, count
        self.out = rng.standard_normal((rows, 3 * count)).astype("f4") * 1.5
        self.out[:2, 2 * count :] *= 10  # beyond the bounds of widenings
        self.mean = rng.uniform(-0.5, 0.5, rows).astype("f4")
        self.scale = np.exp(rng.uniform(np.log(3e-5), np.log(0.1), rows)).astype("f4")
        self.scale[-1] = 1e-8  # less than there is
        self.mean[2:4] = 1.02, -1.02  # most of it beyond the ends
        self.shape = shape_of(make_config("wavenet", mixtures=count), lanes.width, "float32")
        bins = self.shape.bins
        self.rows = np.full((rows, 3, bins), 0, np.float32)
        self.rows[:, 0] = NONE
        self.rows[..., :count] = self.out.reshape(rows, 3, count)
        self.rows = self.rows.reshape(rows, 3 * bins)
        self.parts = heads.mixture(self.out, self.mean[:, None], self.scale[:, None])

    def room(self):
        room = scratch(self.shape, "float32", 2)
        room.out[:] = 1e6  # another stream's
        return room

    def __call__(self, uniforms, temperature=1.0, top_p=1.0):
        """Returns levels (rows, uniforms) and descriptions (rows, 3 * count)."""
        rows, uniforms = len(self.rows), np.asarray(uniforms, np.float32)
        drawn = np.zeros((rows, uniforms.size), np.int64)
        parts = np.zeros((rows, 3 * self.count), np.float32)
        mixed(
            self.lanes, self.shape, self.room(), self.rows, self.mean, self.scale, uniforms,
            np.float32(temperature), np.float32(top_p), drawn, parts,
        )  # fmt: skip
        return drawn, parts

    def nats(self, row, levels):
        found = np.zeros(len(levels), np.float32)
        judged(
            self.lanes, self.shape, self.room(), self.rows[row], self.mean[row], self.scale[row],
            np.asarray(levels), found,
        )  # fmt: skip
        return found


COUNTS = [pytest.param(1, marks=SLOW), 3, pytest.param(8, marks=SLOW), 20]


@pytest.mark.slow
@each_of(BOTH)
@pytest.mark.parametrize("count", COUNTS)
def test_components_are_the_models(lanes, count):
    mixtures = Mixtures(lanes, count)
    _, found = mixtures([0.5])
    weights, means, scales = (np.asarray(part) for part in mixtures.parts)
    own = np.maximum(mixtures.scale, 1e-6)[:, None]
    np.testing.assert_allclose(found[:, :count], weights, rtol=1e-5, atol=1e-5)
    shifts = (means - mixtures.mean[:, None]) / own
    rounding = 2e-7 * np.abs(mixtures.mean[:, None]) / own  # of a mean that is far from zero
    assert np.all(np.abs(found[:, count : 2 * count] - shifts) < 1e-5 + rounding)
    np.testing.assert_allclose(found[:, 2 * count :], np.log(scales / own), rtol=1e-5, atol=2e-6)


@pytest.mark.slow
@each_of(BOTH)
@pytest.mark.parametrize("count", COUNTS)
def test_draws_are_the_models(lanes, count):
    from wavegen.models.heads import draw_mixture

    mixtures = Mixtures(lanes, count)
    parts = [np.repeat(np.asarray(part)[:, None], len(UNIFORMS), 1) for part in mixtures.parts]
    spread_ = np.asarray(mixtures.parts[2]).max(axis=-1, keepdims=True) * 2.0**15
    for temperature, top_p in [(1.0, 1.0), (0.7, 1.0), (1.3, 0.8), (0.2, 0.5), (0.0, 1.0)]:
        uniforms_ = np.repeat(UNIFORMS[None], len(mixtures.rows), 0)
        controls = np.float32(temperature), np.float32(top_p)
        wanted = np.asarray(draw_mixture(parts, uniforms_, *controls))
        found, _ = mixtures(UNIFORMS, temperature, top_p)
        # A uniform on the brink of two components, or of the tails, may be on the other side.
        away = np.abs(found - wanted) > 1 + 1e-3 * spread_
        assert away.mean() < 2e-3
        assert (found != wanted)[spread_[:, 0] < 100].mean() < 1e-2
        assert found.min() >= 0 and found.max() <= 65535


@pytest.mark.slow
@each_of(BOTH)
@pytest.mark.parametrize("count", COUNTS)
def test_levels_are_as_likely_as_the_model_says(lanes, count):
    from wavegen.models.heads import mixture_log_prob

    mixtures = Mixtures(lanes, count)
    rng = np.random.default_rng(0)
    for row, mean in enumerate(mixtures.mean):
        middle = np.clip(round(mean * 32768) + 32768, 0, 65535)
        near = np.clip(middle + rng.integers(-30, 31, 40), 0, 65535)
        levels = np.concatenate([near, rng.integers(0, 65536, 40), [0, 1, 65534, 65535]])
        parts = [np.repeat(np.asarray(part)[row][None], len(levels), 0) for part in mixtures.parts]
        wanted = np.asarray(mixture_log_prob(parts, levels.astype("i4")))
        found = mixtures.nats(row, levels)
        if mixtures.scale[row] > 1e-6:  # below, a rounded mean says which level it is
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-3)
        whole = np.exp(mixtures.nats(row, np.arange(65536)).astype(float)).sum()
        assert abs(whole - 1) < 1e-4


@each_of(BOTH)
def test_a_draw_inverts_the_cdf(lanes):
    """Each component's share of the uniforms falls into it, and there as its own CDF has it."""
    mixtures = Mixtures(lanes, 3)
    uniforms_ = (np.arange(20000) + 0.5) / 20000
    drawn_, _ = mixtures(uniforms_)
    for row in range(4, 11):
        shares_ = np.exp(mixtures.nats(row, np.arange(65536)).astype(float))
        above = np.cumsum(shares_)
        counted = np.cumsum(np.bincount(drawn_[row], minlength=65536)) / len(uniforms_)
        assert np.abs(counted - above).max() < 5e-4


# -- whole engines ---------------------------------------------------------------------------------


@cache
def made(precision, **fields):
    return engines.make(odd_model(**fields), "numba", precision)


def uniforms(engine_, rows, time, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((rows, time, engine_.config.channels)).astype("f4")


def heard(engine_, **fields):
    return engine_.prime(make_frames(odd_model(**fields), batch=3, time=40))


@each_kernel
def test_a_session_in_the_middle_changes_nothing(precision):
    """Neither for the voices that it is taken of, nor for those that go on from it."""
    maker = made(precision, channels=2)
    start, noise = heard(maker, channels=2), uniforms(maker, 3, 30)
    straight = maker.open(start)
    whole = np.concatenate([straight.draw(noise[:, :17]), straight.draw(noise[:, 17:])], axis=1)
    asked = maker.open(start)
    first = asked.draw(noise[:, :17])
    middle = asked.session()
    kept = [array.copy() for array in leaves(middle)]
    other = maker.open(middle)
    rest, again = asked.draw(noise[:, 17:]), other.draw(noise[:, 17:])
    assert np.array_equal(np.concatenate([first, rest], axis=1), whole)
    assert np.array_equal(again, rest)
    assert_same(asked.session(), straight.session())
    assert_same(other.session(), straight.session())
    for a, b in zip(leaves(middle), kept, strict=True):
        assert np.array_equal(a, b)
    assert len(np.unique(whole)) > 5  # it does play


@each_kernel
def test_drawing_changes_neither_the_session_nor_the_weights(precision):
    maker = made(precision, channels=2)
    start = heard(maker, channels=2)
    sessions, weights = [a.copy() for a in leaves(start)], [a.copy() for a in maker.weights]
    for array in leaves(start):
        array.flags.writeable = False  # as another engine's arrays may be
    noise = uniforms(maker, 3, 20)
    first, after = maker.draw(start, noise)
    second, _ = maker.draw(start, noise)
    assert np.array_equal(first, second)
    for a, b in zip([*leaves(start), *maker.weights], [*sessions, *weights], strict=True):
        assert np.array_equal(a, b)
    for a in leaves(after):
        assert not any(np.shares_memory(a, b) for b in leaves(start))


@each_kernel
@pytest.mark.parametrize("fields", [dict(channels=2), dict(predictor_order=0)], ids=str)
def test_frames_are_drawn_from_the_logits(precision, fields):
    """What is drawn with a uniform is what the logits of the same frames say."""
    fields = dict(head="softmax", **fields)
    maker = made(precision, **fields)
    start, noise = heard(maker, **fields), uniforms(maker, 3, 40)
    frames, after = maker.draw(start, noise, temperature=[0.5, 1.0, 1.5])
    logits, also = maker.distributions(frames, start)
    assert_same(also, after)
    for row, temperature in enumerate((0.5, 1.0, 1.5)):
        levels = frames[row].astype(np.int64)
        assert_inverse_cdf(levels, logits[row], noise[row], temperature)
    likeliest, _ = maker.draw(start, noise, temperature=0.0)
    logits, _ = maker.distributions(likeliest, start)
    assert np.array_equal(likeliest, logits.argmax(axis=-1))


@each_kernel
def test_frames_are_drawn_from_the_mixtures(precision):
    """Where a level is drawn from, it is likely: what is drawn is what is judged."""
    fields = dict(channels=2)
    maker = made(precision, **fields)
    noise = uniforms(maker, 1, 400)
    silent = np.full((1, 1, 2), 32768, np.int32)
    frames, after = maker.draw((silent, maker.silence(1)), noise)
    _, also = maker.distributions(np.concatenate([silent, frames], axis=1))
    assert_same(also, after)
    nats = maker.log_prob(np.concatenate([silent, frames], axis=1)[0])
    others = np.concatenate([silent, np.roll(frames, 7, axis=1)], axis=1)[0]
    assert nats.mean() > maker.log_prob(others).mean() + 0.1
    middles, _ = maker.draw((silent, maker.silence(1)), noise, temperature=0.0)
    again, _ = maker.draw((silent, maker.silence(1)), noise[:, ::-1], temperature=0.0)
    assert np.array_equal(middles, again)


@each_kernel
@pytest.mark.parametrize("head", ["softmax", "logistic"])
def test_log_prob_is_the_distributions_own_and_so_are_blocks(precision, head, monkeypatch):
    maker = made(precision, channels=2, head=head)
    frames = make_frames(odd_model(channels=2, head=head), batch=1, time=30)
    spellings, session = maker.distributions(frames)
    found = maker.log_prob(frames[0])
    if head == "softmax":
        top = spellings.max(axis=-1, keepdims=True).astype(float)
        nats = spellings - top - np.log(np.exp(spellings - top).sum(axis=-1, keepdims=True))
        wanted = np.take_along_axis(nats, np.asarray(frames)[:, 1:, :, None], -1)[0, ..., 0]
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(engine, "BLOCK", 7)  # blocks of any length give the same bits
    again, after = maker.distributions(frames)
    assert np.array_equal(again, spellings) and np.array_equal(maker.log_prob(frames[0]), found)
    assert_same(after, session)


def test_the_predictor_remembers_the_last_samples():
    maker = made("float32", channels=2)
    frames = np.asarray(make_frames(odd_model(channels=2), batch=3, time=40))
    last, (_, (samples, _, _, following)) = maker.prime(frames)
    assert np.array_equal(last, frames[:, -1:])
    heard_ = frames[:, -1 - WHITENING : -1]  # all but the last one, which is to be heard next
    assert np.array_equal(samples, codec_of(maker.config).values[heard_])
    assert following[3].tolist() == [[39 % maker.config.predictor_hop]] * 3


@pytest.mark.slow
def test_more_inputs_than_a_chunk():
    """Six gates of 100 are 672 inputs of the skip sum: two chunks of int8."""
    fields = dict(head="softmax", gate_channels=100, predictor_order=0)
    frames = make_frames(odd_model(**fields), batch=2, time=20)
    logits = {p: made(p, **fields).distributions(frames)[0] for p in ("float32", "int8")}
    assert made("int8", **fields).shape.gate * 6 > CHUNK
    spread_ = logits["float32"].std()
    assert np.abs(logits["int8"] - logits["float32"]).max() < 0.1 * spread_


@each_kernel
def test_the_kernel_is_compiled_once(precision):
    """Half a minute that nobody waits for twice: no batch, block or model has a type of its own."""
    made(precision, channels=2).warm_up()
    before = len(kernel.run.signatures)
    for fields in (*HEADS, dict(channels=1, kernel_size=3)):
        maker = made(precision, **fields)
        for batch in (1, 3, 9):
            frames = make_frames(odd_model(**fields), batch=batch, time=12)
            start = maker.prime(frames)
            voices = maker.open(maker.prime(frames[:, :1]))
            noise = uniforms(maker, batch, 5)
            few = noise[:, ::2].astype(float)  # float64, and not in one piece
            fixed = np.broadcast_to(noise[:1, :1], noise.shape)  # cannot be written to
            for other in (noise, few, noise[:, :0], fixed):
                voices.draw(other, temperature=np.ones(batch), top_p=0.9)
            maker.distributions(frames[:, ::2], start)
            maker.distributions(np.asfortranarray(frames).astype(np.int64))
            maker.log_prob(frames[0])
    assert len(kernel.run.signatures) == before


def test_noise_that_cannot_be_written_to_is_no_other_type():
    """As an array of JAX or TensorFlow looks to numpy."""
    maker = made("float32", channels=2)
    maker.warm_up()
    before = len(kernel.run.signatures)
    start, noise = heard(maker, channels=2), uniforms(maker, 3, 5)
    wanted, _ = maker.draw(start, noise)
    noise.flags.writeable = False
    found, _ = maker.draw(start, noise)
    assert np.array_equal(found, wanted)
    assert len(kernel.run.signatures) == before


def test_warming_up_compiles_what_a_model_needs():
    """For every model: the kernel is compiled for kinds of numbers, not for sizes."""
    warm_up("float32")
    before = len(kernel.run.signatures)
    model = make_model("wavenet", channels=2, kernel_size=3)
    drawer = engines.make(model, "numba", "float32")
    drawer.draw(drawer.prime(make_frames(model)), np.zeros((2, 5, 2), np.float32))
    assert len(kernel.run.signatures) == before


@each_of(ALL)
@given(seed=st.integers(0, 99), order=st.integers(1, 70), rows=st.integers(1, 3))
def test_predictors_are_those_of_least_error(lanes, seed, order, rows):
    rng = np.random.default_rng(seed)
    sound = np.cumsum(rng.standard_normal((rows, 300)), axis=-1)
    each = [np.correlate(row, row, "full")[299 : 300 + order] for row in sound]
    correlation = np.array(each) + 1e-4 * np.eye(1, order + 1) * np.array(each)[:, :1]
    found = predictors(lanes, correlation, 1e-4)
    wanted = [solve_toeplitz(row[:-1], row[1:]) for row in correlation]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


def test_a_predictor_of_a_pure_tone_leaves_what_the_ridge_says():
    tone = np.cos(0.3 * np.arange(65))[None]  # its own autocorrelation, of endless sound
    tone[:, 0] *= 1 + 1e-9
    found = predictors(HERE, tone, 1e-9)[0]
    left = tone[0, 0] - found @ tone[0, 1:]
    assert 0 < left < 1e-6 and np.abs(found).max() < 1.0
