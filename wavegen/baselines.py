"""Honest yardsticks for samples: what simple statistics of the recordings already know.

Fitted on the training part once, kept with the model, evaluated on any sound: a histogram, a bigram
and linear prediction (Makhoul 1975, "Linear prediction: a tutorial review") with a logistic error
of fixed scale or of one that follows the recent error, discretised on the codec's levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # whose parts it imports when they are used: two of them take a second

from wavegen.config import POLE

ORDER = 32
CONTEXTS = 256  # of the bigram, at most
UNIFORM = 1e-5  # share of a uniform distribution in every other, so that no sample costs all
FIT_SAMPLES = 400_000  # that the scales are fitted on, at most, evenly from all the recordings
BLOCK = 4096
SETTLE = 512  # samples until a filter begun amid sound has forgotten it, 0.97^480 = 5e-7
LOUDEST = 8  # blocks kept for the greatest scale
RIDGE = 1e-9  # of the autocovariance at lag 0, added to it


@dataclass(frozen=True)
class SampleBaselines:
    """Fitted statistics of int32 level sequences `(samples, channels)`.

    Attributes:
        codec: of the levels.
        histogram: float32 (classes,), counts of the codec's classes of levels.
        bigram: float32 (contexts, classes), counts of a class after each (coarsened) class.
        coefficients: float64 (order,), newest sample first.
        fixed_scale: of the logistic error, linear amplitude.
        scale_ratio: adaptive scale over running mean error.
        scale_floor: least adaptive scale.
        scale_ceiling: greatest adaptive scale met in training.
    """

    codec: Any
    histogram: np.ndarray
    bigram: np.ndarray
    coefficients: np.ndarray
    fixed_scale: float
    scale_ratio: float
    scale_floor: float
    scale_ceiling: float

    @classmethod
    def fit(cls, codec: Any, chunks: Iterable[np.ndarray]) -> SampleBaselines:
        """Returns the statistics of training sound.

        Args:
            codec: MuLaw or PCM16, for its levels, classes, values and edges.
            chunks: int32 (samples, channels) each; memory is bounded by the longest.
        """
        values, classes = np.asarray(codec.values, np.float64), codec.classes
        count = int(classes[-1]) + 1
        contexts = min(count, CONTEXTS)
        histogram, bigram = np.zeros(count), np.zeros(contexts * count)
        covariance, blocks, loudest = np.zeros(ORDER + 1), EvenBlocks(), LoudestBlocks()
        for chunk in chunks:
            for levels_heard in chunk.T:  # each channel by itself
                heard = classes[levels_heard]
                histogram += np.bincount(heard, minlength=count)
                pairs = heard[:-1] * contexts // count * count + heard[1:]
                bigram += np.bincount(pairs, minlength=contexts * count)
                covariance += autocovariance(values[levels_heard], ORDER)
            blocks.add(chunk)
            loudest.add(chunk, values, linear_prediction(covariance, ORDER))
        coefficients = linear_prediction(covariance, ORDER)
        edges = np.asarray(codec.edges, np.float64)
        fixed, ratio, floor = fit_scales(blocks.kept, values, edges, coefficients)
        greatest = loudest.greatest(values, coefficients)
        return cls(
            codec,
            histogram.astype(np.float32),
            bigram.reshape(contexts, count).astype(np.float32),
            coefficients,
            fixed,
            ratio,
            floor,
            max(ratio * greatest, 2 * floor),
        )

    @property
    def pole(self) -> float:
        """Of the running mean that the adaptive scale follows."""
        return POLE

    def bits(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Returns what each baseline pays for every sample, bits `(samples, channels)`.

        Args:
            frames: int32 (samples, channels); silence precedes the first.
        """
        rows = [self.channel_bits(channel) for channel in frames.T]
        return {name: np.stack([row[name] for row in rows], axis=-1) for name in rows[0]}

    def channel_bits(self, levels: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the same for one channel, `(samples,)` each."""
        values, edges = (
            np.asarray(array, np.float64) for array in (self.codec.values, self.codec.edges)
        )
        classes, count = self.codec.classes[levels], len(self.histogram)
        inside = np.log2(np.bincount(self.codec.classes))[classes]  # bits of a level in its class
        share = (self.histogram.astype(np.float64) + 1) / (self.histogram.sum() + count)
        silence = self.codec.classes[self.codec.levels // 2]
        before = np.concatenate([[silence], classes[:-1]]) * len(self.bigram) // count
        totals = self.bigram.sum(axis=1, dtype=np.float64)
        weight = 4.0  # of the histogram, in counts: what a context not met often falls back on
        pairs = self.bigram[before, classes] + weight * share[classes]
        mean, error = predict(values[levels], self.coefficients)
        recent = running_mean(np.abs(error))
        scale = np.clip(self.scale_ratio * recent, self.scale_floor, self.scale_ceiling)
        return {
            "uniform": np.full(len(levels), math.log2(self.codec.levels)),
            "histogram": inside - np.log2(share[classes]),
            "bigram": inside - np.log2(pairs / (totals[before] + weight)),
            "linear predictor, fixed scale": logistic_bits(levels, mean, self.fixed_scale, edges),
            "linear predictor, adaptive scale": logistic_bits(levels, mean, scale, edges),
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Returns everything as named arrays, for a model file."""
        numbers = [self.fixed_scale, self.scale_ratio, self.scale_floor, self.scale_ceiling]
        names = ("histogram", "bigram", "coefficients")
        return {name: getattr(self, name) for name in names} | {"scales": np.array(numbers)}

    @staticmethod
    def shapes(codec: Any) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of the arrays that `to_arrays` gives for a codec."""
        count = int(codec.classes[-1]) + 1
        shapes = {"histogram": (count,), "bigram": (min(count, CONTEXTS), count)}
        return shapes | {"coefficients": (ORDER,), "scales": (len(SCALES),)}

    @classmethod
    def from_arrays(cls, codec: Any, arrays: dict[str, np.ndarray]) -> SampleBaselines:
        """Returns the baselines that `to_arrays` gave away, for the same codec."""
        rest: dict[str, Any] = {name: array for name, array in arrays.items() if name != "scales"}
        rest |= dict(zip(SCALES, map(float, arrays["scales"]), strict=True))
        return cls(codec=codec, **rest)


SCALES = ("fixed_scale", "scale_ratio", "scale_floor", "scale_ceiling")


def autocovariance(x: np.ndarray, order: int) -> np.ndarray:
    """Returns the sums of x[t] x[t - k] for k = 0 .. order, float64 `(order + 1,)`."""
    padded = np.concatenate([np.zeros(order), x])
    return np.array([x @ padded[order - k : order - k + len(x)] for k in range(order + 1)])


def linear_prediction(covariance: np.ndarray, order: int, ridge: float = RIDGE) -> np.ndarray:
    """Returns the coefficients of the least squared prediction error, newest sample first.

    Args:
        covariance: float64 (order + 1,), autocovariance at lags 0 .. order.
        order: number of coefficients.
        ridge: share of lag 0 that is added to it; keeps silence and pure tones solvable.
    """
    column = covariance[:order].copy()
    column[0] = column[0] * (1 + ridge) + 1e-30
    return scipy.linalg.solve_toeplitz(column, covariance[1 : order + 1])


def predict(x: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each sample's prediction from the samples before it, and its error."""
    taps = np.concatenate([[0.0], coefficients])
    mean = scipy.signal.lfilter(taps, [1.0], x)
    return mean, x - mean


def running_mean(error: np.ndarray) -> np.ndarray:
    """Returns the one-pole mean of the absolute errors strictly before each sample."""
    mean = scipy.signal.lfilter([1 - POLE], [1.0, -POLE], error)
    return np.concatenate([[0.0], mean[:-1]])


def logistic_bits(levels: np.ndarray, mean: Any, scale: Any, edges: np.ndarray) -> np.ndarray:
    """Returns the bits that levels cost under a logistic density discretised at the edges.

    Args:
        levels: int (samples,).
        mean: of each sample, linear amplitude.
        scale: of each sample or of all, > 0.
        edges: float64 (levels - 1,).
    """
    count = len(edges) + 1
    bounds = np.concatenate([[-np.inf], edges, [np.inf]])
    low, high = (bounds[levels] - mean) / scale, (bounds[levels + 1] - mean) / scale
    # By symmetry both ends are taken to the left tail, where differences are exact.
    flip = low > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    share = sigmoid(high) - sigmoid(low)
    return -np.log2((1 - UNIFORM) * share + UNIFORM / count)


class EvenBlocks:
    """Blocks evenly from all chunks seen so far: every n-th, n doubled whenever they are many."""

    def __init__(self) -> None:
        """Begins with every block."""
        self.kept: list[np.ndarray] = []
        self.stride, self.seen = 1, 0

    def add(self, chunk: np.ndarray) -> None:
        """Takes a chunk `(samples, channels)`."""
        for start in range(0, max(1, len(chunk) - BLOCK + 1), BLOCK):
            if self.seen % self.stride == 0:
                self.kept.append(chunk[start : start + BLOCK].copy())
                if len(self.kept) > 1 and sum(block.size for block in self.kept) > FIT_SAMPLES:
                    self.kept, self.stride = self.kept[::2], 2 * self.stride
            self.seen += 1


class LoudestBlocks:
    """Blocks around the greatest errors: the scale's ceiling is a maximum, no sample has it.

    They are found with the coefficients known so far and measured with the final ones.
    """

    def __init__(self) -> None:
        """Begins with none."""
        self.kept: list[tuple[float, np.ndarray]] = []

    def add(self, chunk: np.ndarray, values: np.ndarray, coefficients: np.ndarray) -> None:
        """Takes a chunk `(samples, channels)`."""
        for levels in chunk.T:
            recent, begin = recent_error(values[levels], coefficients)
            if len(recent):
                peak = begin + int(recent.argmax())
                start = max(0, peak - BLOCK // 2)
                self.kept.append((float(recent.max()), levels[start : peak + BLOCK // 2].copy()))
        self.kept = sorted(self.kept, key=lambda pair: -pair[0])[:LOUDEST]

    def greatest(self, values: np.ndarray, coefficients: np.ndarray) -> float:
        """Returns the greatest running mean error in the blocks."""
        found = [recent_error(values[levels], coefficients)[0] for _, levels in self.kept]
        return float(max((recent.max(initial=0.0) for recent in found), default=0.0))


def recent_error(x: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns the running mean error from where it has settled, and that index."""
    begin = min(SETTLE, len(x) // 2)  # the silence before is no music
    return running_mean(np.abs(predict(x, coefficients)[1]))[begin : len(x)], begin


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Returns 1 / (1 + exp(-z)) without overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z < 0, small, 1.0) / (1 + small)


def fit_scales(
    blocks: list[np.ndarray], values: np.ndarray, edges: np.ndarray, coefficients: np.ndarray
) -> tuple[float, float, float]:
    """Returns (fixed scale, ratio, floor) of least bits on blocks of the training."""
    heard, means, recents = [], [], []
    for block in blocks:
        for levels in block.T:
            recent, begin = recent_error(values[levels], coefficients)
            heard.append(levels[begin:])
            means.append(predict(values[levels], coefficients)[0][begin:])
            recents.append(recent)
    levels, mean, recent = map(np.concatenate, (heard, means, recents))

    def bits(scale: Any) -> float:
        return float(np.mean(logistic_bits(levels, mean, scale, edges)))

    narrow = float(np.diff(edges).min())
    start = math.log(max(float(np.mean(recent)), narrow))
    best = scipy.optimize.minimize_scalar(lambda s: bits(math.exp(s)), (start - 2, start))
    start_at = np.log([[0.6, narrow / 4], [0.9, narrow / 4], [0.6, narrow / 32]])
    found = scipy.optimize.minimize(
        lambda p: bits(np.maximum(math.exp(p[1]), math.exp(p[0]) * recent)),
        start_at[0],
        method="Nelder-Mead",
        # The floor hardly matters to most samples: a small first simplex ends on that plateau.
        options={"initial_simplex": start_at, "xatol": 0.02, "fatol": 1e-5, "maxfev": 80},
    )
    # Below a small share of the narrowest level all scales are alike; models take its logarithm.
    ratio, floor = math.exp(found.x[0]), max(math.exp(found.x[1]), narrow / 32)
    return math.exp(best.x), ratio, floor
