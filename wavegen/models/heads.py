"""Distributions over a sample's levels: a softmax, and a mixture of discretised logistics.

Both are exact: log-probabilities of levels, and draws by inverse CDF from a given uniform. The
mixture (Salimans et al. 2017, arXiv:1701.05517, section 2.1; for sound van den Oord et al. 2018,
arXiv:1711.10433, section 2) has 16 bits at the cost of a few outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

FLOOR = -17.0  # nats: a level further out than this costs no more, so that no click costs all
UNIFORM = 1e-7  # share of a uniform distribution in every mixture, for the same reason
LEAST_SCALE = 1e-6  # of a logistic, linear amplitude: a thirtieth of a 16-bit step
LEVELS = 65536  # of 16 bits
# Spread of a mixture's components before the first step (`mixture_bias`): what is missing in a
# sound that follows its bands is drawn as noise, what is too much is damped, so it begins narrow.
WIDE, NARROW = 1.2, 0.5
STEP = 2.0 / LEVELS  # from level to level


def logistic_log_prob(edges: Any, mean: Any, scale: Any) -> Any:
    """Returns log-probabilities of a logistic density discretised on quantiser levels.

    With z = (edge - mean) / scale, log(F(b) - F(a)) = log F(b) + log F(-a) + log(1 - exp(a - b)) is
    exact in both tails.

    Args:
        edges: float32 `(levels - 1,)`, strictly increasing thresholds between levels.
        mean: `(..., 1)`, linear amplitude.
        scale: `(..., 1)`, > 0, linear amplitude.

    Returns:
        `(..., levels)`, not below `FLOOR`.
    """
    edges = np.asarray(edges)
    z = (edges - mean) / scale  # (..., levels - 1)
    above = ops.log_sigmoid(z)  # log F(z)
    beyond = above - z  # log F(-z)
    width = np.diff(edges) / scale
    inner = above[..., 1:] + beyond[..., :-1] + ops.log(-ops.expm1(-width))
    log_prob = ops.concatenate([above[..., :1], inner, beyond[..., -1:]], axis=-1)
    return ops.maximum(log_prob, FLOOR)


def anchored_logits(out: Any, edges: Any, mean: Any, scale: Any) -> Any:
    """Returns logits `(..., levels)` that start from what the predictor knows.

    Args:
        out: `(..., levels + 2)` of the last layer: what is added to each level's log-probability,
            and by how much, in scales and as a logarithm, mean and scale are moved.
        edges: float32 `(levels - 1,)`.
        mean: of the predictor, `(..., 1)`, linear amplitude.
        scale: likewise.
    """
    levels = len(edges) + 1
    mean = mean + scale * out[..., levels : levels + 1]
    scale = scale * ops.exp(ops.clip(out[..., levels + 1 :], -4.0, 4.0))
    return out[..., :levels] + logistic_log_prob(edges, mean, scale)


def draw_level(logits: Any, uniform: Any, temperature: Any, top_p: Any) -> Any:
    """Returns int32 levels `(...)` from logits `(..., levels)` and uniforms `(...)`."""
    likeliest = ops.cast(ops.argmax(logits, axis=-1), "int32")
    probability = ops.softmax(logits / ops.maximum(temperature, 1e-6), axis=-1)
    if not (isinstance(top_p, float) and top_p >= 1.0):
        ranked = ops.flip(ops.sort(probability, axis=-1), axis=-1)
        before = ops.cumsum(ranked, axis=-1) - ranked  # share of the likelier levels
        kept = ops.where(before < top_p, ranked, 2.0)
        floor = ops.min(kept, axis=-1, keepdims=True)
        probability = ops.where(probability >= floor, probability, 0.0)
    cumulative = ops.cumsum(probability, axis=-1)
    below = cumulative <= uniform[..., None] * cumulative[..., -1:]
    # Rounding may leave the last cumulative sum at the uniform: stay on a level that can occur.
    last = ops.max(ops.where(probability > 0, ops.arange(logits.shape[-1]), 0), axis=-1)
    level = ops.minimum(ops.sum(ops.cast(below, "int32"), axis=-1), ops.cast(last, "int32"))
    return ops.where(temperature > 0, level, likeliest)


def amplitude(levels: Any, fine: int = 1) -> Any:
    """Returns the float32 amplitude of int32 levels, `fine` of them in a step of 16 bits."""
    return (ops.cast(levels, "float32") - LEVELS // 2 * fine) * (STEP / fine)


def mixture(out: Any, mean: Any, scale: Any) -> tuple[Any, Any, Any]:
    """Returns log-weights, means and scales `(..., components)` of a mixture of logistics.

    Args:
        out: `(..., 3 * components)` of the network: weights, shifts and widenings.
        mean: `(..., 1)`, the predictor's, linear amplitude.
        scale: `(..., 1)`, the predictor's: what shifts are counted in.
    """
    weight, shift, wider = ops.split(out, 3, axis=-1)
    scale = ops.maximum(scale, LEAST_SCALE)
    scales = scale * ops.exp(ops.clip(wider, -6.0, 6.0))
    return ops.log_softmax(weight), mean + scale * shift, ops.maximum(scales, LEAST_SCALE)


def shifted(out: Any, config: Any) -> Any:
    """Returns the network's outputs, of a mixture's shifts only `config.mixture_shift` as much."""
    if config.head == "softmax" or config.mixture_shift == 1.0:
        return out
    return out * np.repeat([1.0, config.mixture_shift, 1.0], config.mixtures).astype("float32")


def mixture_in_units(out: Any, mean: Any, scale: Any) -> Any:
    """Returns a `mixture` as `(..., 3 * components)`, means and scales in units of `scale`."""
    weights, means, scales = mixture(out, mean, scale)
    own = ops.maximum(scale, LEAST_SCALE)
    return ops.concatenate([weights, (means - mean) / own, ops.log(scales / own)], axis=-1)


def mixture_bias(components: int, spread: float) -> np.ndarray:
    """Returns float32 `(3 * components,)`: narrow and wide components, so that they can part.

    Args:
        components: of the mixture.
        spread: natural logarithm of the widest's and of the narrowest's scale, to either side of 0.
    """
    wider = np.linspace(-spread, spread, components) if components > 1 else np.zeros(1)
    shift = 0.3 * np.cos(2.4 * np.arange(components)) * np.exp(wider)
    return np.concatenate([np.zeros(components), shift, wider]).astype("float32")


def first_bias(config: Any) -> np.ndarray:
    """Returns the `mixture_bias` that a WaveNet begins with."""
    return mixture_bias(config.mixtures, NARROW if config.condition_bands else WIDE)


def mixture_log_prob(parts: tuple[Any, Any, Any], levels: Any, fine: int = 1) -> Any:
    """Returns log-probabilities in nats `(...)` of the steps of 16 bits about levels `(...)`.

    Args:
        parts: of `mixture`.
        levels: int32, 0 .. 65536 * fine - 1; the outermost take the tails.
        fine: levels in a step of 16 bits.
    """
    weights, means, scales = parts
    x, levels = amplitude(levels, fine)[..., None], levels[..., None] / fine
    high = (x + (STEP / 2 - means)) / scales
    low = high - STEP / scales
    above = ops.where(levels < LEVELS - 1, ops.log_sigmoid(high), 0.0)
    beyond = ops.where(levels > 0, ops.log_sigmoid(-low), 0.0)
    inner = ops.logical_and(levels > 0, levels < LEVELS - 1)
    width = ops.where(inner, ops.log(-ops.expm1(-STEP / scales)), 0.0)
    found = ops.logsumexp(weights + above + beyond + width, axis=-1)
    return ops.logaddexp(found, np.float32(np.log(UNIFORM / LEVELS)))


def draw_mixture(
    parts: tuple[Any, Any, Any], uniform: Any, temperature: Any, top_p: Any, fine: int = 1
) -> Any:
    """Returns int32 levels `(...)` drawn from a mixture.

    The uniform picks a component by the inverse CDF of the weights, and where in that component's
    stretch it lies is the uniform of the component's own inverse CDF.

    Args:
        parts: of `mixture`.
        uniform: `(...)`, in [0, 1).
        temperature: narrows or widens every component, and sharpens the weights below 1; 0 takes
            the middle of the weightiest.
        top_p: in (0, 1]: the middle share of the component that is drawn from; the rest is tails.
        fine: levels in a step of 16 bits.
    """
    weights, means, scales = parts
    sharp = weights / ops.minimum(ops.maximum(temperature, 1e-6), 1.0)
    share = ops.exp(sharp - ops.max(sharp, axis=-1, keepdims=True))  # up to a factor
    upper = ops.cumsum(share, axis=-1)
    at = uniform * upper[..., -1]
    below = ops.sum(ops.cast(upper <= at[..., None], "int32"), axis=-1)
    index = ops.minimum(below, share.shape[-1] - 1)[..., None]
    share, upper, mean, scale = (
        ops.take_along_axis(array, index, axis=-1)[..., 0]
        for array in (share, upper, means, scales)
    )
    inner = (at - (upper - share)) / ops.maximum(share, 1e-9)
    inner = ops.clip(0.5 + (inner - 0.5) * top_p, 1e-6, 1 - 1e-6)
    x = mean + temperature * scale * (ops.log(inner) - ops.log1p(-inner))
    if fine > 1:  # float32 holds whole numbers of so many bits, but no half beside them
        half = LEVELS // 2 * fine
        level = ops.clip(ops.round(x * (fine / STEP)), -half, half - 1)
        return ops.cast(level, "int32") + half
    level = ops.clip(ops.floor(x / STEP + (LEVELS // 2 + 0.5)), 0, LEVELS - 1)
    return ops.cast(level, "int32")
