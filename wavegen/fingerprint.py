"""Whether two recordings hold the same performance: robust fingerprints of sound.

Haitsma and Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002): 32 bits a frame say
where energy rises against its neighbours in frequency and time. They outlive other levels, rates,
codecs and cuts; a performance played twice has others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from scipy import fft

RATE = 5500  # Hz
FRAME = 2048  # samples: 0.37 s
HOP = 128  # samples: 23 ms
BANDS_HZ = np.geomspace(300, 2000, 34)  # edges of 33 bands
FAINT = 1e-9  # mean power of a frame below which its bits are chance
COMMON = 24  # a value found more often than this tells nothing
VOTES = 4  # frames that must agree before two recordings are compared
SLACK = 3  # frames around an alignment that are tried
STRETCH = 86  # frames, 2 s, over which bits are compared
ERRORS = 0.3  # share of bits that may differ there; chance makes 0.5
ALIKE = 0.5  # share of the shorter recording that must be found in the other


class Fingerprinter:
    """Makes the fingerprint of a sound given in pieces."""

    def __init__(self, sample_rate: int) -> None:
        """Starts with nothing.

        Args:
            sample_rate: Hz.
        """
        self.sample_rate = sample_rate
        self.stream: soxr.ResampleStream | None = None  # as many channels as the sound has, or two
        self.kept = np.zeros((1, 0), np.float32)
        self.before: np.ndarray | None = None  # bands of the frame before
        self.found: list[np.ndarray] = []
        self.edges = np.round(BANDS_HZ * FRAME / RATE).astype(int)
        self.window = np.hanning(FRAME).astype(np.float32)

    def add(self, signal: np.ndarray) -> None:
        """Takes the next piece in, float32 `(channels, samples)`; two channels count at most."""
        signal = signal[:2]
        if self.stream is None:
            self.stream = soxr.ResampleStream(
                self.sample_rate, RATE, len(signal), dtype="float32", quality="LQ"
            )
            self.kept = np.zeros((len(signal), 0), np.float32)
        self._take(self.stream.resample_chunk(np.ascontiguousarray(signal.T)).T)

    def finish(self) -> np.ndarray:
        """Returns the fingerprint, uint32 `(frames,)`; 0 where there is hardly any sound."""
        if self.stream is not None:
            rest = np.zeros((0, len(self.kept)), np.float32)
            self._take(self.stream.resample_chunk(rest, last=True).T)
        return np.concatenate(self.found) if self.found else np.zeros(0, np.uint32)

    def _take(self, signal: np.ndarray) -> None:
        self.kept = np.concatenate([self.kept, signal], axis=1)
        if self.kept.shape[1] < FRAME:
            return
        frames = np.lib.stride_tricks.sliding_window_view(self.kept, FRAME, axis=1)[:, ::HOP]
        self.kept = self.kept[:, frames.shape[1] * HOP :]
        spectra = fft.rfft(frames * self.window)[..., : self.edges[-1]]  # (channels, frames, bins)
        # Powers add up whichever channel is upside down, and whichever is left.
        power = np.mean(spectra.real**2 + spectra.imag**2, axis=0)
        bands = np.add.reduceat(power, self.edges[:-1], axis=1)  # (frames, 33)
        before = bands[:1] if self.before is None else self.before
        self.before = bands[-1:]
        tilt = np.diff(np.concatenate([before, bands]), axis=1)  # (1 + frames, 32)
        bits = tilt[1:] > tilt[:-1]
        values = np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)
        values[bands.sum(axis=1) < FAINT * FRAME**2] = 0
        self.found.append(values)


@dataclass(frozen=True, slots=True)
class Match:
    """Two recordings that hold the same performance.

    Attributes:
        first: number of one.
        second: number of the other, greater than `first`.
        shift: seconds into the first at which the second begins, negative the other way round.
        share: of the shorter one that is found in the other, 0 .. 1.
    """

    first: int
    second: int
    shift: float
    share: float


def matches(fingerprints: Sequence[np.ndarray]) -> list[Match]:
    """Returns the pairs of recordings that hold the same performance.

    Args:
        fingerprints: of the recordings, as `Fingerprinter` makes them.
    """
    found: dict[tuple[int, int], tuple[float, int]] = {}
    for first, second, shift in _candidates(fingerprints):
        a, b = fingerprints[first], fingerprints[second]
        share, exact = max(
            (_share(a, b, shift + slack), shift + slack) for slack in range(-SLACK, SLACK + 1)
        )
        if share >= ALIKE and share > found.get((first, second), (0.0, 0))[0]:
            found[first, second] = share, exact
    return [
        Match(first, second, shift * HOP / RATE, share)
        for (first, second), (share, shift) in sorted(found.items())
    ]


def _candidates(fingerprints: Sequence[np.ndarray]) -> list[tuple[int, int, int]]:
    """Returns (first, second, shift in frames) where frames of two recordings agree often."""
    values = np.concatenate([*fingerprints, np.zeros(0, np.uint32)])
    owners = np.repeat(np.arange(len(fingerprints)), [len(one) for one in fingerprints])
    places = np.concatenate([np.arange(len(one)) for one in fingerprints] + [np.zeros(0, int)])
    order = np.argsort(values, kind="stable")
    order = order[values[order] != 0]
    values, owners, places = values[order], owners[order], places[order]
    _, run, sizes = np.unique(values, return_inverse=True, return_counts=True)
    rare = sizes[run] <= COMMON
    values, owners, places = values[rare], owners[rare], places[rare]
    votes = []
    for distance in range(1, COMMON):  # within a run of equal values, each pair once
        same = (values[distance:] == values[:-distance]) & (owners[distance:] != owners[:-distance])
        at = np.flatnonzero(same)
        if not len(at) and not (values[distance:] == values[:-distance]).any():
            break
        shift = places[at] - places[at + distance]
        votes.append(np.stack([owners[at], owners[at + distance], shift // SLACK], axis=1))
    if not votes:
        return []
    pairs, counts = np.unique(np.concatenate(votes), axis=0, return_counts=True)
    often = pairs[counts >= VOTES]
    ranked = often[np.argsort(-counts[counts >= VOTES], kind="stable")]
    kept: dict[tuple[int, int], list[int]] = {}
    for first, second, shift in ranked.tolist():
        kept.setdefault((first, second), []).append(shift * SLACK)
    return [(*pair, shift) for pair, shifts in kept.items() for shift in shifts[:4]]


def _share(a: np.ndarray, b: np.ndarray, shift: int) -> float:
    """Returns the share of the shorter of two fingerprints that agrees with the other."""
    start, stop = max(shift, 0), min(len(a), len(b) + shift)
    length = min(len(a), len(b))
    if stop - start < min(STRETCH, length) or not length:
        return 0.0
    one, two = a[start:stop], b[start - shift : stop - shift]
    wrong = np.unpackbits((one ^ two).view(np.uint8)).reshape(len(one), 32).mean(axis=1)
    sound = (one != 0) & (two != 0)
    wrong[~sound] = 0.5
    size = min(STRETCH, len(wrong))
    sums = np.concatenate([[0.0], np.cumsum(wrong)])
    alike = (sums[size:] - sums[:-size]) / size < ERRORS  # of each stretch
    covered = np.convolve(alike, np.ones(size)) > 0.5  # (frames,)
    return float((covered & sound).sum() / max(1, min((a != 0).sum(), (b != 0).sum())))
