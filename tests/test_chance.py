import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wavegen.chance import normals, uniforms


@given(
    st.integers(0, 2**64 - 1), st.integers(0, 50), st.integers(0, 10**9), st.integers(1, 60),
    st.integers(1, 7), st.data(),
)  # fmt: skip
def test_blocks_of_any_length_are_the_same_numbers(seed, variation, start, frames, width, data):
    whole = uniforms(seed, variation, start, frames, (width,))
    cut = data.draw(st.integers(0, frames))
    first = uniforms(seed, variation, start, cut, (width,))
    rest = uniforms(seed, variation, start + cut, frames - cut, (width,))
    assert np.array_equal(np.concatenate([first, rest]), whole)
    assert whole.dtype == np.float32 and whole.min() >= 0 and whole.max() < 1


def test_the_largest_seeds_are_seeds_too():
    """As a list of Python's numbers they would be rounded on their way into the generator."""
    drawn = [uniforms(2**64 - k, 1, 0, 4, (1,)) for k in (1, 2, 1024)]
    assert not np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


def test_shape_is_that_of_the_frames():
    assert uniforms(1, 2, 3, 5, (4, 2)).shape == (5, 4, 2)
    flat = uniforms(1, 2, 3, 5, (8,))
    assert np.array_equal(uniforms(1, 2, 3, 5, (4, 2)).reshape(5, 8), flat)


def test_numbers_are_uniform_and_differ_by_seed_and_variation():
    a = uniforms(7, 0, 0, 20000, (1,))[:, 0]
    assert stats.stats.kstest(a, "uniform").pvalue > 1e-3
    for other in (uniforms(8, 0, 0, 20000, (1,)), uniforms(7, 1, 0, 20000, (1,))):
        assert abs(np.corrcoef(a, other[:, 0])[0, 1]) < 0.03


def test_normals_are_normal_and_not_correlated():
    drawn = normals(uniforms(7, 0, 0, 20000, (1, 2)))[:, 0]
    assert drawn.dtype == np.float32
    assert (
        stats.kstest(drawn[:, 0], "norm").pvalue > 1e-3
        and stats.kstest(drawn[:, 1], "norm").pvalue > 1e-3
    )
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.02
    ends = normals(np.array([[0.0, 0.3], [1 - 2**-24, 0.0]], np.float32))
    assert np.isfinite(ends).all() and not ends[0].any()
