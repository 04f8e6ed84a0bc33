"""What was heard comes again: the forward algorithm, a loop, and what is not kept."""

import keras
import numpy as np
import pytest
from conftest import make_model, strokes
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from wavegen.models import recall as rules
from wavegen.models.recall import Recall

CODES, FEATURES, ENTRIES = 5, 4, 12


def material(rng, batch, time, of=3):
    """Returns what `step` takes of frames; those with a label were drawn."""
    bands = rng.normal(0, 1, (batch, time, FEATURES)).astype("float32")
    code = rng.integers(0, CODES, (batch, time)).astype("int32")
    heard, sounding = (rng.integers(0, of, (2, batch, time)) > 0).astype(bool)
    return bands, np.zeros((batch, time, 1), "float32"), code, heard, sounding


def stepped(memory, given, state=None):
    """Returns all that is recalled, as one array, and the state."""
    state = memory.initial_state(len(given[0])) if state is None else state
    recalled, state = memory.step(*map(ops.convert_to_tensor, given), state)
    return np.concatenate([np.asarray(part) for part in recalled], axis=-1), state


def by_hand(bands, code, heard, sounding):
    """Yields what is recalled after each frame of one stream: the model, spelt out."""
    kept, place, begun, total, weight = [], np.zeros(0), 0, np.zeros(2), 0.0
    pole = np.exp(-1 / rules.PACE)
    for now, name, is_heard, sounds in zip(bands, code, heard, sounding, strict=True):
        begun += is_heard and sounds
        moved = np.append(0.0, place[:-1])
        if is_heard and begun > rules.BEGUN:
            known = bool(kept)
            floor = -rules.AUDIBLE
            before = np.maximum(kept[-1][0] if known else now, floor)
            more = np.maximum(now, floor) - before
            change = np.array([np.abs(more).mean(), np.abs(more.mean())])
            total, weight = pole * total + (1 - pole) * change, pole * weight + (1 - pole) * known
            moved, kept = np.append(0.0, place), [*kept, (now, name)]
        kept, moved = kept[-ENTRIES:], moved[-len(kept) :][-ENTRIES:]
        count, place = len(kept) - 1, moved
        if count < 1:
            yield None
            continue
        moved[-1] = 0.0  # nothing follows it
        likely = np.array([
            np.exp(-np.square(now - a).mean() / 2 / rules.WIDTH**2) + rules.ALIKE
            if is_heard else rules.OTHER + (name == c)
            for a, c in kept
        ])  # fmt: skip
        prior = (1 - rules.JUMP) * moved
        prior[:-1] += (1 - prior.sum()) / count
        place = prior * likely
        place[-1] = 0.0
        place /= place.sum()
        ahead = (1 - rules.JUMP) * place[:-1] + rules.JUMP / count
        codes = np.bincount([c for _, c in kept[1:]], ahead, CODES)
        means = ahead @ np.array([a for a, _ in kept[1:]])
        change, common = total / weight
        counts = np.clip((change - rules.STEADY) / (rules.STROKES - rules.STEADY), 0, 1)
        together = (common / change - rules.EACH) / (rules.TOGETHER - rules.EACH)
        yield codes, means, counts * np.clip(together, 0, 1)


def test_it_is_the_forward_algorithm():
    rng = np.random.default_rng(0)
    given = material(rng, 3, 40)
    found, _ = stepped(Recall(ENTRIES, CODES, FEATURES), given)
    bands, _, code, heard, sounding = given
    known = 0
    for row in range(3):
        hand = by_hand(*(part[row] for part in (bands, code, heard, sounding)))
        for t, wanted in enumerate(hand):
            counts = found[row, t, -1]
            if wanted is None:
                assert counts == 0
                continue
            known += 1
            wanted = np.concatenate([*wanted[:2], [wanted[2]]])
            np.testing.assert_allclose(found[row, t], wanted, atol=2e-4)
    assert known > 80


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_in_blocks_as_in_one(seed, sizes):
    """Whatever was heard and whatever drawn, and wherever it is cut."""
    memory, given = Recall(ENTRIES, CODES, FEATURES), material(np.random.default_rng(seed), 2, 20)
    whole, after = stepped(memory, given)
    parts, state, start = [], None, 0
    for size in [*sizes, 20 - sum(sizes)]:
        if size > 0 and start < 20:
            cut = [part[:, start : start + size] for part in given]
            found, state = stepped(memory, cut, state)
            parts, start = [*parts, found], start + size
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-4)
    for ours, theirs in zip(keras.tree.flatten(state), keras.tree.flatten(after), strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-4)


def loop(period, times, rng):
    """Returns a loop of strokes as `material` has it, all heard."""
    bands = np.tile(rng.normal(0, 1, (1, period, FEATURES)), (1, times, 1)).astype("float32")
    code = np.tile(rng.integers(0, CODES, (1, period)), (1, times)).astype("int32")
    true = np.ones(code.shape, bool)
    return bands, np.zeros((*code.shape, 1), "float32"), code, true, true


def test_a_loop_is_foretold_and_goes_on_by_its_codes_alone():
    memory = Recall(32, CODES, FEATURES)
    bands, loudest, code, heard, sounding = loop(9, 4, np.random.default_rng(3))
    found, state = stepped(memory, (bands, loudest, code, heard, sounding))
    said = np.take_along_axis(found[:, :-1, :CODES], code[:, 1:, None], axis=-1)[0, :, 0]
    assert said[15:].min() > 0.85 and found[0, 15:, -1].min() == 1
    apart = np.abs(found[0, :-1, CODES:-1] - bands[0, 1:]).mean(axis=-1)
    assert apart[15:].max() < 0.2 < apart[:8].mean()
    drawn = np.zeros_like(heard)
    going, after = stepped(memory, (bands * 0, loudest, code, drawn, sounding), state)
    said = np.take_along_axis(going[:, :-1, :CODES], code[:, 1:, None], axis=-1)[0, :, 0]
    assert np.median(said) > 0.7
    for ours, theirs in zip(after[:2], state[:2], strict=True):  # what was drawn is not kept
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_silence_before_a_sound_is_not_kept_and_the_past_is_as_long_as_it_may_be():
    memory, given = Recall(8, CODES, FEATURES), list(loop(5, 4, np.random.default_rng(1)))
    given[4] = np.arange(20)[None] >= 10
    _, (bands, codes, *_) = stepped(memory, [part[:, :14] for part in given])
    assert (np.asarray(codes)[0] >= 0).sum() == 4 - rules.BEGUN
    _, (bands, codes, *_) = stepped(memory, given)
    assert np.array_equal(np.asarray(codes)[0], given[2][0, -8:])
    assert np.array_equal(np.asarray(bands)[0], given[0][0, -8:])


def test_where_sound_lasts_it_counts_for_nothing():
    bands, *rest = loop(9, 4, np.random.default_rng(3))
    found, _ = stepped(Recall(32, CODES, FEATURES), (0.05 * bands, *rest))
    assert (found[..., -1] == 0).all()


def test_where_bands_change_each_for_itself_it_counts_for_nothing():
    rng, memory = np.random.default_rng(5), Recall(64, CODES, 300)
    bands = rng.normal(0, 0.5, (1, 60, 300)).astype("float32")  # as of noise, or many strings
    together = bands + rng.normal(0, 0.5, (1, 60, 1)).astype("float32")
    true = np.ones((1, 60), bool)
    rest = np.zeros((1, 60, 1), "float32"), np.zeros((1, 60), "int32"), true, true
    assert (stepped(memory, (bands, *rest))[0][0, 10:, -1] == 0).all()
    assert stepped(memory, (together, *rest))[0][0, 10:, -1].min() == 1


@pytest.mark.slow
def test_a_model_that_is_told_to_remembers_and_in_training_does_not():
    model = make_model("spectral_lstm", channels=2)
    frames = strokes(model, time=40)
    y, state = model.step(frames, model.initial_state(2))
    seen = model.head.seen(y)
    assert np.asarray(seen.counts)[:, 8:].min() > 0.5
    learned = np.asarray(keras.ops.log_softmax(model.head.out(seen.hidden)))
    without, with_it = (np.asarray(model.head.logits(seen, m)) for m in (0.0, 1.0))
    np.testing.assert_allclose(without, learned, atol=1e-5)
    assert np.abs(with_it - learned).max() > 0.1
    from wavegen.feed import Disturbed

    config = model.config
    same = Disturbed(
        np.full((2, 40), -1, "int32"),
        np.ones((config.layers + 1, 2, 1, config.units), "float32"),
        np.zeros((2, 41, 2, model.head.coefficients), "float32"),
    )
    y, after = model.step(frames, state, same)
    assert (np.asarray(model.head.seen(y).counts) == 0).all()
    for ours, theirs in zip(after[-1], state[-1], strict=True):
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))
