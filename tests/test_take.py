from types import SimpleNamespace

import numpy as np
import pytest

from wavegen.climate import Climate, level_db
from wavegen.guard import ATTEMPTS, Guard
from wavegen.holding import LEVEL_DB
from wavegen.sampling import Heard
from wavegen.take import Take

RATE = 1000
CLIMATE = Climate(
    softest_db=-45.0,
    loudest_db=-25.0,
    flatness=0.2,
    clipped=0.0,
    top_db=0.0,
    usual=(0.0,),
    doubt=(1.0,),
    precision=(1.0,),
)


class Wanderer:
    """An engine whose sound is a tone that drifts: its level in dB is the session.

    At temperature 1 it drifts by `drift` dB a second, and by `answer` dB a second more or less for
    each unit of temperature; `breaks(position seconds, first uniform)` may make it run away.
    """

    def __init__(self, drift=0.0, answer=200.0, breaks=lambda second, uniform: 0.0):
        self.drift, self.answer, self.breaks = drift, answer, breaks

    def open(self, session):
        owner, begun = self, session

        class Voices:
            now = begun

            def session(self):
                return self.now

            def draw(self, noise, temperature):
                level, time = self.now
                count, frames, _ = noise.shape
                warmth = np.broadcast_to(temperature, count) - 1.0
                seconds = frames / RATE
                out = np.zeros((count, frames, 1), np.float32)
                moved = np.array(level, np.float64)
                for row in range(count):
                    moved[row] += (owner.drift + owner.answer * warmth[row]) * seconds
                    moved[row] += owner.breaks(float(time[row]), float(noise[row, 0, 0]))
                    at = time[row] + np.arange(frames) / RATE
                    tone = 10 ** (moved[row] / 20) * np.sqrt(2) * np.sin(2 * np.pi * 100 * at)
                    out[row, :, 0] = tone
                self.now = (moved, time + seconds)
                return out

        return Voices()


class Plain:
    frame_samples, channels = 1, 1

    def decode_step(self, frames, state):
        return np.swapaxes(frames, 1, 2), state


def sampler(engine, level_is_held=True, rests=False):
    config = SimpleNamespace(sample_rate=RATE, level_is_held=level_is_held, tried={}, enough=0.0)
    config.noise_shape, config.rests = (1,), rests
    config.normals = config.swings = slice(0, 0)
    config.n_fft = config.hop_length = 1
    return SimpleNamespace(config=config, codec=Plain(), engine=engine)


def take(engine, rows=range(1), held=True, **kind):
    sound = 10 ** (-35 / 20) * np.sqrt(2) * np.sin(np.arange(2 * RATE) * 0.2 * np.pi)
    heard = Heard((np.array([-35.0]), np.zeros(1)), (), 0, -35.0, sound[None].astype("float32"))
    return Take(sampler(engine, **kind), heard, rows, 5, {"temperature": 1.0}, held=held)


def blocks(seconds):
    return round(seconds / 0.02)


@pytest.mark.parametrize("drift", [-6.0, 6.0])
def test_the_level_of_the_seed_is_held(drift):
    free = np.concatenate(list(take(Wanderer(drift), held=False).plain(blocks(10))), axis=-1)
    held = np.concatenate(list(take(Wanderer(drift)).plain(blocks(10))), axis=-1)
    assert abs(level_db(free[..., -RATE:]) + 35) > 30
    assert abs(level_db(held[..., -RATE:]) + 35) < 8


@pytest.mark.parametrize(
    ("drift", "held", "bolder"), [(-6, True, True), (6, True, False), (-6, False, False)]
)
def test_an_lstm_that_rests_for_long_is_bolder_and_only_then(drift, held, bolder):
    """In any blocks, and no bolder than it may be."""
    kind, engine = dict(level_is_held=False, rests=True, held=held), Wanderer(drift, answer=20.0)
    one = take(engine, **kind)
    parts, after = [], one.start
    for _ in range(40):
        part, after = one.draw(after, 1, [0])
        parts.append(part)
    sound = np.concatenate(parts, axis=-1)
    if held:
        at_once, _ = one.draw(one.start, 15, [0])
        assert np.array_equal(sound[..., : at_once.shape[-1]], at_once)
    changed = level_db(sound[..., -RATE:]) - level_db(sound[..., -2 * RATE : -RATE])
    if bolder:
        assert -20 < level_db(sound[..., -RATE:]) + 35 < 0
    else:
        assert changed == pytest.approx(drift, abs=0.2)
    deaf = one.controls([0], np.zeros_like(after.power), 0.0)
    assert deaf["temperature"] == (1.5 if held else 1.0)


@pytest.mark.parametrize("off", [-20.0, -5.0, -0.8, 0.8, 5.0, 20.0])
@pytest.mark.parametrize(
    ("kind", "count", "down", "first", "steepest"),
    [
        ({"level_is_held": False, "rests": True}, 100, 6.0, 0.1, 0.2501),
        ({}, 1200, 14.0, 0.15, 0.65),
    ],
)
def test_what_got_louder_or_softer_is_slowly_turned_back(kind, count, down, first, steepest, off):
    """By all but what is left to the music, but within bounds; its own doing is not touched."""
    one = take(Wanderer(answer=0.0), **kind)
    jump = np.array([-35.0 + off]), np.zeros(1)
    sound, after = one.draw(one.start._replace(session=jump), count, [0])
    alone = np.swapaxes(Wanderer().open(jump).draw(np.zeros((1, sound.shape[-1], 1)), 1.0), 1, 2)
    gain = 20 * np.log10(np.abs(sound[..., 3::10]) / np.abs(alone[..., 3::10]))[0, 0]
    turned = np.clip(np.clip(off, -LEVEL_DB, LEVEL_DB) - off, -down, 6.0)
    assert gain[-1] == pytest.approx(turned, abs=0.3)
    assert abs(gain[0]) < first and np.abs(np.diff(gain)).max() < steepest  # in 10 ms, no step
    if one.held:  # the temperature gives way for what was drawn, however it is heard
        assert np.allclose(one.excess_db(after.power), off, atol=0.3)
    if abs(off) < LEVEL_DB:
        assert np.allclose(sound, alone, rtol=0, atol=1e-6)


def test_within_the_band_nothing_is_touched():
    a, b = (
        np.concatenate(list(take(Wanderer(0.5), held=held).plain(blocks(4))), axis=-1)
        for held in (True, False)
    )
    assert np.array_equal(a, b)


def breaks_once(second, uniform):
    """Jumps by 60 dB at 2.3 s by the first chance; the other chances are sound."""
    return 60.0 if abs(second - 2.3) < 0.011 and abs(uniform - first_uniform(2.3)) < 1e-6 else 0.0


def first_uniform(second, variation=0):
    from wavegen.chance import uniforms

    return float(uniforms(5, variation, round(second * RATE), 1, (1,))[0, 0])


def test_what_runs_away_is_drawn_again_from_a_second_before():
    told = []
    watched = take(Wanderer(breaks=breaks_once), held=False)
    parts = Guard(watched, CLIMATE, 1, lambda *what: told.append(what)).blocks(blocks(5))
    sound = np.concatenate(list(parts), axis=-1)
    assert 5 * RATE <= sound.shape[-1] < 5.24 * RATE  # whole moments
    assert told == [(0, 1.44, "runaway")]  # a second before the end of the moment of 2.3 s
    levels = [level_db(sound[..., at : at + 500]) for at in range(0, 5000, 500)]
    assert max(levels) < -30
    loose = np.concatenate(
        list(take(Wanderer(breaks=breaks_once), held=False).plain(blocks(5))), axis=-1
    )
    assert level_db(loose) > 10  # without the guard it happens
    assert np.array_equal(loose[..., :1440], sound[..., :1440])


def test_the_first_moment_is_not_waited_for_and_the_guard_draws_ahead_by_more_and_more():
    watched, drawn = take(Wanderer(), held=False), []
    draw = watched.draw
    watched.draw = lambda *given: (drawn.append(None), draw(*given))[1]
    arrivals = [len(drawn) for _ in Guard(watched, CLIMATE, 1, print).blocks(blocks(3))]
    assert arrivals == [1, 3, 5, 7, 9, 10, 11, 12, 13, 13, 13, 13, 13]


def test_what_was_once_the_end_stays_when_the_take_is_played_on():
    def sound(seconds, firm, told):
        watched = take(Wanderer(breaks=breaks_once), held=False)
        parts = Guard(watched, CLIMATE, 1, lambda *w: told.append(w)).blocks(blocks(seconds), firm)
        return np.concatenate(list(parts), axis=-1)

    told, retold = [], []
    first = sound(2.16, [], told)
    longer = sound(5, [blocks(2.16)], retold)
    assert told == [] and retold == [(0, 2.16, "runaway")]  # no further back than the end
    assert np.array_equal(longer[..., : first.shape[-1]], first)
    assert not np.array_equal(sound(5, [], told)[..., : first.shape[-1]], first)


class Coin:
    """An engine that plays a soft or a loud tone for a moment, as the first uniform has it."""

    def __init__(self, loud_db=-35.0):
        self.loud_db = loud_db

    def open(self, session):
        begun, loud_db = session, self.loud_db

        class Voices:
            now = begun

            def session(self):
                return self.now

            def draw(self, noise, temperature):
                loud, time = self.now
                count, frames, _ = noise.shape
                begins = time % 240 == 0
                loud = np.where(begins, np.where(noise[:, 0, 0] < 0.5, -60.0, loud_db), loud)
                tone = np.sin(2 * np.pi * 0.1 * (time[:, None] + np.arange(frames)))
                self.now = (loud, time + frames)
                return (10 ** (loud[:, None] / 20) * tone).astype("float32")[..., None]

        return Voices()


def test_the_candidate_most_like_the_recordings_is_kept(monkeypatch):
    sound = np.zeros((1, 2 * RATE), "float32")
    heard = Heard((np.array([-35.0]), np.zeros(1, int)), (), 0, -35.0, sound)

    def levels(candidates, rows=range(2)):
        begun = Take(sampler(Coin()), heard, rows, 5, {"temperature": 1.0}, held=False)
        parts = list(Guard(begun, CLIMATE, candidates, lambda *what: None).blocks(blocks(12)))
        return np.array([[level_db(row) for row in part] for part in parts])

    def strangeness(self, sound, sample_rate, aim_db):  # the louder, the more like the music
        assert sound.shape[1:] == (1, 720) and np.allclose(aim_db, -35)
        return np.array([-level_db(row[:, -240:]) for row in sound])

    monkeypatch.setattr(Climate, "strangeness", strangeness)
    alone, chosen = levels(1), levels(8)
    assert 0.3 < np.mean(alone > -40) < 0.7
    assert np.mean(chosen > -40) > 0.97
    assert np.array_equal(chosen[:, 1:], levels(8, range(1, 2)))  # whoever else is drawn


def test_a_candidate_that_would_be_cut_off_is_not_kept_where_another_would_not(monkeypatch):
    """However usual it is otherwise; one that is louder by a trifle may be."""
    heard = Heard((np.array([-60.0]), np.zeros(1, int)), (), 0, -35.0, np.zeros((1, 2 * RATE)))
    monkeypatch.setattr(Climate, "strangeness", lambda self, sound, *_: np.zeros(len(sound)))
    for loud_db, kept in ((9.0, False), (-1.0, True)):
        engine = sampler(Coin(loud_db), level_is_held=False)
        engine.config.enough = 1.5
        begun = Take(engine, heard, range(2), 5, {"temperature": 1.0}, held=False)
        parts = list(Guard(begun, CLIMATE, 8, lambda *what: None).blocks(12))
        loud = np.mean([[level_db(row) > -40 for row in part] for part in parts])
        assert 0.2 < loud < 0.8 if kept else loud < 0.03


class Loud:
    """An engine that is as loud as it is told, dB."""

    def open(self, session):
        self.now = session
        return self

    def session(self):
        return self.now

    def draw(self, noise, temperature, loud):
        count, frames, _ = noise.shape
        tone = np.sin(2 * np.pi * 0.1 * np.arange(frames))
        return (10 ** (np.broadcast_to(loud, count)[:, None, None] / 20) * tone[:, None]).astype(
            "f4"
        )


def test_candidates_differ_in_a_control_where_the_family_says_so(monkeypatch):
    sound = np.zeros((1, 2 * RATE), "float32")
    heard = Heard((np.zeros(1),), (), 0, -35.0, sound)
    monkeypatch.setattr(
        Climate,
        "strangeness",
        lambda self, sound, rate, aim: np.array([-level_db(row[:, -240:]) for row in sound]),
    )

    def level(candidates, tried):
        begun = sampler(Loud())
        begun.config.tried = tried
        taken = Take(begun, heard, range(1), 5, {"temperature": 1.0, "loud": -30.0}, held=False)
        return level_db(
            next(Guard(taken, CLIMATE, candidates, lambda *what: None).blocks(blocks(2)))[0]
        )

    assert level(1, {"loud": (1.0, 0.5)}) == pytest.approx(-33, abs=0.1)  # as asked for
    assert level(3, {"loud": (1.0, 1.5, 0.5)}) == pytest.approx(-18, abs=0.1)
    assert level(3, {}) == pytest.approx(-33, abs=0.1)


@pytest.mark.parametrize(("best", "bound"), [(0.5, 0.125), (2.0, 2.5), (1.0, 1.0)])
def test_what_the_ear_keeps_leads_on_unless_the_user_has_spoken(monkeypatch, best, bound):
    """Moment after moment, within bounds; of each row by itself."""
    heard = Heard((np.zeros(1),), (), 0, -35.0, np.zeros((1, 2 * RATE), "float32"))
    asked: list[np.ndarray] = []

    class Told(Loud):
        def draw(self, noise, temperature, noisiness):
            asked.append(np.broadcast_to(noisiness, len(noise)))
            return super().draw(noise, temperature, -30.0 - np.log2(asked[-1]))

    def strangeness(self, sound, rate, aim):  # the one with the best share of them, for a while
        shares = asked[-1].reshape(-1, 3)
        return np.abs(shares / shares[:, :1] - (best if len(asked) <= 40 else 1.0)).ravel()

    monkeypatch.setattr(Climate, "strangeness", strangeness)

    def shares(*numbers):
        begun = sampler(Told(), level_is_held=False)
        begun.config.tried, begun.controls = {"noisiness": (1.0, 0.5, 2.0)}, {"noisiness": 0.4}
        settings = {"temperature": 1.0, "noisiness": np.array(numbers)}
        rows = range(len(numbers))
        guard = Guard(Take(begun, heard, rows, 5, settings, held=False), CLIMATE, 3, print)
        place, found = guard.take.start, []
        for _ in range(140):
            place = guard.choose(place, list(rows))[1]
            found.append(asked[-1].reshape(-1, 3)[:, 0] / numbers)
        return np.array(found)

    both = shares(0.4, 0.5)
    np.testing.assert_allclose(both[:3, 0], best ** np.array([0, 0.3, 0.588]), rtol=1e-6)
    assert both[40, 0] == pytest.approx(bound) and np.all(both[:, 1] == 1.0)
    assert both[-1, 0] == pytest.approx(1.0, abs=0.06)  # and comes back once nothing is better
    asked.clear()
    assert np.array_equal(both[:, :1], shares(0.4))


def test_a_row_that_is_drawn_again_does_not_touch_its_neighbours():
    def chunks(rows, told):
        watched = take(Wanderer(breaks=breaks_once), rows, held=False)
        parts = Guard(watched, CLIMATE, 1, lambda *what: told.append(what)).blocks(blocks(4))
        return np.concatenate(list(parts), axis=-1)

    told = []
    both = chunks(range(2), told)
    assert [variation for variation, *_ in told] == [0]
    assert np.array_equal(both[1:], chunks(range(1, 2), []))
    assert np.array_equal(both[:1], chunks(range(1), []))


def test_dead_air_is_warmed_up():
    """What only a higher temperature wakes is woken."""
    told = []

    def dies(second, uniform):
        return -50.0 if abs(second - 1.0) < 0.011 else 0.0

    watched = take(Wanderer(breaks=dies, answer=400.0), held=False)
    parts = Guard(watched, CLIMATE, 1, lambda *what: told.append(what)).blocks(blocks(8))
    sound = np.concatenate(list(parts), axis=-1)
    assert told and told[0][2] == "dead air"
    assert level_db(sound[..., -1000:]) > -60


def test_what_cannot_be_mended_goes_on_and_is_told():
    told = []
    watched = take(Wanderer(breaks=lambda s, u: 60.0 if 2.29 < s < 2.31 else 0.0), held=False)
    parts = Guard(watched, CLIMATE, 1, lambda *what: told.append(what)).blocks(blocks(4))
    assert 4 * RATE <= sum(part.shape[-1] for part in parts) < 4.24 * RATE
    assert told and ATTEMPTS < 10


def test_climate_of_recordings_and_its_complaints(recordings):
    from wavegen import dataset

    data = dataset.load([recordings], sample_rate=8000, channels=1)
    climate = Climate.of(data)
    assert climate.softest_db < climate.loudest_db < 0
    assert Climate.from_facts(vars(climate), 1) == climate
    for none in (None, [], {"loudest_db": "x"}, {**vars(climate), "usual": [[1.0], [1.0, 2.0]]}):
        assert Climate.from_facts(none, 1) is None
    assert Climate.from_facts(vars(climate), 2) is None  # of mono, where the model is stereo
    for recording, start, stop in data.segments("train"):
        music = data.signal(recording, start, stop)
        for end in range(4000, music.shape[1], 2000):
            assert climate.complaint(music[:, :end], 8000) == ""
    rng = np.random.default_rng(0)
    noise = 10 ** (climate.loudest_db / 20) * rng.standard_normal((1, 4000))
    tone = np.sin(np.arange(4000) * 0.3)[None]
    assert climate.complaint(noise.astype("float32"), 8000) == "noise"
    assert climate.complaint(np.clip(9 * tone, -1, 1), 8000) in ("runaway", "clipping")
    assert climate.complaint(np.zeros((1, 12000)), 8000) == "dead air"
    assert climate.complaint(np.zeros((1, 8000)), 8000) == ""


def test_music_is_less_strange_than_what_is_none(recordings):
    from wavegen import dataset

    data = dataset.load([recordings], sample_rate=8000, channels=1)
    climate, size = Climate.of(data), 3 * 1920
    recording, start, stop = data.segments("train")[0]
    music = data.signal(recording, start, stop)
    cuts = np.stack([music[:, at : at + size] for at in range(0, music.shape[1] - size, 960)])
    level = level_db(music)

    def strangeness(sounds):
        return climate.strangeness(sounds, 8000, np.full(len(sounds), level))

    usual = strangeness(cuts)
    assert 0.4 < usual.mean() < 2.5
    rng = np.random.default_rng(0)
    noise = 10 ** (level / 20) * rng.standard_normal((4, 1, size)).astype("float32")
    tone = 10 ** (level / 20) * np.sin(np.arange(size) * 0.3)[None, None].astype("float32")
    for sound in (noise, tone, 0 * tone, cuts[:1] + 0.1, 10 * cuts[:4], cuts[:4] / 30):
        assert strangeness(sound).min() > 2 * usual.mean()


def test_moments_of_a_stereo_sound_know_its_width():
    from wavegen import moment

    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((2, 3 * 1920)).astype("float32")
    rows = np.stack([np.stack([left, right]), np.stack([left, left + 0.1 * right])])
    found = moment.features(rows, 8000, np.zeros(2), 0.0)
    assert found.shape == (2, moment.count(2)) and np.isfinite(found).all()
    assert abs(found[0, -1]) < 1 and found[1, -1] < -20
    mono = moment.features(rows[:, :1], 8000, np.zeros(2), 0.0)
    assert mono.shape == (2, moment.count(1)) and np.allclose(mono[0], mono[1])


def test_a_spectral_model_draws_whole_moments():
    """Nothing leads its temperature within a moment, and each call of its engine costs."""
    begun = sampler(Wanderer(0.0), level_is_held=False)
    sound = 0.01 * np.ones((1, 2 * RATE), "float32")
    heard = Heard((np.array([-35.0]), np.zeros(1)), (), 0, -35.0, sound)
    taken = Take(begun, heard, range(1), 5, {"temperature": 1.0}, held=True)
    assert (taken.block, taken.moment, taken.held) == (240, 1, False)
    parts = list(taken.plain(7))  # the first by itself, for it is waited for; so is the second
    assert [part.shape[-1] // 240 for part in parts] == [1, 1, 4, 1]
