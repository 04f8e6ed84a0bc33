"""Makes the shipped recordings: three pieces on modelled instruments, the same bytes every time.

    python recordings/make.py

`plucked` is the first prelude of Bach's Well-Tempered Clavier (BWV 846, 1722), a fourth lower, on
the strings of a lute; `bells` is after the first of Satie's Gymnopédies (1888), on tuned bars;
`drums` is a groove of our own. Each breaks off where one would have it go on: that is for a model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from instruments import (
    ARCHED_BAR,
    FREE_BAR,
    RATE,
    add,
    bar,
    body,
    finished,
    kick,
    membrane,
    metal,
    room,
    snare,
    string,
)

# The prelude's bars, MIDI notes from below; each is played 1 2 3 4 5 3 4 5, twice. Then how loud.
PRELUDE = """
60 64 67 72 76  .42 | 60 62 69 74 77  .47 | 59 62 67 74 77  .52 | 60 64 67 72 76  .46
60 64 69 76 81  .58 | 60 62 66 69 74  .52 | 59 62 67 74 79  .60 | 59 60 64 67 72  .50
57 60 64 67 72  .46 | 50 57 62 66 72  .52 | 55 59 62 67 71  .46 | 55 58 64 67 73  .56
53 57 62 69 74  .55 | 53 56 62 65 71  .60 | 52 55 60 67 72  .52 | 52 53 57 60 65  .46
50 53 57 60 65  .45 | 43 50 55 59 65  .50 | 48 52 55 60 64  .42 | 48 55 58 60 64  .50
41 53 57 60 64  .58 | 42 48 57 60 63  .68 | 44 53 59 60 62  .80 | 43 53 55 59 62  .74
"""
LOWER = 5  # semitones, for the range of a lute
BROAD = {7: 1.03, 11: 1.05, 19: 1.06, 22: 1.02, 23: 1.05}  # bars that take their time

# The Gymnopédie: bass, chord on the second beat; the melody as (bar, beat, MIDI note, how loud).
CHORDS = {
    "G": (43, (59, 62, 66)),
    "D": (38, (57, 61, 66)),
    "f": (42, (57, 61, 66)),
    "b": (47, (59, 62, 66)),
    "e": (40, (59, 64, 67)),
}
HARMONY = "GDGDGDGDGDGDfbe"
MELODY = [(2, 1, 78, 0.5), (2, 2, 81, 0.6), (3, 0, 79, 0.62), (3, 1, 78, 0.55), (3, 2, 73, 0.5)]
MELODY += [(4, 0, 71, 0.5), (4, 1, 73, 0.5), (4, 2, 74, 0.55), (5, 0, 69, 0.52), (6, 0, 66, 0.45)]
MELODY += [(8, 1, 78, 0.55), (8, 2, 81, 0.66), (9, 0, 79, 0.7), (9, 1, 78, 0.6), (9, 2, 73, 0.55)]
MELODY += [(10, 0, 71, 0.55), (10, 1, 73, 0.55), (10, 2, 74, 0.62), (11, 0, 69, 0.58)]
MELODY += [(12, 0, 73, 0.65), (13, 0, 78, 0.75), (14, 0, 76, 0.6)]

# The groove, sixteenths of a bar: digits are tenths of how loud.
KICKS = ("9......4..8.....", "9......4..8..5..", "9..4......8.....", "9..5...4..8.....")
SNARES = ("..1.8..1.1..8..2", "....8..1.2..8.1.", "..1.8..1.1.18..2", "....8..2.1..8.21")
HATS = ("7.4.6.4.7.4.6.43", "7.436.4.7.4.6.4.")
FILLS = ("9.5.8.57.6876655", "9...8.67.775.665")


def plucked() -> np.ndarray:
    """Returns 71 s of the prelude; the bar swells and falls, and cadences take their time."""
    rng, beat = np.random.default_rng(1), 60 / 82
    bars = [line.split() for line in PRELUDE.replace("\n", "|").split("|") if line.strip()]
    starts = np.cumsum([0.05, *(4 * beat * BROAD.get(n + 1, 1.0) for n in range(len(bars)))])
    mix = np.zeros((2, round(starts[-1] * RATE)))
    for number, (*notes, loud) in enumerate(bars):
        begin, length = starts[number], starts[number + 1] - starts[number]
        for half in range(2):
            for step, voice in enumerate((0, 1, 2, 3, 4, 2, 3, 4)):
                place = 8 * half + step
                at = begin + length * place / 16 + 0.004 * rng.standard_normal()
                at += 0.012 * (place == 0) - 0.006 * (step == 0)
                # until the same string is plucked again, or the hand moves on
                again = {2: 3, 3: 3, 4: 3}.get(voice, 8) if step < 5 else 5 + (voice - 4)
                last = half == 1 and (step >= 5 or voice < 2)
                until = begin + length if last else at + length * again / 16
                weight = (1.22, 0.98, 0.9, 0.94, 1.04)[voice] * (0.94 if half else 1.0)
                weight *= 0.93 if step >= 5 else 1.0
                force = float(loud) * weight * (1 + 0.06 * rng.standard_normal())
                tone = string(int(notes[voice]) - LOWER, until - at + 0.03, force, rng)
                add(mix, tone, at, 0.36 + 0.07 * voice)
    return finished(room(body(mix, rng), 0.9, 0.22, rng))


def bells() -> np.ndarray:
    """Returns 34 s: vibraphone below, a glockenspiel's bars above, in a hall."""
    rng, beat = np.random.default_rng(2), 60 / 80
    mix = np.zeros((2, round(3 * len(HARMONY) * beat * RATE)))
    for number, name in enumerate(HARMONY):
        low, chord = CHORDS[name]
        at = 3 * number * beat + 0.03
        swell = 0.9 + 0.25 * number / len(HARMONY)
        add(mix, 0.4 * swell * bar(low, 4.0, 0.6, ARCHED_BAR, 2.0, 0.5), at, 0.5)
        for place, note in enumerate(chord):
            when = at + beat + 0.012 * place + 0.006 * rng.standard_normal()
            force = swell * rng.uniform(0.36, 0.46)
            add(mix, bar(note, 4.0, force, ARCHED_BAR, 1.7, 0.6), when, 0.3 + 0.15 * place)
    for number, place, note, loud in MELODY:
        when = (3 * number + place) * beat + 0.05 + 0.01 * rng.standard_normal()
        add(mix, 1.0 * bar(note, 4.0, loud, FREE_BAR, 2.6, 0.9), when, 0.62)
        add(mix, 0.35 * bar(note - 12, 4.0, loud, ARCHED_BAR, 2.0, 0.6), when, 0.55)
    return finished(room(mix, 1.7, 0.22, rng))


def drums() -> np.ndarray:
    """Returns 30 s: twelve bars at 96 beats a minute, two of them with fills."""
    rng, step = np.random.default_rng(3), 60 / 96 / 4
    mix = np.zeros((2, round(12 * 16 * step * RATE)))

    def strike(sound: np.ndarray, bar: int, place: int, late: float, pan: float) -> None:
        swing = 0.11 * step * (place % 2)
        at = (16 * bar + place) * step + swing + late + 0.0025 * rng.standard_normal()
        add(mix, sound, at + 0.02, pan)

    for number in range(12):
        fill = FILLS[number // 4 % 2] if number in (3, 10) else ""
        lines = (KICKS[number % 4], SNARES[number % 4], HATS[number // 2 % 2])
        for place in range(16):
            low, high, hat = (0.1 * float(line[place].replace(".", "0")) for line in lines)
            own = 0.92 + 0.16 * rng.random()
            if fill and place >= 8:
                loud = 0.1 * float(fill[place].replace(".", "0")) * own
                head = (0, 215, 165, 120)[(place - 8) // 2]
                tom = membrane(head, 0.6, 0.16, 0.35) if head else snare(1.0, rng)
                strike(0.75 * loud * tom, number, place, 0.0, 0.25 + 0.07 * (place - 8))
                low, high = (0.8, 0.0) if place in (8, 12) else (0.0, 0.0)
            if low:
                strike(1.05 * kick(low * own, rng), number, place, -0.003, 0.5)
            if high:
                strike(0.85 * snare(high * own, rng), number, place, 0.006, 0.46)
            if hat and not (fill and place >= 8):
                open_hat = place == 14 and number % 4 == 1
                ring = 0.22 if open_hat else 0.028 + 0.02 * hat
                sound = 0.22 * hat * own * metal(0.5, 6000, ring, rng)
                strike(sound, number, place, 0.0, 0.7)
        if number in (0, 4, 8, 11):
            strike(0.34 * metal(2.5, 3200, 0.7, rng), number, 0, 0.0, 0.3)
    mix = np.tanh(1.3 * mix)  # the glue of a tape
    return finished(room(mix, 0.45, 0.2, rng))


PIECES = {"plucked": plucked, "bells": bells, "drums": drums}


def main() -> None:
    """Writes every piece into `shipped/` beside this file."""
    import soundfile

    folder = Path(__file__).parent / "shipped"
    folder.mkdir(exist_ok=True)
    for name, piece in PIECES.items():
        with soundfile.SoundFile(folder / f"{name}.wav", "w", RATE, 2, "PCM_16") as file:
            file.title, file.copyright = name, "CC0 1.0, the wavegen authors"
            file.write(piece().T)


if __name__ == "__main__":
    main()
