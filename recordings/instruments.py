"""Physical models of instruments, and of the room they stand in: what `make.py` plays.

Strings are digital waveguides after Karplus & Strong 1983 and Jaffe & Smith 1983 (Computer Music
Journal 7:2) with two polarisations, a pluck at a place on the string and a body of damped modes;
bars are sums of the modes of a free and of an arched bar (Fletcher & Rossing, The Physics of
Musical Instruments, ch. 19); drums are modes of a membrane with noise for wires and metal. A sound
is mono `(samples,)` at `RATE`; a mix is `(2, samples)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import signal

RATE = 22050
FREE_BAR = ((1.0, 1.0, 1.0), (2.756, 0.42, 0.36), (5.404, 0.22, 0.13), (8.933, 0.10, 0.06))
ARCHED_BAR = ((1.0, 1.0, 1.0), (3.984, 0.16, 0.22), (10.67, 0.07, 0.05))
MEMBRANE = ((1.0, 1.0, 1.0), (1.59, 0.55, 0.7), (2.14, 0.35, 0.5), (2.65, 0.25, 0.4))


def hz(note: float) -> float:
    """Returns the frequency of a MIDI note."""
    return 440.0 * 2 ** ((note - 69) / 12)


def times(seconds: float) -> np.ndarray:
    """Returns the times of the samples of a sound, s."""
    return np.arange(round(seconds * RATE)) / RATE


def loop(excitation: np.ndarray, f: float, ring: float, damping: float) -> np.ndarray:
    """Returns what runs round a string of frequency f that rings `ring` seconds (to -60 dB).

    A round is a delay, tuned by an all-pass, and a filter `1 - damping, damping` that takes more
    of what is high.
    """
    period = RATE / f - damping
    whole = int(period - 0.3)
    fraction = period - whole
    tune, loss = (1 - fraction) / (1 + fraction), 10 ** (-3 / (f * ring))
    feedback = np.zeros(whole + 3)
    feedback[0], feedback[1] = 1.0, tune
    feedback[whole:] -= loss * np.convolve([1 - damping, damping], [tune, 1.0])
    return signal.lfilter([1, tune], feedback, excitation)


def string(note: float, seconds: float, loud: float, rng: np.random.Generator) -> np.ndarray:
    """Returns a nylon string, plucked: the louder, the brighter; damped when its time is over."""
    f, width = hz(note), 0.0011 - 0.0007 * loud
    t = times(seconds + 0.15)
    pluck = np.where(t < width, 1 - np.cos(2 * np.pi * t / width), 0.0)
    flesh = rng.standard_normal(len(t)) * np.exp(-t / 0.0015) * np.minimum(1, t / 0.0005)
    pluck = pluck / pluck.sum() + 0.006 * signal.lfilter([0.5, 0.5], [1], flesh)
    place = round(rng.uniform(0.13, 0.19) * RATE / f)
    pluck[place:] -= 0.95 * pluck[:-place].copy()
    ring = 5.2 * (120 / f) ** 0.45
    upright = loop(pluck, f * 1.0002, ring * 0.45, 0.34)
    level = loop(pluck, f * 0.9999, ring * 1.25, 0.28)
    loud *= (f / 220) ** 0.35  # a light body gives little of what is low
    return loud * (0.6 * upright + 0.5 * level) * np.exp(-np.maximum(0, t - seconds) / 0.035)


def body(mix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns a mix through the wooden body of a lute: air, top plate, and many small modes."""
    t, heard = times(0.25), np.zeros_like(mix)
    known = [(104, 0.05, 1.0), (196, 0.04, 0.9), (236, 0.035, 0.6), (388, 0.03, 0.6)]
    known += [(442, 0.025, 0.5), (561, 0.02, 0.45), (714, 0.02, 0.4)]
    known += [(f, 0.009, 0.3) for f in rng.uniform(800, 5200, 50)]
    for channel, sound in enumerate(mix):
        answer = np.zeros(len(t))
        for f, decay, gain in known:
            phase = rng.uniform(-0.6, 0.6)
            answer += gain * np.sin(2 * np.pi * f * t + phase) * np.exp(-t / decay)
        answer *= 0.03
        answer[0] += 1.0
        heard[channel] = signal.fftconvolve(sound, answer)[: len(sound)]
    return heard


def bar(
    note: float, seconds: float, loud: float, modes: Sequence[tuple], ring: float, hard: float
) -> np.ndarray:
    """Returns a struck bar; each mode is a pair a little apart, so that it shimmers.

    Args:
        note: MIDI.
        seconds: length.
        loud: 0 .. 1; a louder stroke is brighter.
        modes: (ratio, level, ring) of each.
        ring: time constant of the lowest mode at middle C, s.
        hard: of the mallet, 0 .. 1.
    """
    t, f = times(seconds), hz(note)
    sound = np.zeros(len(t))
    for number, (ratio, level, share) in enumerate(modes):
        if f * ratio > 0.45 * RATE:
            break
        tau = ring * share * (262 / f) ** 0.6
        strength = level * (hard * (0.3 + 0.7 * loud)) ** number
        pair = np.sin(2 * np.pi * f * ratio * 0.9994 * t) + np.sin(
            2 * np.pi * f * ratio * 1.0006 * t + 0.4
        )
        sound += strength * pair * np.exp(-t / tau)
    return loud * sound * np.minimum(1, t / 0.0015)


def membrane(f: float, seconds: float, ring: float, glide: float) -> np.ndarray:
    """Returns a struck head, whose tension, and with it the pitch, falls after the stroke."""
    t = times(seconds)
    turn = 2 * np.pi * f * (t + glide * 0.03 * (1 - np.exp(-t / 0.03)))
    sound = np.zeros(len(t))
    for ratio, level, share in MEMBRANE:
        sound += level * np.sin(ratio * turn + level) * np.exp(-t / (ring * share))
    return sound * np.minimum(1, t / 0.001)


def metal(seconds: float, low: float, ring: float, rng: np.random.Generator) -> np.ndarray:
    """Returns struck metal: many modes that are no one's harmonics, above `low` Hz."""
    t = times(seconds)
    sound = 0.5 * rng.standard_normal(len(t)) * np.exp(-t / (0.6 * ring))
    for f in rng.uniform(low, 10500, 150):
        fading = np.exp(-t / (ring * rng.uniform(0.4, 1.4)))
        sound += 0.08 * np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) * fading
    band = signal.butter(2, low, "high", fs=RATE, output="sos")
    return signal.sosfilt(band, sound) * np.minimum(1, t / 0.0007)


def kick(loud: float, rng: np.random.Generator) -> np.ndarray:
    """Returns a bass drum: a head that falls to 52 Hz, and the beater."""
    t = times(0.5)
    click = rng.standard_normal(len(t)) * np.exp(-t / 0.0025)
    band = signal.butter(2, [900, 4500], "band", fs=RATE, output="sos")
    return loud * (membrane(52, 0.5, 0.14, 1.3) + 0.5 * loud * signal.sosfilt(band, click))


def snare(loud: float, rng: np.random.Generator) -> np.ndarray:
    """Returns a snare drum: a head, and wires that sound longer the harder it is struck."""
    t = times(0.45)
    band = signal.butter(2, [1200, 9000], "band", fs=RATE, output="sos")
    wires = signal.sosfilt(band, rng.standard_normal(len(t)))
    wires *= np.exp(-t / (0.035 + 0.055 * loud)) * np.minimum(1, t / 0.001)
    f = 188 * (1 + 0.02 * loud)
    return loud * (0.5 * membrane(f, 0.45, 0.055, 0.25) + 0.75 * wires)


def add(mix: np.ndarray, sound: np.ndarray, start: float, pan: float) -> None:
    """Adds a sound to a mix at a time, from the left (pan 0) to the right (1), equally loud."""
    first = max(0, round(start * RATE))
    sound = sound[: max(0, mix.shape[1] - first)]
    gains = np.cos(pan * np.pi / 2), np.sin(pan * np.pi / 2)
    mix[:, first : first + len(sound)] += np.outer(gains, sound)


def room(mix: np.ndarray, ring: float, wet: float, rng: np.random.Generator) -> np.ndarray:
    """Returns a mix in a room: first echoes from its walls, then a tail whose highs die sooner.

    Args:
        mix: `(2, samples)`.
        ring: seconds to -60 dB, of the middle.
        wet: level of the room beside the sound.
        rng: decides where the walls are.
    """
    t, heard = times(1.3 * ring), np.zeros_like(mix)
    for channel in range(2):
        answer = np.zeros(len(t))
        for low, high, share in ((60, 400, 1.2), (400, 2500, 1.0), (2500, 10000, 0.5)):
            band = signal.butter(2, [low, high], "band", fs=RATE, output="sos")
            answer += signal.sosfilt(band, rng.standard_normal(len(t))) * 10 ** (
                -3 * t / (ring * share)
            )
        answer *= np.minimum(1, t / 0.03)
        answer /= np.sqrt(np.sum(answer**2))
        for echo in np.sort(rng.uniform(0.004, 0.035, 7)):
            answer[round(echo * RATE)] += 0.35 * rng.choice([-1, 1]) * 0.006 / (0.006 + echo)
        heard[channel] = signal.fftconvolve(mix[channel], answer)[: mix.shape[1]]
    return mix + wet * heard


def finished(mix: np.ndarray) -> np.ndarray:
    """Returns the mix without DC and rumble, its ends free of clicks, at -2 dB peak."""
    mix = signal.sosfilt(signal.butter(2, 28, "high", fs=RATE, output="sos"), mix)
    t = times(mix.shape[1] / RATE)[: mix.shape[1]]
    mix = mix * np.minimum(1, t / 0.02) * np.minimum(1, t[::-1] / 0.01)
    return (mix / np.abs(mix).max() * 10 ** (-2 / 20)).astype("float32")
