from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavegen.batches import LONG, Augment, stream_steps, streams
from wavegen.dataset import Dataset
from wavegen.errors import AudioError, UsageError

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=5)
UNIT = 2.0**-22  # samples are multiples of it, so that each one can be told from all others


class Counting:
    """A recording whose samples are numbered on, from a first number."""

    def __init__(self, first: int, samples: int, channels: int) -> None:
        numbers = np.arange(first, first + samples) * UNIT
        self.whole = np.stack([numbers, -numbers][:channels]).astype(np.float32)
        self.samples, self.warnings, self.path = samples, (), Path("counting.wav")
        self.peak = float(np.abs(self.whole).max())
        self.entry = SimpleNamespace(key=f"{first}")

    def read(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start <= stop <= self.samples
        return self.whole[:, start:stop].copy()


def counting(lengths, channels=1, heldout=0.0) -> Dataset:
    firsts = np.cumsum([1, *lengths])
    recordings = [Counting(int(a), n, channels) for a, n in zip(firsts, lengths, strict=False)]
    return Dataset(recordings, 100, channels, heldout, 0.02)  # type: ignore[arg-type]


def numbers(signal) -> list[int]:
    return (np.asarray(signal, np.float64) / UNIT).round().astype(int).tolist()


def epoch_of(data, epoch, part="train", **how):
    """Returns all steps of an epoch."""
    steps = stream_steps(data, part=part, **how)
    return [
        streams(data, step, context=0, seed=3, part=part, **how)
        for step in range(epoch * steps, (epoch + 1) * steps)
    ]


def test_a_batch_depends_on_its_step_alone():
    data = counting([500, 300, 20], channels=2)
    how = dict(batch=7, length=4, frame_samples=8, context=8, augment=Augment())
    forward = [streams(data, step, seed=11, **how) for step in range(12)]
    again = counting([500, 300, 20], channels=2)
    assert again.fingerprint == data.fingerprint
    for step in reversed(range(12)):
        found = streams(again, step, seed=11, **how)
        for one, other in zip(found, forward[step], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=str(step))
    assert (streams(data, 0, seed=12, **how).signal != forward[0].signal).any()


@settings(max_examples=60)
@given(
    LENGTHS,
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 16),
    st.integers(0, 40),
    st.integers(0, 3),
    st.booleans(),
)
def test_streams_go_on_and_cover_everything(
    lengths, batch, length, frame_samples, context, epoch, offset
):
    data = counting(lengths)
    how = dict(batch=batch, length=length, frame_samples=frame_samples)
    steps = stream_steps(data, **how)
    if not steps:
        assert max(lengths) <= frame_samples
        with pytest.raises(AudioError, match="longer recordings"):
            streams(data, 0, context=context, seed=5, **how)
        return
    ends = set(np.cumsum(lengths).tolist())
    seen, predicted, before = [], [], None
    for step in range(epoch * steps, (epoch + 1) * steps):
        now = streams(data, step, context=context, seed=5, offset=offset, **how)
        assert now.signal.shape == (batch, 1, context + (length + 1) * frame_samples)
        assert now.valid.any()
        for row in range(batch):
            body = now.signal[row, 0, context:]
            frames = body.reshape(length + 1, frame_samples)
            np.testing.assert_array_equal(now.valid[row], frames[1:].any(1))
            predicted += [n for n in numbers(frames[1:].ravel()) if n]
            known = [n for n in numbers(now.signal[row, 0]) if n]
            assert known == list(range(known[0], known[0] + len(known))) if known else True
            if now.valid[row].any():
                first = numbers(body[:1])[0]
                start = max(end for end in [0, *ends] if end < first)  # samples before the segment
                skip = (first - start - 1) - now.frame[row] * frame_samples
                assert 0 <= skip < (frame_samples if offset else 1)
                past = [max(0, n) if n > start else 0 for n in range(first - context, first)]
                assert numbers(now.signal[row, 0, :context]) == past
                if now.frame[row] == 0:
                    assert now.reset[row]
                    seen += numbers(frames[0])
            else:
                assert now.reset[row] and not now.signal[row].any()
            if before is None:
                assert now.reset[row]  # a row begins
            elif not now.reset[row]:
                tail = context + frame_samples
                np.testing.assert_array_equal(
                    now.signal[row, :, :tail], before.signal[row, :, -tail:]
                )
                assert now.frame[row] == before.frame[row] + length
            else:
                assert now.frame[row] == 0
        before = now
    heard = sorted([n for n in seen if n] + predicted)
    assert len(set(heard)) == len(heard)
    long_enough = [n for n in lengths if n > frame_samples]
    lost = sum(long_enough) - len(heard)
    assert 0 <= lost <= (len(long_enough) * (frame_samples - 1) if offset else 0)


@settings(max_examples=40)
@given(LENGTHS, st.integers(1, 5), st.integers(1, 6), st.integers(1, 8), st.integers(0, 2))
def test_rows_of_few_recordings_go_on_for_long(lengths, batch, length, least, epoch):
    data = counting(lengths, channels=2)
    how = dict(batch=batch, length=length, frame_samples=1)
    once, steps = stream_steps(data, **how), stream_steps(data, **how, least=least)
    if not once:
        assert not steps
        return
    chunks = chunks_of(lengths, length)
    rounds = 1 if chunks >= batch * least else -(-LONG * batch // chunks)
    assert steps == -(-chunks * rounds // batch) and (rounds == 1 or steps >= LONG)
    predicted, before = [], None
    for step in range(epoch * steps, (epoch + 1) * steps):
        now = streams(data, step, context=0, seed=7, augment=Augment(), least=least, **how)
        for row in range(batch):
            if before is None or not now.valid[row].any():
                assert now.reset[row]
            else:  # a row begins anew where a recording does, and nowhere else
                assert now.reset[row] == (now.frame[row] == 0)
        before = now
        plain = streams(data, step, context=0, seed=7, least=least, **how)
        predicted += numbers(plain.signal[:, 0, 1:][plain.valid])
    each = np.bincount(predicted)[1:]
    firsts = np.cumsum([1, *lengths])[:-1] - 1
    often = np.delete(each, [n for n in firsts if n < len(each)])
    assert len(set(often.tolist())) == 1  # every sample as often as any other
    assert often[0] == rounds


def chunks_of(lengths, length):
    return sum(-(-(n - 1) // length) for n in lengths)


def test_streams_start_elsewhere_each_epoch():
    data = counting([2000])
    how = dict(batch=2, length=4, frame_samples=16)
    steps = stream_steps(data, **how)
    first = [streams(data, epoch * steps, context=0, seed=1, **how) for epoch in range(6)]
    assert len({int(s.frame[0]) for s in first}) > 2  # the rows are turned
    assert len({numbers(s.signal[0, 0, :1])[0] % 16 for s in first}) > 2  # the frames are moved
    still = [
        streams(data, epoch * steps, context=0, seed=1, offset=False, **how) for epoch in range(3)
    ]
    assert all(numbers(s.signal[0, 0, :2]) == [1, 2] for s in still)


@settings(max_examples=30)
@given(st.lists(st.integers(2, 300), min_size=1, max_size=5), st.integers(1, 5), st.integers(0, 3))
def test_samples_as_frames_are_all_heard_once_an_epoch(lengths, batch, epoch):
    """A frame of one sample leaves no remainder; a piece's first sample alone is not predicted."""
    predicted = []
    for now in epoch_of(counting(lengths), epoch, batch=batch, length=7, frame_samples=1):
        predicted += numbers(now.signal[:, 0, 1:][now.valid])
    firsts = set(np.cumsum([1, *lengths])[:-1].tolist())
    assert sorted(predicted) == sorted(set(range(1, sum(lengths) + 1)) - firsts)


def test_segments_come_in_another_order_each_epoch():
    data = counting([20] * 12)
    orders = []
    for epoch in range(3):
        steps = epoch_of(data, epoch, batch=1, length=30, frame_samples=1)
        orders.append([numbers(now.signal[0, 0, :1])[0] // 20 for now in steps])
        assert sorted(orders[-1]) == list(range(12)) != orders[-1]
    turned = [orders[0][i:] + orders[0][:i] for i in range(12)]  # the rows are turned as well
    assert orders[1] not in turned and orders[2] not in turned and orders[1] != orders[2]


def test_heldout_parts_are_only_for_judging():
    data = counting([1000, 900], heldout=0.1)
    heard = {}
    for part in ("train", "heldout"):
        for frame_samples in (1, 16):
            how = dict(batch=1, length=16, frame_samples=frame_samples, part=part)
            for step in range(stream_steps(data, **how)):
                now = streams(data, step, context=64, seed=0, **how)
                heard.setdefault(part, set()).update(numbers(now.signal.ravel()))
    train, held = heard["train"] - {0}, heard["heldout"] - {0}
    assert len(held) == 190 and not train & held and max(train & set(range(1001))) < 900


def test_an_empty_part_and_bad_numbers_are_told():
    data = counting([100])
    how = dict(batch=1, length=8, frame_samples=1, context=0, seed=0)
    with pytest.raises(AudioError, match="the heldout part has no piece longer than a frame of 1"):
        streams(data, 0, part="heldout", **how)
    with pytest.raises(UsageError, match="part='test' must be one of train, heldout"):
        streams(data, 0, part="test", **how)
    for name, least in (("batch", 1), ("length", 1), ("frame_samples", 1), ("context", 0)):
        with pytest.raises(UsageError, match=f"{name}={least - 1} must be at least {least}"):
            streams(data, 0, **how | {name: least - 1})
    with pytest.raises(UsageError, match="step=-1 must be at least 0"):
        streams(data, -1, **how)


def test_gain_polarity_and_swap_stay_in_their_ranges():
    signal = np.stack([np.full(8, 0.25), np.full(8, -0.125)]).astype(np.float32)
    draws = np.random.default_rng(0).random((400, 3))
    augment = Augment(gain_db=6.0)
    factors, signs, swaps = [], [], []
    for draw in draws:
        out = augment.apply(signal, draw, 0.25)
        swaps.append(abs(out[0, 0]) < abs(out[1, 0]))
        left = out[1] if swaps[-1] else out[0]
        factors.append(abs(left[0]) / 0.25)
        signs.append(np.sign(left[0]))
    assert 0.501 <= min(factors) < 0.55 and 1.9 < max(factors) <= 1.996
    assert 0.4 < np.mean(swaps) < 0.6 and abs(np.mean(signs)) < 0.2
    np.testing.assert_array_equal(
        Augment(0.0, polarity=False, channel_swap=False).apply(signal, draws[0], 0.25), signal
    )
    assert np.abs(augment.apply(signal * 4, np.array([1.0, 1, 1]), 1.0)).max() == 1.0
    assert augment.apply(signal[:1], np.zeros(3), 0.25).shape == (1, 8)
    silent = augment.apply(np.zeros((1, 4), np.float32), np.ones(3), 0.0)
    assert not silent.any()


def test_augmentation_is_constant_along_a_recording_in_streams():
    data = counting([400, 300], channels=2)
    how = dict(batch=1, length=3, frame_samples=10, context=0, seed=2)
    steps = stream_steps(data, batch=1, length=3, frame_samples=10)
    factors: dict[tuple[int, int], set] = {}
    for step in range(2 * steps):
        plain = streams(data, step, **how).signal[0]
        changed = streams(data, step, augment=Augment(), **how).signal[0]
        at = int(np.abs(plain[0]).argmax())
        recording = int(numbers(plain[0, at : at + 1])[0] > 400)
        factor = round(float(changed[0, at] / plain[0, at]), 4)
        factors.setdefault((step // steps, recording), set()).add(factor)
    assert len(factors) == 4
    assert all(len(found) == 1 for found in factors.values())
    assert len(set.union(*factors.values())) == 4
