"""A take: variations of one seed, drawn together from place to place, held at its level.

Left alone for long, a model that feeds on its own samples gets louder or softer. So the level is
held: the temperature gives way a little while the last instant, or the last second and a half, is
louder than the seed was, and comes back when it is softer. What is heard is turned up or down, too,
slowly (`holding`), and of a WaveNet in stereo the image as wide as the seed's. An LSTM, which hears
a sound against its own level of late, is only turned; and one that rests for long is bolder in what
happens next, for left alone it may never play another note. All this looks at a variation's own
past only, so that stays the same in any batch. What is worth keeping of what was drawn, `guard`
says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from wavegen import consistent, holding, lasting, moment
from wavegen.chance import normals, uniforms
from wavegen.climate import DEAD_SECONDS
from wavegen.nest import map_nest

BLOCK_SECONDS = 0.02  # drawn at one temperature
# Seconds whose level is held; dB above and below the seed's that are left to the music; by how much
# the temperature gives way for each dB beyond.
HOLDS = ((0.15, 6.0, np.inf, 0.02), (1.5, 3.0, 3.0, 0.01))
REST_DB, BOLDER = 5.0, 0.05  # below the seed's, over the second of these times; for each dB beyond
BOLDEST = 1.5  # temperature, at most, relative to the one asked for
SILENT_DB = -80.0  # a softer seed has no level to keep to
AT_ONCE = 4  # blocks drawn in one go where nobody decides between them, but for the first two
LEAST, MOST = 0.7, 1.2  # temperature, at most, relative to the one asked for


Shares = dict[str, np.ndarray] | None  # of a control, by its name, one a row


class Place(NamedTuple):
    """Where a take is: a value, of several rows."""

    session: Any  # of the engine
    decoding: Any  # of the codec
    power: np.ndarray  # (rows, holds), mean square of late, which the temperature follows
    late: np.ndarray  # (rows, 1 or 3), powers of late, before `holding` turned what was drawn
    recent: np.ndarray  # (rows, channels, samples), the sound so far, its end
    lean: np.ndarray  # (rows,), share of a control that the ear has come to (`guard`)
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
        nests = [tuple(place)[:-1] for place in (self, *others)]
        return Place._make((*map_nest(function, *nests), self.position))


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
        self.sampler, self.rows, self.rng_seed = sampler, rows, rng_seed
        each = {name: np.broadcast_to(value, len(rows)) for name, value in settings.items()}
        self.settings: dict[str, np.ndarray] = each
        config = sampler.config
        self.rate, self.hop = config.sample_rate, sampler.codec.frame_samples
        # What rests is decided once a moment; where the level is held, within one.
        seconds = BLOCK_SECONDS if config.level_is_held else moment.SECONDS
        self.block = max(1, round(seconds * self.rate / self.hop))
        self.seconds = self.block * self.hop / self.rate
        self.moment = max(1, round(moment.SECONDS / self.seconds))  # blocks
        self.level_db = heard.level_db
        self.levelled = held and heard.level_db > SILENT_DB  # the level has a say in the choice
        self.held = self.levelled and config.level_is_held  # and leads the temperature
        self.rests = self.levelled and config.rests
        self.turned = self.held or self.rests  # and what is heard is turned towards it
        self.turned_db = holding.HELD_TURNED_DB if self.held else holding.LEVEL_TURNED_DB
        self.imaged = self.held and sampler.codec.channels == 2
        kept = round(DEAD_SECONDS * self.rate)
        recent = heard.sound[:, -kept:]
        recent = np.pad(recent, [(0, 0), (kept - recent.shape[1], 0)])
        one = (heard.session, map_nest(lambda a: np.asarray(a)[None], heard.decoding))
        square = np.full(1, 10 ** (heard.level_db / 10))
        power = np.repeat(square[:, None], len(HOLDS), axis=1)
        late = square[:, None]
        if self.imaged:
            image = holding.powers(heard.sound)
            late = np.concatenate([late, image[None]], axis=1)
            self.width_db = float(np.subtract(*holding.decibels(image[::-1])))
        begin = Place(*one, power, late, recent[None], np.ones(1), heard.position)
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
        decoding, power, position = place.decoding, place.power, place.position
        late, found = place.late.copy(), []
        variations = [self.rows[row] for row in rows]
        attempts = np.broadcast_to(attempt, len(rows)).tolist()
        share = np.array([-np.expm1(-self.seconds / seconds) for seconds, *_ in HOLDS])
        # In one go where the level has no say.
        at_once = 1 if self.sampler.config.level_is_held or self.rests else blocks
        for _ in range(blocks // at_once):
            noise = self.chance(variations, attempts, position, at_once * self.block, decoding)
            frames = voices.draw(noise, **self.controls(rows, power, nudge, shares))
            signal, decoding = self.sampler.codec.decode_step(frames, decoding)
            if self.imaged:
                image, width = late[:, 1:], self.width_db
                signal, late[:, 1:] = holding.image_held(signal, image, width, self.seconds)
            drawn = signal
            if self.turned:
                level, aim = late[:, 0], self.level_db
                most = self.turned_db
                signal, late[:, 0] = holding.level_held(signal, level, aim, self.seconds, most)
            found.append(signal)
            # The temperature, where it gives way, does so for what is drawn, not for what is heard.
            for part in np.split(drawn if self.held else signal, at_once, axis=-1):
                now = np.mean(np.square(part, dtype=np.float64), axis=(1, 2))[:, None]
                power = power + share * (now - power)
            position += at_once * self.block
        after = place._replace(decoding=decoding, power=power, late=late, position=position)
        return np.concatenate(found, axis=-1), after

    def chance(
        self, variations: list[int], attempts: list[int], position: int, frames: int, decoding: Any
    ) -> np.ndarray:
        """Returns uniforms and normals `(rows, frames, *noise_shape)` of the next frames."""
        config = self.sampler.config
        overlap = consistent.applies(config)
        shape = consistent.shape(config) if overlap else config.noise_shape

        @functools.cache
        def drawn(variation: int, number: int) -> np.ndarray:
            start = position + (number << 40)  # other chances lie far beyond any take's end
            return uniforms(self.rng_seed, variation, start, frames + overlap, shape)

        own = np.stack([drawn(*way) for way in zip(variations, attempts, strict=True)])
        if overlap:
            shared = np.stack([drawn(variation, 0) for variation in variations])
            own = consistent.white(own, shared, config, self.sampler.codec, decoding.frame)
        elif config.normals.stop:
            own[:, :, config.normals] = normals(own[:, :, config.normals])
        if config.swings.stop > config.swings.start:
            lasting.lasting(own, config, self.rng_seed, variations, position)
        return own

    def controls(
        self, rows: list[int], power: np.ndarray, nudge: float, shares: Shares = None
    ) -> dict[str, Any]:
        """Returns the controls of some rows for the next block; arguments are `go_on`'s."""
        given = {name: value[rows] for name, value in self.settings.items()}
        for name, column in (shares or {}).items():
            given[name] = given[name] * column
        factor = np.full(len(rows), 1.0 + nudge)
        if self.held:
            columns = self.excess_db(power).T
            for column, (_, above, below, slope) in zip(columns, HOLDS, strict=True):
                beyond = np.maximum(column - above, 0.0) - np.maximum(-column - below, 0.0)
                factor -= slope * beyond
            factor = np.clip(factor, LEAST, MOST)
        if self.rests:
            short_db = np.maximum(-self.excess_db(power)[:, 1] - REST_DB, 0.0)
            factor = np.minimum(factor + BOLDER * short_db, BOLDEST)
        if np.any(factor != 1.0):
            given["temperature"] = given["temperature"] * factor
        return {k: v if np.ptp(v) else float(v[0]) for k, v in given.items()}

    def excess_db(self, power: np.ndarray) -> np.ndarray:
        """Returns how much louder than the seed a mean square is, dB."""
        return holding.decibels(power) - self.level_db

    def plain(self, blocks: int) -> Iterator[np.ndarray]:
        """Yields block after block; they are neither chosen nor watched."""
        place, rows = self.start, list(range(len(self.rows)))
        voices = self.sampler.engine.open(place.session)
        done = 0
        while done < blocks:
            size = min(AT_ONCE if done > 1 else 1, blocks - done)
            signal, place = self.go_on(voices, place, size, rows)
            yield signal
            done += size
