"""What one training step gets: streams of sound that go on from step to step.

A batch is a pure function of the recordings, the step and the arguments. Chance comes from Philox,
keyed by seed, epoch and purpose, so a run's place in its data is its step number alone: a resumed
run, or one that asks for steps in another order, gets the same batches.

Streams are for truncated backpropagation through time (Williams and Peng 1990): row b of step n + 1
continues row b of step n unless `reset` says that it starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from wavegen.dataset import Dataset
from wavegen.errors import AudioError, UsageError

PURPOSES = {
    "streams": 2,
    "augment": 3,
    "disturb": 4,
    "jitter": 5,
    "slips": 6,
}  # each its own sequence of numbers

LONG = 64  # chunks in a row of few recordings


@dataclass(frozen=True)
class Augment:
    """Changes that leave music music.

    Attributes:
        gain_db: gain drawn uniformly from -gain_db .. +gain_db, never beyond full scale.
        polarity: turn half of the segments upside down.
        channel_swap: exchange left and right in half of the segments, of two channels.
    """

    gain_db: float = 6.0
    polarity: bool = True
    channel_swap: bool = True

    def apply(self, signal: np.ndarray, numbers: np.ndarray, peak: float) -> np.ndarray:
        """Returns a changed copy.

        Args:
            signal: float32 `(channels, samples)` within -1 .. 1.
            numbers: three uniforms in 0 .. 1: for gain, polarity and swap.
            peak: greatest magnitude of the recording that the signal is part of; the gain keeps it
                within full scale.
        """
        gain = min(10 ** (self.gain_db * (2 * numbers[0] - 1) / 20), 1 / max(peak, 1e-6))
        if self.polarity and numbers[1] < 0.5:
            gain = -gain
        if self.channel_swap and len(signal) == 2 and numbers[2] < 0.5:
            signal = signal[::-1]
        return np.clip(signal * np.float32(gain), -1, 1)  # clips what rounding adds


class Streams(NamedTuple):
    """Chunks of streams, for frames 0 .. length - 1 to predict frames 1 .. length.

    Attributes:
        signal: float32 (batch, channels, context + (length + 1) * frame_samples + ahead).
        valid: bool (batch, length), whether frame t + 1 holds any of the recording.
        reset: bool (batch,), whether the row starts anew: a recording or a row begins here.
        frame: int64 (batch,), number of the row's first frame within its segment.
    """

    signal: np.ndarray
    valid: np.ndarray
    reset: np.ndarray
    frame: np.ndarray


def stream_steps(
    dataset: Dataset,
    *,
    batch: int,
    length: int,
    frame_samples: int,
    part: str = "train",
    least: int = 0,
) -> int:
    """Returns how many steps of `streams` an epoch has, 0 where the part is too short."""
    total = int(_chunk_counts(_lengths(dataset, part), length, frame_samples).sum())
    return -(-total * _rounds(total, batch, least) // batch)


def streams(
    dataset: Dataset,
    step: int,
    *,
    batch: int,
    length: int,
    frame_samples: int,
    context: int,
    seed: int,
    part: str = "train",
    augment: Augment | None = None,
    offset: bool = True,
    ahead: int = 0,
    least: int = 0,
) -> Streams:
    """Returns one step of `batch` contiguous streams of frames.

    In every epoch the segments come in random order, each in chunks of `length` predicted frames;
    the last frame of a chunk is the first of the next. The list of chunks is turned to a random
    start and cut into `batch` rows of equal length. Rows that are left over at its end are empty:
    zeros, nothing valid, reset. Of few recordings an epoch is several rounds, each in an order of
    its own: where a row begins the state is lost, and from rows of a second or two nothing that
    lasts longer could be learned.

    Args:
        dataset: the recordings.
        step: the step's number, >= 0.
        batch: how many streams run beside each other.
        length: frames to predict in a step.
        frame_samples: samples in a frame: 1, or the hop of an STFT.
        context: samples before the first frame to give as well; zeros before a segment's start.
        seed: the run's seed.
        part: "train" or "heldout".
        augment: drawn for each epoch and segment, so it stays the same along a recording; None is
            the sound as recorded.
        offset: start each segment at a random sample of its first frame, and the rows at a random
            chunk. False uses every sample, as judging wants it.
        ahead: samples after the last frame to give as well; zeros beyond a segment's end.
        least: chunks in a row that will do; of fewer recordings an epoch has as many rounds as rows
            of `LONG` chunks take.

    Raises:
        AudioError: no segment of the part holds two frames.
        UsageError: a number out of range.
    """
    _check(0, step=step, seed=seed, context=context, ahead=ahead, least=least)
    _check(1, batch=batch, length=length, frame_samples=frame_samples)
    table, lengths = dataset.table(part), _lengths(dataset, part)
    counts = _chunk_counts(lengths, length, frame_samples)
    once = int(counts.sum())
    if not once:
        raise AudioError(
            f"the {part} part has no piece longer than a frame of {frame_samples} samples;"
            " add longer recordings"
        )
    rounds = _rounds(once, batch, least)
    total, turns = once * rounds, len(table) * rounds  # a turn is a segment's, in one of the rounds
    steps = -(-total // batch)
    epoch, place = divmod(step, steps)
    order, offsets = _epoch(seed, epoch, len(table), rounds)
    numbers = generator(seed, "augment", epoch).random((turns, 3)) if augment else None
    ends = np.cumsum(counts[order % len(table)])
    turn = int(offsets[-1] * total) if offset else 0
    samples_given = context + (length + 1) * frame_samples + ahead
    signal = np.zeros((batch, dataset.channels, samples_given), np.float32)
    valid, reset = np.zeros((batch, length), bool), np.ones(batch, bool)
    frame = np.zeros(batch, np.int64)
    for row in range(min(batch, -(-(total - place) // steps))):
        chunk = (row * steps + place + turn) % total
        rank = int(np.searchsorted(ends, chunk, side="right"))
        mine = int(order[rank])
        segment = mine % len(table)
        number = chunk - int(ends[rank] - counts[segment])
        recording, origin = int(table[segment, 0]), int(table[segment, 1])
        samples = int(lengths[segment])
        # So late a start that the last chunk had nothing left to predict is not allowed.
        latest = samples - ((int(counts[segment]) - 1) * length + 1) * frame_samples
        skip = int(offsets[mine] * min(frame_samples, latest)) if offset else 0
        first = skip + number * length * frame_samples - context
        start, stop = max(0, first), min(samples, first + signal.shape[2])
        cut = dataset.signal(recording, origin + start, origin + stop)
        if augment and numbers is not None:
            cut = augment.apply(cut, numbers[mine], dataset.recordings[recording].peak)
        signal[row, :, start - first : stop - first] = cut
        frame[row] = number * length
        reset[row] = number == 0 or place == 0
        begins = skip + (frame[row] + 1 + np.arange(length)) * frame_samples
        valid[row] = begins < samples
    return Streams(signal, valid, reset, frame)


def _lengths(dataset: Dataset, part: str) -> np.ndarray:
    table = dataset.table(part)
    return table[:, 2] - table[:, 1]


def _chunk_counts(lengths: np.ndarray, length: int, frame_samples: int) -> np.ndarray:
    """Returns how many chunks each segment takes; its first frame is not predicted."""
    return -(-(-(-lengths // frame_samples) - 1) // length)


def generator(seed: int, purpose: str, number: int) -> np.random.Generator:
    """Returns a generator of its own for a seed, a purpose and an epoch's or step's number."""
    counter = np.array([0, 0, number, PURPOSES[purpose]], np.uint64)  # the low words count up
    key = np.array([seed % 2**64, 0], np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))


def _rounds(chunks: int, batch: int, least: int) -> int:
    """Returns how often all chunks come in an epoch; `least` is of a row, see `streams`."""
    if chunks >= batch * least:
        return 1
    return -(-LONG * batch // chunks) if chunks else 0


@lru_cache(maxsize=8)
def _epoch(seed: int, epoch: int, segments: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns an epoch's order of turns, round after round, and a uniform for each and for all.

    A segment's turns are its number, and that with the number of segments added again and again.
    """
    chance = generator(seed, "streams", epoch)
    offsets = chance.random(segments * rounds + 1)
    order = np.concatenate([chance.permutation(segments) + i * segments for i in range(rounds)])
    order.flags.writeable = offsets.flags.writeable = False
    return order, offsets


def _check(floor: int, /, **values: int) -> None:
    for name, value in values.items():
        if value < floor:
            raise UsageError(f"{name}={value} must be at least {floor}")
