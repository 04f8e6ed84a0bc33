"""What followed when it was like this before: a memory of what was heard, beside the LSTM's own.

An LSTM knows what usually follows; how this very loop goes on it hears for the first time. So the
last seconds that were heard are kept, and a sound is taken for a mosaic of them: it goes on where
it was in them, or, now and then, anywhere else (the hidden Markov model of Li and Stephens 2003,
Genetics 165:2213). Where it is, the forward algorithm says, from the bands of frames that were
heard and from the codes of frames that were drawn. What followed there is likelier to follow, and
bands are expected to be what they were: a stroke is this recording's stroke.

What was drawn is not kept: else what is likelier because it was drawn would be drawn the more. And
where sound lasts longer than strokes, how it is now says more than how it was then: what is
remembered counts by how much bands change from frame to frame. They have to change together, too:
those of noise, or of many strings at once, change each for itself, and where in such a sound it is
no one can tell.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from keras import ops

from wavegen.streaming import one_pole

WIDTH = 0.5  # log10 of power, RMS of all bands, by which two frames that are alike may differ
JUMP = 0.02  # chance of going on elsewhere, a frame
OTHER = 0.05  # weight of an entry that has another code than the frame that was drawn
ALIKE = 1e-4  # weight of an entry, however unlike what was heard
STEADY, STROKES = 0.13, 0.20  # change from frame to frame, log10: nothing is recalled, and all
EACH, TOGETHER = 0.2, 0.3  # of that, the change of all bands' mean: likewise
PACE = 350  # frames that its mean lasts
AUDIBLE = 5.0  # log10 of how far below the loudest band of late it is of anything
BEGUN = 2  # frames after silence that still hold some of it
MOST = 0.95  # of the probability of codes that may go by what was heard before
NONE = 1e-12


class Recalled(NamedTuple):
    """What is remembered of the frame after each, `(batch, time, width)`."""

    codes: Any  # probability of each
    bands: Any  # log10 of their power, blended as codes are
    counts: Any  # 0 .. 1, how much it counts; 0 where nothing is remembered


class Recall:
    """The memory; it runs in time and holds no weights."""

    def __init__(self, entries: int, codes: int, features: int) -> None:
        """Takes the frames to keep, the number of codes, and of bands of all channels."""
        self.entries, self.codes, self.features = entries, codes, features

    def initial_state(self, batch_size: int) -> Any:
        """Returns nothing heard.

        That is bands of the frames kept, oldest first, their codes, -1 where there is none, and
        how likely the sound is there; mean change, that of the bands' mean, and their weight; and
        frames heard, 3 at most.
        """
        entries = (batch_size, self.entries)
        bands, codes = ops.zeros((*entries, self.features)), -ops.ones(entries)
        pace, count = ops.zeros((batch_size, 1, 3)), ops.zeros((batch_size, 1))
        return bands, codes, ops.zeros(entries), pace, count

    def step(
        self, bands: Any, loudest: Any, code: Any, heard: Any, sounding: Any, state: Any
    ) -> tuple[Recalled, Any]:
        """Returns a `Recalled` and the next state.

        Args:
            bands: log10 power of frames, `(batch, time, features)`.
            loudest: log10 power of the loudest band of late, `(batch, time, 1)`.
            code: int32 `(batch, time)`.
            heard: bool `(batch, time)`, whether a frame was heard, not drawn.
            sounding: bool `(batch, time)`, whether it is more than digital silence.
            state: of `initial_state` or an earlier step.
        """
        kept_bands, kept_codes, place, pace, count = state
        batch, time, size = bands.shape[0], bands.shape[1], self.entries
        counted = count + ops.cumsum(ops.cast(heard & sounding, "float32"), axis=1)
        count = ops.minimum(counted[:, -1:], BEGUN + 1.0)
        kept = ops.cast(heard & (counted > BEGUN), "int32")
        # In one row are the entries of the past and then what is kept of this block. After frame t
        # there are `end` of them, the last `size` of which are remembered.
        order = ops.argsort((1 - kept) * time + ops.arange(time), axis=1)
        fresh = ops.take_along_axis(bands, order[..., None], axis=1)
        every = ops.concatenate([kept_bands, fresh], axis=1)
        floor = ops.take_along_axis(loudest, order[..., None], axis=1) - AUDIBLE
        named = ops.take_along_axis(code, order, axis=1)
        named = ops.concatenate([ops.cast(kept_codes, "int32"), named], axis=1)
        end = size + ops.cumsum(kept, axis=1)[..., None]  # (batch, time, 1)
        at = ops.arange(size + time)
        there = (at >= end - size) & (at < end - 1) & (named >= 0)[:, None]  # and one follows it
        there = ops.cast(there, "float32")  # (batch, time, entries)
        number = ops.sum(there, axis=-1, keepdims=True)
        likely = ops.where(
            heard[..., None],
            self.alike(bands, every),
            OTHER + ops.cast(code[..., None] == named[:, None], "float32"),
        )
        anywhere = there / ops.maximum(number, 1.0)
        place = ops.concatenate([place, ops.zeros((batch, time))], axis=1)

        def follow(place: Any, given: Any) -> tuple[Any, Any]:
            likely, there, anywhere = given
            gone_on = (1.0 - JUMP) * ops.pad(place[:, :-1], [[0, 0], [1, 0]]) * there
            jumped = (1.0 - ops.sum(gone_on, axis=-1, keepdims=True)) * anywhere
            place = (gone_on + jumped) * likely
            place = place / (ops.sum(place, axis=-1, keepdims=True) + NONE)
            return place, place

        each = [ops.swapaxes(part, 0, 1) for part in (likely, there, anywhere)]
        place, places = ops.scan(follow, place, tuple(each))
        ahead = (1.0 - JUMP) * ops.swapaxes(places, 0, 1) + JUMP * anywhere
        spelt = ops.one_hot(named, self.codes)
        change, common, pace = self.paced(every, floor, named, end, pace)
        counts = between(change, STEADY, STROKES)
        counts = counts * between(common / (change + NONE), EACH, TOGETHER)
        counts = counts * ops.cast(number > 0, "float32")
        after = [[0, 0], [0, 1], [0, 0]]
        recalled = Recalled(
            codes=ops.matmul(ahead, ops.pad(spelt, after)[:, 1:]),
            bands=ops.matmul(ahead, ops.pad(every, after)[:, 1:]),
            counts=counts,
        )
        last = ops.arange(size) + end[:, -1] - size  # (batch, entries)
        remembered = (
            ops.take_along_axis(every, last[..., None], axis=1),
            ops.cast(ops.take_along_axis(named, last, axis=1), "float32"),
            ops.take_along_axis(place, last, axis=1),
        )
        return recalled, (*remembered, pace, count)

    def nothing(self, bands: Any) -> Recalled:
        """Returns that nothing is remembered, for `bands` of `step`."""
        none = ops.zeros_like(bands[..., :1])
        return Recalled(ops.repeat(none, self.codes, axis=-1), ops.zeros_like(bands), none)

    def alike(self, bands: Any, every: Any) -> Any:
        """Returns the likelihood `(batch, time, entries)` of frames where entries were heard."""
        own, theirs = (ops.sum(part * part, axis=-1) for part in (bands, every))
        both = ops.matmul(bands, ops.swapaxes(every, 1, 2))
        apart = own[..., None] + theirs[:, None] - 2.0 * both
        return ops.exp(apart * (-0.5 / WIDTH**2 / self.features)) + ALIKE

    def paced(self, every: Any, floor: Any, named: Any, end: Any, pace: Any) -> tuple[Any, ...]:
        """Returns by how much bands, and their mean, change from frame to frame, and the state.

        The first two are `(batch, time, 1)`.

        Args:
            every: bands of all entries; of what is kept of this block, last.
            floor: of the bands of this block, `(batch, time, 1)`.
            named: their codes.
            end: int32 `(batch, time, 1)`, how many there are after each frame.
            pace: both and their weight, `(batch, 1, 3)`.
        """
        size = self.entries
        pair = every[:, size:], every[:, size - 1 : -1]
        now, before = (ops.maximum(bands, floor) for bands in pair)
        change = ops.mean(ops.abs(now - before), axis=-1)
        common = ops.abs(ops.mean(now - before, axis=-1))
        known = ops.cast(named[:, size - 1 : -1] >= 0, "float32")
        changes = ops.stack([change * known, common * known, known], axis=-1)
        means = ops.concatenate([pace, one_pole(changes, pace, math.exp(-1.0 / PACE))], axis=1)
        means = ops.take_along_axis(means, ops.repeat(end - size, 3, axis=-1), axis=1)
        change, common, weight = ops.split(means, 3, axis=-1)
        return change / (weight + NONE), common / (weight + NONE), means[:, -1:]


def between(value: Any, none: float, all_: float) -> Any:
    """Returns how far a value is on its way between two others, 0 .. 1."""
    return ops.clip((value - none) / (all_ - none), 0.0, 1.0)


def mixed(learned: Any, recalled: Any, counts: Any) -> Any:
    """Returns the log-probability of codes by what was learned and what is recalled together.

    Args:
        learned: probability of each code, `(batch, time, codes)`.
        recalled: of `Recalled`.
        counts: of `Recalled`, or less.
    """
    share = MOST * counts
    return ops.log((1.0 - share) * learned + share * recalled + NONE)
