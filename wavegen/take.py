"""A take: variations of one seed drawn together, chosen by ear, held at its level, and watched.

Left alone for long, a model that feeds on its own samples wanders: louder, softer, into noise or
into silence. Three things keep a take sound. Of several ways to go on for a quarter of a second the
one is kept that is most like the moments the recordings have after such a seed; where it hangs on
the music how a control should stand (`config.tried`), they differ in it. The level is held: the
temperature gives way a little while the last instant, or the last second and a half, is louder than
the seed was, and comes back when it is softer. And a guard looks for what the recordings never
were; when it is found, the take goes back one second and is drawn again with other chance. All look
at a variation's own past only, so it stays the same in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from wavegen import consistent, moment
from wavegen.chance import normals, uniforms
from wavegen.climate import DEAD_SECONDS, SECONDS, Climate
from wavegen.nest import map_nest

BLOCK_SECONDS = 0.02  # drawn at one temperature
BACK = 4  # moments to go back: about one second
ATTEMPTS = 4  # to draw it otherwise, before it is let through
NUDGE = 0.08  # by how much each attempt lowers or raises the temperature
# Seconds whose level is held; dB above and below the seed's that are left to the music; by how much
# the temperature gives way for each dB beyond.
HOLDS = ((0.15, 6.0, np.inf, 0.02), (1.5, 3.0, 3.0, 0.01))
SILENT_DB = -80.0  # a softer seed has no level to keep to
WANDER_DB = 6.0  # the level of the last second and a half so far off is as strange as can be borne
LEAST, MOST = 0.7, 1.2  # temperature, at most, relative to the one asked for
CANDIDATES = 8  # of each moment, at most
SPECTRAL = 4  # of a spectral model; with eight no more of its continuations were clean
BEGINNING = 1 << 39  # position of the chance before the first, beyond any take's end
LOAD = 120000  # samples a second: more are not drawn in real time on one core


def default_candidates(config: Any) -> int:
    """Returns how many candidates a configuration draws in real time on one core, 2 .. 8.

    A spectral model, which is dozens of times faster, draws four.
    """
    if not config.level_is_held:
        return SPECTRAL
    return int(np.clip(round(LOAD / (config.sample_rate * config.channels)), 2, CANDIDATES))


Shares = dict[str, np.ndarray] | None  # of a control, by its name, one a row


class Place(NamedTuple):
    """Where a take is: a value, of several rows."""

    session: Any  # of the engine
    decoding: Any  # of the codec
    power: np.ndarray  # (rows, holds), mean square of what was last heard
    recent: np.ndarray  # (rows, channels, samples), the sound so far, its end
    position: int  # frames drawn since the seed ended

    def rows(self, index: Any) -> Place:
        """Returns the place of some rows, or of rows repeated."""
        return self.mapped(lambda array: np.asarray(array)[index])

    def put(self, row: int, other: Place) -> Place:
        """Returns a place in which one row is that of another place, which has no more than it."""

        def put(ours: Any, theirs: Any) -> np.ndarray:
            changed = np.array(ours)
            changed[row] = np.asarray(theirs)[0]
            return changed

        return self.mapped(put, other)

    def mapped(self, function: Callable, *others: Place) -> Place:
        """Returns a place of what the function makes of the arrays of this and other places."""
        nests = [(p.session, p.decoding, p.power, p.recent) for p in (self, *others)]
        session, decoding, power, recent = map_nest(function, *nests)
        return Place(session, decoding, power, recent, self.position)


class Take:
    """Draws rows of one seed from place to place; keeps nothing but what it was told to do."""

    def __init__(
        self,
        sampler: Any,
        heard: Any,
        rows: range,
        rng_seed: int,
        settings: dict[str, Any],
        held: bool,
    ) -> None:
        """Takes a sampler, what it heard, the variations, their chance and the controls.

        Args:
            sampler: a `sampling.Sampler`.
            heard: a `sampling.Heard`.
            rows: numbers of the variations.
            rng_seed: the user's number.
            settings: all controls of the family.
            held: whether to hold the seed's level.
        """
        self.sampler, self.rows, self.rng_seed, self.settings = sampler, rows, rng_seed, settings
        config = sampler.config
        self.rate, self.hop = config.sample_rate, sampler.codec.frame_samples
        # Where the level is not held there is nothing to decide within a moment.
        seconds = BLOCK_SECONDS if config.level_is_held else moment.SECONDS
        self.block = max(1, round(seconds * self.rate / self.hop))
        self.seconds = self.block * self.hop / self.rate
        self.moment = max(1, round(moment.SECONDS / self.seconds))  # blocks
        self.level_db = heard.level_db
        self.levelled = held and heard.level_db > SILENT_DB  # the level has a say in the choice
        self.held = self.levelled and config.level_is_held  # and leads the temperature
        kept = round(DEAD_SECONDS * self.rate)
        recent = heard.sound[:, -kept:]
        recent = np.pad(recent, [(0, 0), (kept - recent.shape[1], 0)])
        one = (heard.session, map_nest(lambda a: np.asarray(a)[None], heard.decoding))
        power = np.full((1, len(HOLDS)), 10 ** (heard.level_db / 10))
        begin = Place(*one, power, recent[None], heard.position)
        self.start = begin.rows(np.zeros(len(rows), int))

    def blocks(self, samples: int) -> int:
        """Returns how many blocks it takes to draw so many samples."""
        return -(-samples // (self.block * self.hop))

    def draw(
        self,
        place: Place,
        blocks: int,
        rows: list[int],
        attempt: Any = 0,
        nudge: float = 0.0,
        shares: Shares = None,
    ) -> tuple[np.ndarray, Place]:
        """Returns the next blocks `(rows, channels, samples)` and the place after them.

        Args:
            place: of these rows.
            blocks: how many.
            rows: which of the take's rows they are; one may be there more than once.
            attempt: 0, or which of the other chances to take; or one of them for each row.
            nudge: added to the temperature's factor.
            shares: of a control, by its name, that each row has of what was asked for.
        """
        voices = self.sampler.engine.open(place.session)
        drawn, after = self.go_on(voices, place, blocks, rows, attempt, nudge, shares)
        recent = np.concatenate([place.recent, drawn], axis=-1)[..., -place.recent.shape[-1] :]
        return drawn, after._replace(session=voices.session(), recent=recent)

    def go_on(
        self,
        voices: Any,
        place: Place,
        blocks: int,
        rows: list[int],
        attempt: Any = 0,
        nudge: float = 0.0,
        shares: Shares = None,
    ) -> tuple[np.ndarray, Place]:
        """Returns what `draw` does, by voices that are there already, which go on.

        Session and recent sound of the place stay as they were: who goes on with the voices needs
        neither.

        Args:
            voices: of the engine, where the place is.
            place: of `draw`, and so are the others.
            blocks: how many.
            rows: which of the take's rows they are.
            attempt: which chance to take.
            nudge: added to the temperature's factor.
            shares: of `draw`.
        """
        decoding, power, position, found = place.decoding, place.power, place.position, []
        variations = [self.rows[row] for row in rows]
        attempts = np.broadcast_to(attempt, len(rows)).tolist()
        share = np.array([-np.expm1(-self.seconds / seconds) for seconds, *_ in HOLDS])
        for _ in range(blocks):
            noise = self.chance(variations, attempts, position, decoding)
            frames = voices.draw(noise, **self.controls(rows, power, nudge, shares))
            signal, decoding = self.sampler.codec.decode_step(frames, decoding)
            found.append(signal)
            heard = np.mean(np.square(signal, dtype=np.float64), axis=(1, 2))[:, None]
            power = power + share * (heard - power)
            position += self.block
        after = place._replace(decoding=decoding, power=power, position=position)
        return np.concatenate(found, axis=-1), after

    def chance(
        self, variations: list[int], attempts: list[int], position: int, decoding: Any
    ) -> np.ndarray:
        """Returns uniforms and normals `(rows, frames, *noise_shape)` of the next block."""
        config, frames = self.sampler.config, self.block

        def drawn(variation: int, start: int, count: int) -> np.ndarray:
            return uniforms(self.rng_seed, variation, start, count, config.noise_shape)

        # Other chances lie far beyond any take's end.
        starts = [position + (number << 40) for number in attempts]
        rows = zip(variations, starts, strict=True)
        own = np.stack([drawn(variation, start, frames) for variation, start in rows])
        pairs = config.normals
        if not consistent.applies(config):
            if pairs.stop:
                own[:, :, pairs] = normals(own[:, :, pairs])
            return own

        def shared(at: int) -> np.ndarray:  # by all candidates of a variation
            each = {v: drawn(v, at, 1)[0] for v in set(variations)}
            return np.stack([each[v] for v in variations])

        before = shared(position - 1 if position else BEGINNING)
        last = shared(position + frames - 1)
        return consistent.white(own, before, last, pairs, self.sampler.codec, decoding.frame)

    def controls(
        self, rows: list[int], power: np.ndarray, nudge: float, shares: Shares = None
    ) -> dict[str, Any]:
        """Returns the controls of some rows for the next block; arguments are `go_on`'s."""
        given = {
            name: np.broadcast_to(value, len(self.rows))[rows]
            for name, value in self.settings.items()
        }
        for name, column in (shares or {}).items():
            given[name] = given[name] * column
        factor = np.full(len(rows), 1.0 + nudge)
        if self.held:
            columns = self.excess_db(power).T
            for column, (_, above, below, slope) in zip(columns, HOLDS, strict=True):
                beyond = np.maximum(column - above, 0.0) - np.maximum(-column - below, 0.0)
                factor -= slope * beyond
            factor = np.clip(factor, LEAST, MOST)
        if np.any(factor != 1.0):
            given["temperature"] = given["temperature"] * factor
        return {k: v if np.ptp(v) else float(v[0]) for k, v in given.items()}

    def excess_db(self, power: np.ndarray) -> np.ndarray:
        """Returns how much louder than the seed a mean square is, dB."""
        return 10 * np.log10(power + 1e-12) - self.level_db

    def plain(self, blocks: int) -> Iterator[np.ndarray]:
        """Yields block after block, neither chosen nor watched."""
        place, rows = self.start, list(range(len(self.rows)))
        voices = self.sampler.engine.open(place.session)
        for _ in range(blocks):
            signal, place = self.go_on(voices, place, 1, rows)
            yield signal

    def choose(
        self,
        place: Place,
        rows: list[int],
        climate: Climate,
        candidates: int,
        attempt: int = 0,
        nudge: float = 0.0,
    ) -> tuple[np.ndarray, Place]:
        """Returns the next moment, the candidate most like the recordings', and the place after.

        Args:
            place: of these rows.
            rows: which of the take's rows they are.
            climate: of the recordings.
            candidates: drawn of each row.
            attempt: 0, or which of the other sets of chances to take.
            nudge: added to the temperature's factor.
        """
        each = np.repeat(np.arange(len(rows)), candidates)
        all_rows = [rows[i] for i in each]
        way = np.arange(len(each)) % candidates
        chances = attempt * candidates + way
        shares = {
            name: np.resize(values, candidates)[way]
            for name, values in self.sampler.config.tried.items()
        }
        drawn, after = self.draw(place.rows(each), self.moment, all_rows, chances, nudge, shares)
        if candidates == 1:
            return drawn, after
        sound = after.recent[..., -moment.SHARE * round(moment.SECONDS * self.rate) :]
        aim = np.full(len(each), max(self.level_db, climate.top_db - moment.RANGE_DB))
        strange = climate.strangeness(sound, self.rate, aim)
        if self.levelled:
            strange += np.square(self.excess_db(after.power)[:, -1] / WANDER_DB)
        strange = np.maximum(strange, self.sampler.config.enough)  # the first of those as usual
        best = np.argmin(strange.reshape(-1, candidates), axis=1)
        kept = np.arange(len(rows)) * candidates + best
        return drawn[kept], after.rows(kept)

    def guarded(
        self,
        blocks: int,
        climate: Climate,
        candidates: int,
        tell: Callable[[int, float, str], None],
        firm: Sequence[int] = (),
    ) -> Iterator[np.ndarray]:
        """Yields moments, each only after a second more has been drawn and found sound.

        Args:
            blocks: to yield in all, or a few more.
            climate: of the recordings.
            candidates: of each moment, from which one is chosen.
            tell: is told the variation, the second of the take and what had gone wrong.
            firm: numbers of blocks, before which nothing is drawn again once they are there.
        """
        rows = list(range(len(self.rows)))
        places = [self.start]  # before each moment held back, and the last
        held: list[np.ndarray] = []
        ends = {-(-end // self.moment) for end in firm}
        for done in range(-(-blocks // self.moment)):
            if done in ends:
                yield from held
                places, held = places[-1:], []
            signal, place = self.choose(places[-1], rows, climate, candidates)
            held.append(signal)
            places.append(place)
            for row in rows:
                self.mend(row, places, held, climate, candidates, tell)
            if len(held) > BACK:
                yield held.pop(0)
                places.pop(0)
        yield from held

    def complaint(self, place: Place, row: int, climate: Climate) -> str:
        """Returns what is wrong with a row's end, or "" while too little of it was drawn."""
        drawn = (place.position - self.start.position) * self.hop
        if drawn < round(SECONDS * self.rate):
            return ""
        return climate.complaint(place.recent[row][:, -drawn:], self.rate)

    def mend(
        self,
        row: int,
        places: list[Place],
        held: list[np.ndarray],
        climate: Climate,
        candidates: int,
        tell: Callable[[int, float, str], None],
    ) -> None:
        """Draws the last second of one row again, in place, if it has gone wrong."""
        wrong = self.complaint(places[-1], row, climate)
        if not wrong:
            return
        back = min(BACK, len(held))
        began = places[-1 - back].rows([row])
        tell(self.rows[row], (began.position - self.start.position) * self.hop / self.rate, wrong)
        for attempt in range(1, ATTEMPTS + 1):
            nudge = NUDGE * attempt * (1 if wrong == climate.DEAD else -1)
            place, mended, trail = began, list[np.ndarray](), list[Place]()
            for _ in range(back):
                signal, place = self.choose(place, [row], climate, candidates, attempt, nudge)
                mended, trail = [*mended, signal[0]], [*trail, place]
            if not self.complaint(place, 0, climate):
                break
        for i in range(back):
            held[i - back][row] = mended[i]
            places[i - back] = places[i - back].put(row, trail[i])
