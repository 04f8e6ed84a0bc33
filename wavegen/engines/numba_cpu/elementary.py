"""Elementary functions of vectors: polynomials after a range reduction, no branch, no table."""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

from wavegen.engines.numba_cpu.compiling import inlined
from wavegen.engines.numba_cpu.lanes import ROUND
from wavegen.engines.numba_cpu.vector import exponent, fma, greater, scaled, smaller, splat

LOG2E, LN2_HIGH, LN2_LOW = 1.44269504, 0.693359375, -2.12194440e-4


@inlined
def reduce_exp(lanes, x):
    """Returns (n + ROUND, expm1(x - n ln 2)) with |x - n ln 2| <= ln 2 / 2 (Cephes, expf)."""
    shifted = fma(x, splat(lanes, LOG2E), splat(lanes, ROUND))
    n = shifted - splat(lanes, ROUND)
    r = fma(n, splat(lanes, -LN2_HIGH), x)
    r = fma(n, splat(lanes, -LN2_LOW), r)
    p = fma(splat(lanes, 1.9875691500e-4), r, splat(lanes, 1.3981999507e-3))
    p = fma(p, r, splat(lanes, 8.3334519073e-3))
    p = fma(p, r, splat(lanes, 4.1665795894e-2))
    p = fma(p, r, splat(lanes, 1.6666665459e-1))
    p = fma(p, r, splat(lanes, 5.0000001201e-1))
    return shifted, fma(p, r * r, r)


@inlined
def exp(lanes, x):
    """Returns e^x for -87 <= x <= 88, relative error 1e-7."""
    shifted, p = reduce_exp(lanes, x)
    return scaled(p + splat(lanes, 1.0), shifted)


@inlined
def expm1(lanes, x):
    """Returns e^x - 1 for -87 <= x <= 88, exact also where x is tiny."""
    shifted, p = reduce_exp(lanes, x)
    one = splat(lanes, 1.0)
    power = scaled(one, shifted)
    return fma(power, p, power - one)


@inlined
def log(lanes, x):
    """Returns the natural logarithm of positive normal numbers, relative error 1e-7 (Cephes)."""
    e = exponent(x)
    half = splat(lanes, 0.5)
    m = scaled(x, splat(lanes, ROUND) - e) - splat(lanes, 1.0)
    p = fma(splat(lanes, 7.0376836292e-2), m, splat(lanes, -1.1514610310e-1))
    p = fma(p, m, splat(lanes, 1.1676998740e-1))
    p = fma(p, m, splat(lanes, -1.2420140846e-1))
    p = fma(p, m, splat(lanes, 1.4249322787e-1))
    p = fma(p, m, splat(lanes, -1.6668057665e-1))
    p = fma(p, m, splat(lanes, 2.0000714765e-1))
    p = fma(p, m, splat(lanes, -2.4999993993e-1))
    p = fma(p, m, splat(lanes, 3.3333331174e-1))
    square = m * m
    y = p * (m * square)
    y = fma(e, splat(lanes, LN2_LOW), y)
    y = y - half * square
    return fma(e, splat(lanes, LN2_HIGH), m + y)


@inlined
def gate(lanes, a, b):
    """Returns tanh(a) * sigmoid(b), absolute error 3e-7."""
    one = splat(lanes, 1.0)
    u = smaller(greater(a, splat(lanes, -10.0)), splat(lanes, 10.0))
    v = smaller(greater(b, splat(lanes, -40.0)), splat(lanes, 40.0))
    u = exp(lanes, u * splat(lanes, -2.0))
    v = exp(lanes, v * splat(lanes, -1.0))
    return (one - u) / ((one + u) * (one + v))


@inlined
def sigmoid(lanes, x):
    """Returns 1 / (1 + e^-x)."""
    one = splat(lanes, 1.0)
    x = smaller(greater(x, splat(lanes, -40.0)), splat(lanes, 40.0))
    return one / (one + exp(lanes, x * splat(lanes, -1.0)))
