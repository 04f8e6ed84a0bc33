"""Linear prediction that is fitted anew, every few milliseconds, to the sound just heard.

Backward-adaptive prediction as in LD-CELP (ITU-T G.728; Chen et al. 1992, IEEE JSAC 10:830): the
coefficients come from the past alone, so nothing has to be sent, and nothing learned. The window
over that past, (n + 1) exp(-n / memory) for a sample n ago, is Barnwell's (1981, IEEE ICASSP 6:1),
whose autocorrelations are three running sums a lag. Fitted by the autocorrelation method (Makhoul
1975, "Linear prediction: a tutorial review"), the predictor's resonances are always stable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from wavegen import backend

RIDGE = 1e-3  # of the autocorrelation at lag 0, added to it: white noise 30 dB below
HUSH = 1e-6  # amplitude of the noise that is always there, -120 dB: silence has a solution too


def window_weights(hop: int, memory: float) -> np.ndarray:
    """Returns float32 `(3, hop)`: what the three sums give to a product n samples ago."""
    ago = np.arange(hop)
    decay = np.exp(-2.0 * ago / memory)
    return np.stack([decay, (ago + 1) * decay, (ago + 1) ** 2 * decay]).astype("float32")


def window_shifts(count: int, hop: int, memory: float) -> np.ndarray:
    """Returns float32 `(count, 3, 3)`: what becomes of the three sums 0 .. count - 1 hops later."""
    h, decay = float(hop), np.exp(-2.0 * hop / memory)
    one = decay * np.array([[1.0, 0, 0], [h, 1, 0], [h * h, 2 * h, 1]])
    powers = [np.eye(3)]
    for _ in range(count - 1):
        powers.append(one @ powers[-1])
    return np.stack(powers).astype("float32")


def autocorrelation(sums: Any, memory: float) -> Any:
    """Returns the windowed autocorrelation `(..., order + 1)` of sums `(..., 3, order + 1)`."""
    lag = np.arange(sums.shape[-1])
    found = np.exp(-lag / memory).astype("float32") * (
        sums[..., 2, :] + lag.astype("float32") * sums[..., 1, :]
    )
    energy = HUSH**2 * memory**3 / 4  # of that noise under the window's square
    lift = np.zeros(len(lag), "float32")
    lift[0] = 1.0
    return found * (1 + RIDGE * lift) + np.float32(energy) * lift


@backend.traced
def levinson(correlation: Any) -> Any:
    """Returns the coefficients of the least squared prediction error, newest sample first.

    The Levinson-Durbin recursion on the forward and the backward error filter side by side. Some
    error is always left, for there is noise of `RIDGE`; where rounding says otherwise, as it does
    of pure tones, the reflection coefficients are kept so small that it stays.

    Args:
        correlation: `(..., order + 1)`, at lags 0 .. order, the ridge included.

    Returns:
        `(..., order)`.
    """
    lead, order = tuple(correlation.shape[:-1]), correlation.shape[-1] - 1
    rows = ops.reshape(correlation, (-1, order + 1))
    count = rows.shape[0]
    # r[i - j] for j = 0 .. order is a slice of this, that moves by one from step to step.
    reverse = ops.pad(ops.flip(rows, axis=1), [[0, 0], [0, order + 1]])
    first = np.zeros((1, order + 1), "float32")
    first[0, 0] = 1.0
    forward = ops.ones((count, 1)) * first
    least = rows[:, :1] * (RIDGE / (1 + RIDGE))

    def body(i: Any, forward: Any, backward: Any, error: Any) -> tuple[Any, ...]:
        lagged = ops.slice(reverse, ops.stack([0, order - i]), (count, order + 1))
        backward = ops.pad(backward[:, :-1], [[0, 0], [1, 0]])
        k = -ops.sum(forward * lagged, axis=1, keepdims=True) / error
        most = ops.sqrt(ops.maximum(1.0 - least / error, 0.0))
        k = ops.clip(k, -most, most)
        return i + 1, forward + k * backward, backward + k * forward, error * (1 - k * k)

    start = (ops.convert_to_tensor(1, "int32"), forward, forward, rows[:, :1])
    _, forward, _, _ = ops.while_loop(lambda i, *_: i <= order, body, start)
    return ops.reshape(-forward[:, 1:], (*lead, order))


class Following:
    """The predictor of one signal that follows it: sums, and a fit each time a hop is full.

    Its state is (last `order + hop` samples; sums `(batch, channels, 3, order + 1)`; coefficients
    in force `(batch, channels, order)`, oldest sample first; int32 `(batch, 1)`, samples heard
    since the last fit).
    """

    def __init__(self, order: int, hop: int, memory: float) -> None:
        """Takes the number of coefficients, samples from fit to fit, and the window's peak."""
        self.order, self.hop, self.memory = order, hop, float(memory)
        self.reach = order + hop
        self.weights = np.zeros((3, self.reach), "float32")
        self.weights[:, order:] = window_weights(hop, memory)[:, ::-1]

    def initial_state(self, batch_size: int, channels: int) -> Any:
        """Returns what is known after endless silence."""
        return (
            ops.zeros((batch_size, self.reach, channels)),
            ops.zeros((batch_size, channels, 3, self.order + 1)),
            ops.zeros((batch_size, channels, self.order)),
            ops.zeros((batch_size, 1), dtype="int32"),
        )

    def step(self, x: Any, state: Any, led: Any = None) -> tuple[Any, Any]:
        """Returns the prediction of the sample after each of `x`, and the next state.

        Args:
            x: `(batch, time, channels)`.
            state: of `initial_state` or an earlier step.
            led: coefficients to take, `(batch, time, channels, order)`, oldest sample first; then
                nothing is fitted.
        """
        past, sums, taps, phase = state
        time, hop = x.shape[1], self.hop
        heard = ops.concatenate([past, x], axis=1)  # (batch, reach + time, channels)
        ends = phase + time  # hops filled, in samples since the last fit
        if led is not None:
            at = hop + 1 + np.arange(time)[:, None] + np.arange(self.order)
            rows = ops.take(heard, at, axis=1)  # (batch, time, order, channels)
            mean = ops.sum(rows * ops.swapaxes(led, 2, 3), axis=2)
            return mean, (heard[:, time:], sums, taps, ends % hop)
        if time == 1:  # an engine's loop: fit only when it is due
            due = ends >= hop

            def fit() -> tuple[Any, Any]:
                rows = ops.transpose(heard[:, 1:], (0, 2, 1))[:, :, None]
                later, fitted = self.fits(rows, sums)
                return (
                    ops.where(due[..., None, None], later[:, :, 0], sums),
                    ops.where(due[..., None], fitted[:, :, 0], taps),
                )

            sums, taps = ops.cond(ops.any(due), fit, lambda: (sums, taps))
            recent = ops.transpose(heard[:, -self.order :], (0, 2, 1))
            mean = ops.sum(recent * taps, axis=-1)[:, None]
            return mean, (heard[:, 1:], sums, taps, ends % hop)
        count = (time + hop - 1) // hop  # fits in the block, at most
        # Row j: the samples that fit j is made from, which are those that frame j predicts from.
        first = (np.arange(count + 1, dtype="int32") + 1) * hop - phase  # (batch, count + 1)
        at = ops.minimum(
            first[..., None] + np.arange(self.reach, dtype="int32"), self.reach + time - 1
        )
        flat = ops.transpose(heard, (0, 2, 1))  # (batch, channels, reach + time)
        index = ops.reshape(at, (at.shape[0], 1, -1)) + ops.zeros_like(flat[:, :, :1], "int32")
        rows = ops.take_along_axis(flat, index, axis=2)
        rows = ops.reshape(rows, (*flat.shape[:2], count + 1, self.reach))
        later, fitted = self.fits(rows[:, :, :-1], sums)
        later = ops.concatenate([sums[:, :, None], later], axis=2)
        fitted = ops.concatenate([taps[:, :, None], fitted], axis=2)
        frames = self.filtered(rows, fitted)  # (batch, channels, count + 1, hop)
        place = phase + 1 + np.arange(time, dtype="int32")  # (batch, time), of the sample predicted
        frames = ops.reshape(frames, (*flat.shape[:2], -1))
        place = place[:, None] + ops.zeros_like(flat[:, :, :1], "int32")
        mean = ops.transpose(ops.take_along_axis(frames, place, axis=2), (0, 2, 1))
        done = ends // hop  # (batch, 1), fits made
        chosen = ops.cast(ops.equal(np.arange(count + 1, dtype="int32"), done), "float32")
        sums = ops.sum(later * chosen[:, None, :, None, None], axis=2)
        taps = ops.sum(fitted * chosen[:, None, :, None], axis=2)
        return mean, (heard[:, time:], sums, taps, ends % hop)

    def fits(self, rows: Any, sums: Any) -> tuple[Any, Any]:
        """Returns sums and coefficients after each of several hops.

        Args:
            rows: `(batch, channels, count, reach)`, each hop with the `order` samples before it.
            sums: `(batch, channels, 3, order + 1)`, before them.
        """
        count, size = rows.shape[2], self.reach + self.reach % 2
        real, imaginary = ops.rfft(rows, size)
        real, imaginary = real[..., None, :], imaginary[..., None, :]
        a, b = ops.rfft(rows[..., None, :] * self.weights, size)
        products = ops.irfft((a * real + b * imaginary, b * real - a * imaginary), size)
        here = products[..., : self.order + 1]  # (batch, channels, count, 3, order + 1)
        shifts = window_shifts(count + 1, self.hop, self.memory)
        spread = np.zeros((count, count, 3, 3), "float32")
        for late in range(count):
            for early in range(late + 1):
                spread[late, early] = shifts[late - early]
        later = ops.einsum("jipq,bciqk->bcjpk", spread, here)
        later = later + ops.einsum("jpq,bcqk->bcjpk", shifts[1:], sums)
        return later, ops.flip(levinson(autocorrelation(later, self.memory)), axis=-1)

    def filtered(self, rows: Any, taps: Any) -> Any:
        """Returns the predictions `(batch, channels, count, hop)` that follow each row's samples.

        Prediction i is of the sample after the first `order + i` of the row.
        """
        size = self.reach + self.reach % 2
        x, y = ops.rfft(rows, size)
        a, b = ops.rfft(ops.flip(taps, axis=-1), size)
        products = ops.irfft((x * a - y * b, x * b + y * a), size)
        return products[..., self.order - 1 : self.order - 1 + self.hop]
