"""Makes the shipped recordings: three short pieces, synthesised, the same bytes every time.

    python recordings/make.py

`plucked` is strings after Karplus & Strong 1983 (Computer Music Journal 7:2) in a slow arpeggio;
`bells` is frequency modulation after Chowning 1973 (JAES 21:7) over a soft pad; `drums` is a drum
machine with fills.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import signal

PEAK = 10 ** (-3 / 20)


def hz(note: float) -> float:
    """Returns the frequency of a MIDI note."""
    return 440.0 * 2 ** ((note - 69) / 12)


def add(mix: np.ndarray, sound: np.ndarray, start: float, rate: int, gain: np.ndarray) -> None:
    """Adds a mono sound to a mix (channels, samples) at a time, with a gain per channel."""
    first = round(start * rate)
    sound = sound[: mix.shape[1] - first]
    mix[:, first : first + len(sound)] += gain[:, None] * sound


def finished(mix: np.ndarray, rate: int) -> np.ndarray:
    """Returns the mix without DC and rumble, faded at both ends, at -3 dB peak."""
    mix = signal.sosfilt(signal.butter(2, 30, "high", fs=rate, output="sos"), mix)
    time = np.arange(mix.shape[1]) / rate
    mix = mix * np.minimum(1, time / 0.02) * np.minimum(1, time[::-1] / 0.1)
    return (mix / np.abs(mix).max() * PEAK).astype("float32")


def string(
    note: float, seconds: float, bright: float, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns one plucked string: noise in a loop with a gentle low-pass, tuned by an all-pass."""
    period = rate / hz(note) - 0.5
    whole = int(period)
    fraction = period - whole
    tune = (1 - fraction) / (1 + fraction)
    burst = rng.uniform(-1, 1, whole)
    burst = signal.lfilter([bright], [1, bright - 1], burst)
    excitation = np.zeros(round(seconds * rate))
    excitation[:whole] = burst - burst.mean()
    loss = 10 ** (-3 / (hz(note) * (1.2 + 220 / hz(note) * 2.2)))  # -60 dB later for low strings
    feedback = np.zeros(whole + 3)  # of loss * (1 + z)/2 * (tune + z)/(1 + tune z) * z^whole
    feedback[0] = 1.0
    feedback[1] += tune
    for shift, weight in ((0, tune), (1, 1 + tune), (2, 1.0)):
        feedback[whole + shift] -= 0.5 * loss * weight
    return signal.lfilter([1, tune], feedback, excitation)


def plucked() -> tuple[np.ndarray, int]:
    """Returns (signal (2, samples), 22050): an arpeggio over Am F C G Dm E, in a small room."""
    rate, rng = 22050, np.random.default_rng(1)
    mix = np.zeros((2, 27 * rate))
    chords = [
        [45, 52, 57, 60, 64],
        [41, 48, 57, 60, 65],
        [48, 52, 55, 60, 64],
        [43, 50, 55, 59, 67],
    ]
    chords += [[50, 57, 62, 65, 69], [40, 52, 56, 59, 64], [45, 52, 57, 60, 69]]
    patterns = [[0, 2, 3, 4, 3, 2, 1, 2], [0, 1, 2, 4, 3, 4, 2, 3], [0, 3, 2, 4, 1, 3, 4, 2]]
    beat, at = 0.24, 0.1
    for bar in range(15):
        chord, pattern = chords[bar // 2 % len(chords)], patterns[int(rng.integers(3))]
        for step, voice in enumerate(pattern):
            if at > 26.8 or (step and rng.random() < 0.1):
                continue
            loud = rng.uniform(0.5, 1.0) * (1.25 if step == 0 else 1.0)
            tone = string(chord[voice] + (12 if rng.random() < 0.06 else 0), 3.0,
                          rng.uniform(0.35, 0.8), rate, rng)  # fmt: skip
            pan = 0.25 + 0.5 * voice / 4
            gain = loud * np.array([np.cos(pan * np.pi / 2), np.sin(pan * np.pi / 2)])
            add(mix, tone, at + rng.uniform(0, 0.012), rate, gain)
            at += beat * (1 + 0.03 * np.sin(bar))
    room = rng.standard_normal((2, round(0.5 * rate))) * np.exp(
        -np.arange(round(0.5 * rate)) / (0.09 * rate)
    )
    room = signal.lfilter([0.3], [1, -0.7], room)
    wet = np.stack(
        [signal.fftconvolve(m, r)[: mix.shape[1]] for m, r in zip(mix, room, strict=True)]
    )
    return finished(mix + 0.05 * wet, rate), rate


def bells() -> tuple[np.ndarray, int]:
    """Returns (signal (1, samples), 16000): a pentatonic melody of bells over a soft pad."""
    rate, rng = 16000, np.random.default_rng(2)
    mix, one = np.zeros((1, 27 * rate)), np.ones(1)
    scale, place, at = [62, 64, 67, 69, 71, 74, 76, 79, 81], 4, 0.2
    while at < 24.5:
        place = int(np.clip(place + rng.choice([-2, -1, -1, 1, 1, 2, 3]), 0, len(scale) - 1))
        t = np.arange(round(2.6 * rate)) / rate
        f, loud = hz(scale[place]), rng.uniform(0.4, 1.0)
        depth = 3.0 * loud * np.exp(-t / 0.35)
        tone = np.sin(2 * np.pi * f * t + depth * np.sin(2 * np.pi * 1.4 * f * t)) * np.exp(
            -t / 0.8
        )
        tone += 0.25 * np.sin(2 * np.pi * 2.76 * f * t) * np.exp(-t / 0.25)
        add(mix, loud * tone, at, rate, one)
        at += float(rng.choice([0.25, 0.25, 0.5, 0.5, 0.75, 1.25]))
    for bar, chord in enumerate([[50, 57, 62], [47, 54, 62], [43, 50, 59], [45, 52, 61]] * 2):
        t = np.arange(round(4.2 * rate)) / rate
        swell = np.sin(np.pi * np.minimum(t / 4.2, 1)) ** 1.5
        for note in chord:
            for detune in (-0.04, 0.05):
                saw = signal.sawtooth(2 * np.pi * hz(note + detune) * t + rng.uniform(0, 6), 0.5)
                add(mix, 0.05 * swell * saw, 3.25 * bar, rate, one)
    mix += 2e-4 * rng.standard_normal(mix.shape)
    return finished(mix, rate), rate


def drums() -> tuple[np.ndarray, int]:
    """Returns (signal (1, samples), 22050): sixteen bars, each fourth with a fill."""
    rate, rng = 22050, np.random.default_rng(3)
    step = 60 / 140 / 4
    mix, one = np.zeros((1, round((16 * 16 * step + 0.8) * rate))), np.ones(1)
    t = np.arange(round(0.5 * rate)) / rate
    high = signal.butter(4, 6000, "high", fs=rate, output="sos")

    def kick() -> np.ndarray:
        sweep = 48 * t + 110 * 0.03 * (1 - np.exp(-t / 0.03))
        return np.sin(2 * np.pi * sweep) * np.exp(-t / 0.13) + 0.3 * rng.standard_normal(
            len(t)
        ) * np.exp(-t / 0.002)

    def snare() -> np.ndarray:
        body = np.sin(2 * np.pi * 190 * t) * np.exp(-t / 0.06)
        return 0.6 * body + 0.7 * rng.standard_normal(len(t)) * np.exp(-t / 0.075)

    def hat(decay: float) -> np.ndarray:
        return signal.sosfilt(high, rng.standard_normal(len(t))) * np.exp(-t / decay)

    def tom(f: float) -> np.ndarray:
        return np.sin(2 * np.pi * f * (t + 0.01 * (1 - np.exp(-t / 0.02)))) * np.exp(-t / 0.12)

    for bar in range(16):
        kicks = [{0, 6, 10}, {0, 7, 10}, {0, 3, 8, 10}][int(rng.integers(3))]
        for place in range(16):
            at = (bar * 16 + place) * step + (0.012 if place % 2 else 0) + rng.uniform(0, 0.003)
            if bar % 4 == 3 and place >= 10:
                pick = int(rng.integers(4))
                add(
                    mix, 0.8 * (snare() if pick == 3 else tom((110, 150, 200)[pick])), at, rate, one
                )
            elif place in kicks:
                add(mix, rng.uniform(0.85, 1.0) * kick(), at, rate, one)
            elif place in (4, 12):
                add(mix, rng.uniform(0.7, 0.85) * snare(), at, rate, one)
            if place % 2 == 0 or rng.random() < 0.25:
                add(mix, rng.uniform(0.12, 0.3) * hat(0.12 if place == 14 else 0.03), at, rate, one)
    return finished(np.tanh(1.2 * mix), rate), rate


PIECES = {"plucked": plucked, "bells": bells, "drums": drums}


def main() -> None:
    """Writes every piece into `shipped/` beside this file."""
    import soundfile

    folder = Path(__file__).parent / "shipped"
    folder.mkdir(exist_ok=True)
    for name, piece in PIECES.items():
        sound, rate = piece()
        with soundfile.SoundFile(folder / f"{name}.wav", "w", rate, len(sound), "PCM_16") as file:
            file.title, file.copyright = name, "CC0 1.0, the wavegen authors"
            file.write(sound.T)


if __name__ == "__main__":
    main()
