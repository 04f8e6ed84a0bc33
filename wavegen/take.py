"""A take: variations of one seed drawn together, held at its level, and watched.

Left alone for long, a model that feeds on its own samples wanders: louder, softer, into noise or
into silence. Two things keep a take sound. The level is held: the temperature gives way a little
while the last instant, or the last second and a half, is louder than the seed was, and comes back
when it is softer. And a guard compares each half second with what the recordings ever were; when it
has gone wrong, the take goes back one second and is drawn again with other chance. Both look at a
variation's own past only, so it stays the same in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from wavegen.chance import uniforms
from wavegen.climate import Climate
from wavegen.nest import map_nest

BLOCK_SECONDS = 0.02  # drawn at one temperature
CHUNK = 25  # blocks that the guard judges together: half a second
BACK = 2  # chunks to go back: one second
ATTEMPTS = 4  # to draw it otherwise, before it is let through
NUDGE = 0.08  # by how much each attempt lowers or raises the temperature
# Seconds whose level is held; dB above and below the seed's that are left to the music; by how much
# the temperature gives way for each dB beyond.
HOLDS = ((0.15, 6.0, np.inf, 0.02), (1.5, 3.0, 3.0, 0.01))
SILENT_DB = -80.0  # a softer seed has no level to keep to
LEAST, MOST = 0.5, 1.1  # temperature, at most, relative to the one asked for


class Place(NamedTuple):
    """Where a take is: a value, of several rows."""

    session: Any  # of the engine
    decoding: Any  # of the codec
    power: np.ndarray  # (rows, holds), mean square of what was last heard
    position: int  # frames drawn since the seed ended


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
        self.hop = sampler.codec.frame_samples
        self.block = max(1, round(BLOCK_SECONDS * config.sample_rate / self.hop))
        self.seconds = self.block * self.hop / config.sample_rate
        held = held and config.level_is_held and heard.level_db > SILENT_DB
        self.target_db = heard.level_db if held else None
        self.start = Place(
            map_nest(lambda a: np.repeat(np.asarray(a), len(rows), axis=0), heard.session),
            map_nest(lambda a: np.repeat(np.asarray(a)[None], len(rows), axis=0), heard.decoding),
            np.full((len(rows), len(HOLDS)), 10 ** (heard.level_db / 10)),
            heard.position,
        )

    def draw(
        self, place: Place, blocks: int, rows: list[int], attempt: int = 0, nudge: float = 0.0
    ) -> tuple[np.ndarray, Place]:
        """Returns the next blocks `(rows, channels, samples)` and the place after them.

        Args:
            place: of these rows.
            blocks: how many.
            rows: which of the take's rows they are.
            attempt: 0, or which of the other chances to take.
            nudge: added to the temperature's factor.
        """
        voices = self.sampler.engine.open(place.session)
        decoding, power, position, found = place.decoding, place.power, place.position, []
        variations = [self.rows[row] for row in rows]
        share = np.array([-np.expm1(-self.seconds / seconds) for seconds, *_ in HOLDS])
        for _ in range(blocks):
            start = position + (attempt << 40)  # far beyond any take's end
            shape = self.sampler.config.noise_shape
            noise = [uniforms(self.rng_seed, v, start, self.block, shape) for v in variations]
            frames = voices.draw(np.stack(noise), **self.controls(rows, power, nudge))
            signal, decoding = self.sampler.codec.decode_step(frames, decoding)
            found.append(signal)
            heard = np.mean(np.square(signal, dtype=np.float64), axis=(1, 2))[:, None]
            power = power + share * (heard - power)
            position += self.block
        return np.concatenate(found, axis=-1), Place(voices.session(), decoding, power, position)

    def controls(self, rows: list[int], power: np.ndarray, nudge: float) -> dict[str, Any]:
        """Returns the controls of some rows for the next block."""
        given = {
            name: np.broadcast_to(value, len(self.rows))[rows]
            for name, value in self.settings.items()
        }
        factor = np.full(len(rows), 1.0 + nudge)
        if self.target_db is not None:
            excess = 10 * np.log10(power + 1e-12) - self.target_db
            for column, (_, above, below, slope) in zip(excess.T, HOLDS, strict=True):
                beyond = np.maximum(column - above, 0.0) - np.maximum(-column - below, 0.0)
                factor -= slope * beyond
            factor = np.clip(factor, LEAST, MOST)
        if np.any(factor != 1.0):
            given["temperature"] = given["temperature"] * factor
        return {k: v if np.ptp(v) else float(v[0]) for k, v in given.items()}

    def plain(self, blocks: int) -> Iterator[np.ndarray]:
        """Yields block after block, unwatched."""
        place, rows = self.start, list(range(len(self.rows)))
        for _ in range(blocks):
            signal, place = self.draw(place, 1, rows)
            yield signal

    def guarded(
        self, blocks: int, climate: Climate, tell: Callable[[int, float, str], None]
    ) -> Iterator[np.ndarray]:
        """Yields chunks, each only after a second more has been drawn and found sound.

        Args:
            blocks: to yield in all.
            climate: of the recordings.
            tell: is told the variation, the second of the take and what had gone wrong.
        """
        rows = list(range(len(self.rows)))
        places, held = [self.start], []  # a place before each chunk that is held back, and the last
        while blocks > 0:
            size = min(CHUNK, blocks)
            signal, place = self.draw(places[-1], size, rows)
            held.append(signal)
            places.append(place)
            blocks -= size
            if size == CHUNK:
                for row in rows:
                    self.mend(row, places, held, climate, tell)
            if len(held) > BACK:
                yield held.pop(0)
                places.pop(0)
        yield from held

    def mend(
        self,
        row: int,
        places: list[Place],
        held: list[np.ndarray],
        climate: Climate,
        tell: Callable[[int, float, str], None],
    ) -> None:
        """Draws the last second of one row again, in place, if it has gone wrong."""
        rate, heard = self.sampler.config.sample_rate, [chunk[row] for chunk in held]
        wrong = climate.complaint(heard, rate)
        if not wrong:
            return
        back = min(BACK, len(held))
        began = rows_of(places[-1 - back], [row])
        seconds = (began.position - self.start.position) * self.hop / rate
        tell(self.rows[row], seconds, wrong)
        for attempt in range(1, ATTEMPTS + 1):
            nudge = NUDGE * attempt * (1 if wrong == climate.DEAD else -1)
            place, mended, trail = began, heard[:-back], list[Place]()
            for _ in range(back):
                signal, place = self.draw(place, CHUNK, [row], attempt, nudge)
                mended, trail = [*mended, signal[0]], [*trail, place]
            if not climate.complaint(mended, rate):
                break
        for i in range(back):
            held[i - back][row] = mended[i - back]
            places[i - back] = with_row(places[i - back], row, trail[i])


def rows_of(place: Place, rows: list[int]) -> Place:
    """Returns the place of some rows."""
    kept = (place.session, place.decoding, place.power)
    session, decoding, power = map_nest(lambda a: np.asarray(a)[rows], kept)
    return Place(session, decoding, power, place.position)


def with_row(place: Place, row: int, other: Place) -> Place:
    """Returns a place in which one row is that of another place, which has no more than it."""

    def put(all_rows: Any, one: Any) -> np.ndarray:
        changed = np.array(all_rows)
        changed[row] = np.asarray(one)[0]
        return changed

    ours = (place.session, place.decoding, place.power)
    theirs = (other.session, other.decoding, other.power)
    session, decoding, power = map_nest(put, ours, theirs)
    return Place(session, decoding, power, place.position)
