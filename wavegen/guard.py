"""What is kept of a take: the moments most like the recordings', and none that has left them.

Left alone for long, a model that feeds on its own samples wanders, into noise or into silence. Of
several ways to go on for a quarter of a second the one is kept that is most like the moments the
recordings have after such a seed; where it hangs on the music how a control should stand
(`config.tried`), they differ in it, and how much tones waver goes the way of those that are kept,
unless the user asked for anything. And what the recordings never were is looked for; when it is
found, the take goes back one second and is drawn again with other chance. So what is heard lags a
second behind what is drawn, but not from the first: then one would wait for it, and what has just
left the seed has hardly strayed. All this looks at a variation's own past only, so it stays the
same in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from wavegen import moment
from wavegen.climate import SECONDS, Climate
from wavegen.take import Place, Take

BACK = 4  # moments to go back: about one second
GROWING = 2  # in the beginning fewer: one more for each so many that were drawn
ATTEMPTS = 4  # to draw it otherwise, before it is let through
NUDGE = 0.08  # by how much each attempt lowers or raises the temperature
WANDER_DB = 6.0  # the level of the last second and a half so far off is as strange as can be borne
OVER_DB = 1.0  # likewise a peak so far beyond full scale
CANDIDATES = 8  # of each moment, at most
SPECTRAL = 4  # of a spectral model; with eight no more of its continuations were clean
LEANS = "noisiness"  # the control that goes on from the share that was kept
LEANING = 0.3  # that share to this power, moment after moment
LASTING = 0.96  # of the logarithm of where it is: moments as good as any pull it back
LEANEST, MOST_LEAN = 0.125, 2.5
LOAD = 120000  # samples a second: more are not drawn in real time on one core


def default_candidates(config: Any) -> int:
    """Returns how many candidates a configuration draws in real time on one core, 2 .. 8.

    A spectral model, which is dozens of times faster, draws four.
    """
    if not config.level_is_held:
        return SPECTRAL
    return int(np.clip(round(LOAD / (config.sample_rate * config.channels)), 2, CANDIDATES))


class Guard:
    """Chooses what a take goes on with, and mends it."""

    def __init__(
        self,
        take: Take,
        climate: Climate,
        candidates: int,
        tell: Callable[[int, float, str], None],
    ) -> None:
        """Takes what it watches, and what it holds it against.

        Args:
            take: of all rows.
            climate: of the recordings.
            candidates: of each moment, from which one is chosen.
            tell: is told the variation, the second of the take and what had gone wrong.
        """
        self.take, self.climate, self.candidates, self.tell = take, climate, candidates, tell

    def blocks(self, count: int, firm: Sequence[int] = ()) -> Iterator[np.ndarray]:
        """Yields moments, each only after some more, `BACK` at most, were drawn and found sound.

        Args:
            count: of blocks of the take, in all, or a few more.
            firm: numbers of blocks, before which nothing is drawn again once they are there.
        """
        rows, moment_blocks = list(range(len(self.take.rows))), self.take.moment
        places = [self.take.start]  # before each moment held back, and the last
        held: list[np.ndarray] = []
        ends = {-(-end // moment_blocks) for end in firm}
        for done in range(-(-count // moment_blocks)):
            if done in ends:
                yield from held
                places, held = places[-1:], []
            signal, place = self.choose(places[-1], rows)
            held.append(signal)
            places.append(place)
            for row in rows:
                self.mend(row, places, held)
            while len(held) > min(BACK, (done + 1) // GROWING):
                yield held.pop(0)
                places.pop(0)
        yield from held

    def choose(
        self, place: Place, rows: list[int], attempt: int = 0, nudge: float = 0.0
    ) -> tuple[np.ndarray, Place]:
        """Returns the next moment, the candidate most like the recordings', and the place after.

        Args:
            place: of these rows.
            rows: which of the take's rows they are.
            attempt: 0, or which of the other sets of chances to take.
            nudge: added to the temperature's factor.
        """
        take, candidates = self.take, self.candidates
        each = np.repeat(np.arange(len(rows)), candidates)
        all_rows = [rows[i] for i in each]
        way = np.arange(len(each)) % candidates
        chances = attempt * candidates + way
        tried = take.sampler.config.tried
        shares = {name: np.resize(values, candidates)[way] for name, values in tried.items()}
        place, turned = place.rows(each), self.turned(shares, all_rows)
        if LEANS in shares:
            shares[LEANS] = shares[LEANS] * place.lean
        drawn, after = take.draw(place, take.moment, all_rows, chances, nudge, shares)
        if candidates == 1:
            return drawn, after
        sound = after.recent[..., -moment.SHARE * round(moment.SECONDS * take.rate) :]
        aim = np.full(len(each), max(take.level_db, self.climate.top_db - moment.RANGE_DB))
        strange = self.climate.strangeness(sound, take.rate, aim)
        peak_db = 20 * np.log10(np.abs(drawn).max(axis=(1, 2)) + 1e-9)
        strange = strange + np.square(np.maximum(peak_db, 0.0) / OVER_DB)  # it would be cut off
        if take.levelled:
            strange += np.square(take.excess_db(after.power)[:, -1] / WANDER_DB)
        strange = np.maximum(strange, take.sampler.config.enough)  # the first of those as usual
        best = np.argmin(strange.reshape(-1, candidates), axis=1)
        kept = np.arange(len(rows)) * candidates + best
        lean = np.clip(place.lean**LASTING * turned, LEANEST, MOST_LEAN)
        return drawn[kept], after._replace(lean=lean).rows(kept)

    def turned(self, shares: dict[str, np.ndarray], rows: list[int]) -> np.ndarray:
        """Returns by how much the control that leans is turned if a candidate is kept, `(rows,)`.

        Args:
            shares: of the controls, that candidates have.
            rows: which of the take's rows they are of.
        """
        if LEANS not in shares:
            return np.ones(len(rows))
        asked = self.take.settings[LEANS][rows] != self.take.sampler.controls[LEANS]
        return np.where(asked, 1.0, shares[LEANS] ** LEANING)

    def complaint(self, place: Place, row: int) -> str:
        """Returns what is wrong with a row's end, or "" while too little of it was drawn."""
        drawn = (place.position - self.take.start.position) * self.take.hop
        if drawn < round(SECONDS * self.take.rate):
            return ""
        return self.climate.complaint(place.recent[row][:, -drawn:], self.take.rate)

    def mend(self, row: int, places: list[Place], held: list[np.ndarray]) -> None:
        """Draws the last second of one row again, in place, if it has gone wrong."""
        wrong = self.complaint(places[-1], row)
        if not wrong:
            return
        take, back = self.take, min(BACK, len(held))
        began = places[-1 - back].rows([row])
        second = (began.position - take.start.position) * take.hop / take.rate
        self.tell(take.rows[row], second, wrong)
        for attempt in range(1, ATTEMPTS + 1):
            nudge = NUDGE * attempt * (1 if wrong == self.climate.DEAD else -1)
            place, mended, trail = began, list[np.ndarray](), list[Place]()
            for _ in range(back):
                signal, place = self.choose(place, [row], attempt, nudge)
                mended, trail = [*mended, signal[0]], [*trail, place]
            if not self.complaint(place, 0):
                break
        for i in range(back):
            held[i - back][row] = mended[i]
            places[i - back] = places[i - back].put(row, trail[i])
