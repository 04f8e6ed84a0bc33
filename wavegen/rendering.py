"""Play what one is told: a conditioned WaveNet draws the wave under the bands of another sound.

The sound that tells is heard some hops ahead (`Instrument.ahead`); what is drawn follows it sample
for sample, led by its own predictor and excitation (`leading`), or by its bands alone. Of several
ways to go on for some milliseconds the one is kept whose bands are nearest, and by what its bands
lack of late the next ones are told louder.
What tells may come from a file (`wavegen render`), or from an LSTM that composes (`duet`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from wavegen import engines, holding
from wavegen.bands import CALM, SPAN_DB, bands_of
from wavegen.chance import uniforms
from wavegen.climate import Climate, level_db
from wavegen.codec import PCM24, codec_of
from wavegen.config import GIVEN_FOLLOW, GIVEN_SUSTAIN
from wavegen.errors import UsageError
from wavegen.guard import CANDIDATES, LOAD
from wavegen.leading import Lead, ahead_of
from wavegen.limiting import limited, reach_of
from wavegen.nest import map_nest

BLOCK_SECONDS = 0.064  # drawn in one call of the engine
MENDED_SECONDS, MENDED_DB = 0.6, 6.0  # in which what bands lack is told beside them; at most
HEADROOM_DB = 20.0  # to full scale from the loudest it plays: what is cut off there rings on
HEARD_DB = 60.0  # below what is told the loudest, a band does not count any more
FITTED_SECONDS = 2.0  # of the past that the linear predictor hears, beside the receptive field


class Listened(NamedTuple):
    """What an instrument remembers of a sound that goes before."""

    sound: np.ndarray  # (channels, samples), as loud as it is played
    session: Any  # of the engine, up to where knots begin to hear what is told
    frames: np.ndarray  # (1, samples, channels), from there on
    whitened: np.ndarray  # (1, channels, samples), up to there, as a lead remembers it
    gain: float  # of what is played over what is told


class Instrument:
    """Draws from a conditioned WaveNet with one engine."""

    def __init__(
        self,
        model: Any,
        engine: str | None = None,
        precision: str | None = None,
        sustain: float = GIVEN_SUSTAIN,
        climate: Climate | None = None,
    ) -> None:
        """Takes a snapshot of the model.

        Args:
            model: a `checkpoint.ModelFile` or a Keras model, of a conditioned WaveNet.
            engine: "numba" or "reference"; None takes the fastest.
            precision: of the weights; None is the engine's default.
            sustain: how much longer than when it learned the linear predictor listens.
            climate: of the recordings, for how loud they are; None is the model file's.

        Raises:
            UsageError: the model is not conditioned, or no such engine or precision.
        """
        bands = bands_of(model.config)
        if bands is None:
            raise UsageError(
                "this model cannot be told what to play; name demo-wavenet, or train one that "
                "can: python -m wavegen train --arch duet"
            )
        config = self.config = model.config
        self.bands = bands
        mixture = config.head == "logistic"
        self.codec = PCM24(config.channels, config.stereo) if mixture else codec_of(config)
        self.drawing = config.sustained(sustain)
        self.engine = engines.make(model, engine, precision, self.drawing, self.codec.fine)
        climate = climate or Climate.of_model(model)
        self.loudest_db = climate.loudest_db if climate else -np.inf

    @property
    def ahead(self) -> int:
        """Samples of the telling sound by which what is drawn can differ."""
        told = self.bands.hop + self.bands.reach + ahead_of(self.config, self.bands)
        return told + reach_of(self.config.sample_rate)

    def listen(self, past: np.ndarray, loudest_db: float = -np.inf) -> Listened:
        """Returns what the instrument remembers of a sound.

        Args:
            past: `(channels, samples)`; silence precedes it, and so much of its end is heard as can
                matter.
            loudest_db: RMS level under full scale of the loudest that will be told, if it is known;
                at least as loud as the recordings is expected.
        """
        loudest_db = max(self.loudest_db, loudest_db, level_db(past))
        gain = min(1.0, 10 ** (-(loudest_db + HEADROOM_DB) / 20))
        past = np.asarray(past, np.float32) * np.float32(gain)
        hop, reach = self.bands.hop, self.bands.reach
        wanted = self.config.receptive_field + round(FITTED_SECONDS * self.config.sample_rate)
        hops, after = -(-wanted // hop), -(-reach // hop)
        size = 1 + hops * hop
        before = last(past, size + after * hop + reach)
        frames = self.codec.encode(before[:, reach:])[None]
        common = before[:, 1 : size + 2 * reach]
        given = self.bands.given(self.bands.levels(common[None]))
        session = self.engine.prime(frames[:, :size], given=given)
        lead = Lead(self.drawing, self.bands, 0.0)
        lead.hear(common[None], given)
        lead.fitted(lead.past)  # compiles what fits, while nobody waits for sound
        return Listened(past, session, frames[:, size:], lead.past, gain)

    def play(
        self, told: Iterable[np.ndarray], past: np.ndarray | Listened, **options: Any
    ) -> Iterator[np.ndarray]:
        """Yields `(rows, channels, samples)`, in all as many samples as are told.

        Memory does not grow, however long.

        Args:
            told: what `draw` is told, and so are the others.
            past: what was heard before it.
            **options: of `draw`.
        """
        yield from limited(self.draw(told, past, **options), self.config.sample_rate)

    def draw(
        self,
        told: Iterable[np.ndarray],
        past: np.ndarray | Listened,
        *,
        rng_seed: int = 0,
        first_variation: int = 0,
        first_frame: int = 0,
        temperature: Any = 1.0,
        top_p: Any = 1.0,
        candidates: int | None = None,
        loudest_db: float = -np.inf,
        follow: float = GIVEN_FOLLOW,
    ) -> Iterator[np.ndarray]:
        """Yields what `play` does, peaks beyond full scale with it.

        Args:
            told: blocks `(rows, channels, samples)` of any lengths, of the sound to be played.
            past: `(channels, samples)`, what was heard before it, or of `listen`.
            rng_seed: with the row's number it decides all chance.
            first_variation: number of the first row.
            first_frame: where in its row's chance it begins.
            temperature: multiplies the scales of what is drawn; one number, or one a row.
            top_p: leaves out the tails of what is drawn; likewise.
            candidates: ways to go on for `BLOCK_SECONDS`, of which one is kept; None is one, if
                it is led; else as many as a core draws in real time, `CANDIDATES` at most.
            loudest_db: of `listen`, where `past` is a sound.
            follow: 0 .. 1, how much of the wave that is told is played, see `leading`; at 0 the
                bands alone tell, and the linear predictor hears what was drawn.
        """
        led = follow > 0 and self.config.predictor_order > 0
        if candidates is None:
            load = self.config.sample_rate * self.config.channels
            candidates = 1 if led else int(np.clip(LOAD // load, 1, CANDIDATES))
        hop, reach = self.bands.hop, self.bands.reach
        whole = max(1, round(BLOCK_SECONDS * self.config.sample_rate / hop)) * hop
        seconds = whole / self.config.sample_rate
        share = np.float32(-np.expm1(-seconds / MENDED_SECONDS))
        shape = self.config.noise_shape
        heard = past if isinstance(past, Listened) else self.listen(past, loudest_db)
        gain = np.float32(heard.gain)
        before = last(heard.sound, whole + 2 * self.bands.half)[None]
        done, session, lacking = first_frame, None, np.zeros((1, 1, self.bands.features), "float32")
        voices: Any = None
        powers = np.full((1, 2), np.mean(np.square(before, dtype=np.float64)))
        lead = None
        if led:
            lead = Lead(self.drawing, self.bands, follow)
            temperature = np.multiply(temperature, np.sqrt(1.0 - follow**2))
        for window, samples in windows((gain * block for block in told), heard.sound, whole, reach):
            rows = len(window)
            if session is None:
                session = self.begun(heard, window, lead)
                before = np.repeat(before, rows, axis=0)
            ways = [(row, way) for row in range(rows) for way in range(candidates)]
            each = np.array([row for row, _ in ways])
            if candidates > 1 or not voices:  # of one way the voices go on by themselves
                voices = self.engine.open(taken(session, each))
            noise = [
                uniforms(rng_seed, first_variation + row, done + (way << 40), whole, shape)
                for row, way in ways  # other chances lie far beyond any take's end
            ]
            levels = self.bands.measured(window)
            given = self.bands.given(self.bands.calmed(levels) + lacking)
            given = (lead.step(window, given) if lead else given)[each]
            controls = {"temperature": temperature, "top_p": top_p}
            for name, value in controls.items():
                controls[name] = value if np.ndim(value) == 0 else np.asarray(value)[each]
            frames = voices.draw(np.stack(noise), given, **controls)
            drawn = self.codec.decode(frames)
            sound = np.concatenate([before[each], drawn], axis=-1)
            knots = whole // hop  # whose windows end within the block
            ours = self.bands.measured(sound[..., -(knots - 1) * hop - 2 * self.bands.half :])
            asked = levels[:, CALM - 1 :][:, :knots]
            kept = self.nearest(ours, asked, candidates)
            lacking = lacking + share * np.mean(asked - ours[kept], axis=1, keepdims=True)
            lacking = np.clip(lacking, -MENDED_DB / SPAN_DB, MENDED_DB / SPAN_DB)
            if candidates > 1:
                session = taken(voices.session(), kept)
            before = sound[kept][..., whole:]
            signal = window[..., reach : reach + whole]
            turned, powers = holding.told_held(drawn[kept], signal, powers, seconds)
            yield turned[..., :samples] / gain
            done += whole

    def nearest(self, ours: np.ndarray, told: np.ndarray, candidates: int) -> np.ndarray:
        """Returns `(rows,)`: which of all candidates have the bands nearest to what is told.

        Louder bands count more.

        Args:
            ours: `(rows * candidates, knots, features)`, levels of what was drawn.
            told: `(rows, knots, features)`, at the same knots.
            candidates: of each row, one after the other.
        """
        rows = np.arange(len(told)) * candidates
        if candidates == 1:
            return rows
        told = np.repeat(told, candidates, axis=0)
        top = told.max(axis=(1, 2), keepdims=True)
        weight = np.maximum(told - (top - HEARD_DB / SPAN_DB), 0.0)
        apart = np.mean(weight * np.square(ours - told), axis=(1, 2))
        return rows + np.argmin(apart.reshape(-1, candidates), axis=1)

    def begun(self, heard: Listened, window: np.ndarray, lead: Lead | None) -> Any:
        """Returns the session after all of what was heard, which the first window's rows follow.

        Args:
            heard: of `listen`.
            window: `(rows, channels, samples)`: the last `reach` samples of the past, and what
                is told from there on, `reach` samples or more.
            lead: which hears it, too.
        """
        reach = self.bands.reach
        each = np.zeros(len(window), int)
        tail = last(heard.sound, heard.frames.shape[1] + reach)[None][each]
        told = np.concatenate([tail, window[..., reach : 2 * reach]], axis=-1)
        given = self.bands.given(self.bands.levels(told))
        if lead:
            lead.past = heard.whitened[each]
            lead.hear(told, given)
        return self.engine.prime(heard.frames[each], taken(heard.session, each), given=given)


def taken(session: Any, rows: np.ndarray) -> Any:
    """Returns the session of some rows, or of rows repeated."""
    return map_nest(lambda array: np.asarray(array)[rows], session)


def windows(
    told: Iterable[np.ndarray], past: np.ndarray, whole: int, reach: int
) -> Iterator[tuple[np.ndarray, int]]:
    """Yields stretches of a sound to be played and how many of their samples are told.

    Each is `(rows, channels, whole + 2 * reach)`, the last `reach` of the stretch before and the
    first of the one after with it; beyond the end there is silence.
    """
    held: Any = None
    for block in told:
        if held is None:
            held = np.repeat(last(past, reach)[None], len(block), axis=0)
        held = np.concatenate([held, block], axis=-1)
        while held.shape[-1] >= whole + 2 * reach:
            yield held[..., : whole + 2 * reach], whole
            held = held[..., whole:]
    while held is not None and held.shape[-1] > reach:
        left = held.shape[-1] - reach
        short = max(0, whole + 2 * reach - held.shape[-1])
        yield np.pad(held, [(0, 0), (0, 0), (0, short)]), min(whole, left)
        held = held[..., whole:]


def last(sound: np.ndarray, samples: int) -> np.ndarray:
    """Returns the last samples of a sound `(channels, samples)`, silence before it."""
    sound = sound[:, max(0, sound.shape[1] - samples) :]
    return np.pad(sound, [(0, 0), (samples - sound.shape[1], 0)]).astype("float32")
