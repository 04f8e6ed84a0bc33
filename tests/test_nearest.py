import numpy as np
import pytest

from wavegen.nearest import nearest_seconds

RATE = 16000


def music(seed, seconds):
    """Notes of random pitch and length over a little noise."""
    rng = np.random.default_rng(seed)
    out = 1e-3 * rng.standard_normal((1, seconds * RATE))
    at = 0
    while at < out.shape[1] - RATE:
        size = int(RATE * rng.uniform(0.1, 0.5))
        time = np.arange(size) / RATE
        tone = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(100, 4000, 3))
        out[0, at : at + size] += 0.1 * tone * np.exp(-4 * time)
        at += size
    return out.astype("float32")


@pytest.mark.slow
def test_a_copied_second_is_found_whatever_its_gain():
    recordings = [music(1, 6), music(2, 9)]
    start = 100 * 256 * 2  # on the grid of 32 ms
    sound = 0.3 * recordings[1][:, start : start + 2 * RATE]
    first = nearest_seconds(sound, recordings, RATE)[0]
    assert first.similarity > 0.999
    assert (first.recording, first.second) == (1, 0.0)
    assert abs(first.at - start / RATE) < 1e-6


def test_other_music_of_the_same_kind_is_less_alike():
    recordings = [music(1, 6), music(2, 9)]
    found = nearest_seconds(music(3, 6), recordings, RATE)
    assert len(found) == 6
    assert max(each.similarity for each in found) < 0.95
    assert [each.second for each in found] == [round(0.992 * i, 3) for i in range(6)]


def test_too_short_a_sound_has_no_second_and_too_short_a_recording_holds_none():
    assert nearest_seconds(music(1, 2)[:, : RATE // 2], [music(2, 3)], RATE) == []
    alone = nearest_seconds(music(1, 3), [music(2, 2)[:, : RATE // 2]], RATE)
    assert all(each.similarity == -1.0 for each in alone)
