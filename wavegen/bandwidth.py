"""How far up a recording truly goes, whatever its sample rate says.

An MP3, or a recording that was resampled from a lower rate, ends at a frequency as if cut off: a
dense spectrum falls to nothing within a tenth of that frequency. No instrument does that.
"""

from __future__ import annotations

import numpy as np
import scipy  # whose parts it imports when they are used: two of them take a second

FRAMES = 4  # spectra a second
FRAME_SECONDS = 0.08  # at least so long is one
GROUP = 16 * FRAMES  # spectra of which a level counts that a tenth of them exceed: clicks do not
FLOOR_DB = -118.0  # above what rounding to 16 bits leaves at one frequency
NOTHING_DB = -90.0  # at one frequency: behind a cut there is no more than dither or aliases
DEPTH_DB = 100.0  # so far below the strongest tone nothing is heard
SMOOTH = 15  # bins of the spectrum in whose middle value chance is less
WALL_DB = 12.0  # a fall by so much within a tenth of the frequency is no instrument's,
STEEPER = 2.5  # unless it fell before, and more than so many times as fast
TONAL_DB = 30.0  # between tones and what lies between them, where it is not dense
LOWEST_CUT = 3000.0  # Hz: nobody records at a rate below twice that
FULL = 0.9  # of half the sample rate: converters filter above it


class Spectrum:
    """The level that a recording reaches at each frequency, its loudest stretches counting."""

    def __init__(self, sample_rate: int) -> None:
        """Starts with nothing.

        Args:
            sample_rate: Hz.
        """
        self.sample_rate = sample_rate
        self.size = 1 << int(np.ceil(np.log2(FRAME_SECONDS * sample_rate)))
        self.window = scipy.signal.windows.blackmanharris(self.size).astype(np.float32)
        self.window *= 2 / self.window.sum()  # a tone then shows its amplitude
        self.held: list[np.ndarray] = []  # power of the frames of one group
        self.frames = 0
        self.power = np.zeros(self.size // 2 + 1, np.float32)

    def add(self, second: np.ndarray) -> None:
        """Takes the next second in, `(channels, samples)`."""
        samples = second.shape[1]
        if samples < self.size:
            if self.frames:
                return  # what is left over
            second = np.pad(second, ((0, 0), (0, self.size - samples)))
        starts = np.unique(np.linspace(0, second.shape[1] - self.size, FRAMES).astype(int))
        frames = np.stack([second[:, start : start + self.size] for start in starts])
        frames = frames - frames.mean(axis=-1, keepdims=True)
        spectra = scipy.fft.rfft(frames * self.window)  # (frames, channels, bins)
        self.frames += len(starts)
        self.held.extend((spectra.real**2 + spectra.imag**2).max(axis=1))
        if len(self.held) >= GROUP:
            self._close()

    def _close(self) -> None:
        if self.held:
            group, self.held = np.quantile(np.stack(self.held), 0.9, axis=0), []
            self.power = np.maximum(self.power, group)

    def bandwidth(self) -> tuple[float, bool]:
        """Returns (frequency in Hz above which there is nothing, whether it is a cut)."""
        self._close()
        width = self.sample_rate / self.size
        level = 10 * np.log10(np.maximum(self.power, 1e-15))
        smooth = scipy.signal.medfilt(level, SMOOTH)
        edge = self._wall(level, smooth) if self.frames >= FRAMES else None
        if edge is not None:
            return edge, edge < FULL * self.sample_rate / 2
        heard = np.flatnonzero(level > max(level.max() - DEPTH_DB, FLOOR_DB))
        highest = (heard[-1] + 1) * width if len(heard) else 0.0
        return float(min(highest, self.sample_rate / 2)), False

    def _wall(self, level: np.ndarray, smooth: np.ndarray) -> float | None:
        """Returns where a dense spectrum falls to a floor at once, in Hz, or None.

        Filters of converters and encoders do that. What instruments and rooms do goes on as it
        began, and tones with nothing between them are no dense spectrum.
        """

        def part(start: float, stop: float) -> slice:
            bins = self.size / self.sample_rate  # a Hz
            return slice(int(start * bins), int(stop * bins))

        nyquist, deepest, found = self.sample_rate / 2, 0.0, None
        count = max(0, int(np.log(0.95 * nyquist / LOWEST_CUT) / np.log(1.01)))
        for edge in LOWEST_CUT * 1.01 ** np.arange(count):
            floor = max(
                _share(smooth[part(1.05 * edge, 1.15 * edge)], 0.8),
                _share(smooth[part(1.05 * edge, nyquist)], 0.95),
            )
            if floor > NOTHING_DB:
                continue
            below = level[part(0.88 * edge, 0.95 * edge)]
            dense = _share(smooth[part(0.88 * edge, 0.95 * edge)], 0.2)
            slope = _share(smooth[part(0.76 * edge, 0.82 * edge)], 0.2) - dense
            if _share(below, 0.9) - _share(below, 0.1) > TONAL_DB:
                continue
            if dense - floor > max(WALL_DB + STEEPER * max(slope, 0.0), deepest):
                deepest, found = dense - floor, (edge, (dense + floor) / 2)
        if found is None:
            return None
        around = part(0.88 * found[0], 1.1 * found[0])
        last = np.flatnonzero(smooth[around] > found[1])[-1]
        return float((around.start + last + 1) * self.sample_rate / self.size)


def _share(values: np.ndarray, share: float) -> float:
    """Returns what a share of the values does not exceed, faster than `numpy.quantile`."""
    return float(np.sort(values)[round(share * (len(values) - 1))])
