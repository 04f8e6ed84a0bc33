"""The STFT codec: frames of real and imaginary parts that give the signal back exactly.

A tight frame of windows whose overlapping squares add up to one (Princen and Bradley 1986). Use it
as `codec.STFT`; the error it leaves is documented there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from wavegen.errors import UsageError
from wavegen.framing import (
    DecodeState,
    EncodeState,
    Shape,
    checked_channels,
    checked_frames,
    checked_signal,
    is_turned,
    labelled,
    mid_side,
    spread,
    tight_window,
    unlabelled,
)

BLOCK_REALS = 2**18  # features worked on at a time
KEPT = 16  # phases, at most, whose rotations are kept; half overlap has two


class STFT:
    """Frames of real and imaginary parts, from which the signal comes back exactly.

    Frame t holds samples [(t + 1) * hop_length - n_fft, (t + 1) * hop_length), so a step of one
    hop of new samples gives one frame. Windowing and transform keep the energy: the squares of all
    frames add up to the squares of all samples. The last axis of a frame, flat, is
    (channels, 2, n_fft // 2): channel, real/imaginary, coefficient. Coefficient 0 holds the two
    real ones, DC as real and Nyquist as imaginary part. The phase that a hop adds to coefficient k
    is taken out (times exp(-2 pi i k hop_length t / n_fft)): coefficient k of a tone at its centre
    stands still, and of one d bins beside it turns by d * hop_length / n_fft of a circle a frame.

    Attributes:
        n_fft: samples in a frame.
        hop_length: samples from frame to frame; also `frame_samples`.
        channels: channels of the signal.
        stereo: how two channels are turned, "mid_side" or "left_right".
        labels: of what a model knows of a frame, at its end.
        features: reals in a frame, channels * n_fft + labels.
        delay_samples: samples by which decoding in steps lags, n_fft - hop_length.
        window: float64 (n_fft,), used in analysis and synthesis; read-only.
    """

    def __init__(
        self,
        n_fft: int,
        hop_length: int,
        channels: int = 1,
        stereo: str = "mid_side",
        labels: int = 0,
    ) -> None:
        """Builds the window.

        Args:
            n_fft: samples in a frame, even; 2048 are 46 ms at 44.1 kHz.
            hop_length: samples from frame to frame, 1 .. n_fft; n_fft // 2 overlaps every sample
                twice, n_fft does not overlap and clicks once frames are made up.
            channels: channels of the signal, at least 1.
            stereo: "mid_side" gives a model the sum and the difference of two channels (over the
                root of 2), "left_right" the channels as they are. Other than two stay as they are.
            labels: further numbers at the end of a frame for what a model knows of it; of sound
                they are `UNKNOWN`, and decoding does not look at them.

        Raises:
            UsageError: a value out of range.
        """
        if n_fft < 2 or n_fft % 2:
            raise UsageError(f"n_fft={n_fft} must be even and at least 2")
        if not 1 <= hop_length <= n_fft:
            raise UsageError(f"hop_length={hop_length} must lie in 1 .. n_fft={n_fft}")
        self.n_fft, self.hop_length, self.stereo = n_fft, hop_length, stereo
        self.channels = checked_channels(channels)
        self._turn = mid_side if is_turned(channels, stereo) else np.asarray
        self.labels = labels
        self.features = channels * n_fft + labels
        self.frame_samples = hop_length
        self.delay_samples = n_fft - hop_length
        self.window = tight_window(n_fft, hop_length)
        self._cycle = n_fft // math.gcd(n_fft, hop_length)  # frames after which phases repeat
        # sqrt(2) gives a coefficient the energy of its mirror image, which is not stored.
        self._roots = math.sqrt(2) * np.exp(-2j * np.pi * np.arange(n_fft) / n_fft)
        self._kept = {}  # rotations of every phase, by whether they are the inverse
        if self._cycle <= KEPT:
            every = np.arange(self._cycle)
            self._kept = {inverse: self._roots_of(every, inverse) for inverse in (False, True)}

    def encode_initial(
        self, batch_shape: Shape = (), frame: Any = 0, past: np.ndarray | None = None
    ) -> EncodeState:
        """Returns the state of an encoder before frame 0, or before a later frame of a recording.

        Args:
            batch_shape: axes in front of (channels, samples).
            frame: number of the next frame from the start of the recording, int or an array of
                batch_shape.
            past: (..., channels, n_fft - hop_length), the samples just before
                frame * hop_length; silence by default.

        Raises:
            UsageError: past or frame does not fit.
        """
        shape = (*batch_shape, self.channels, self.delay_samples)
        samples = np.asarray(0 if past is None else past, np.float32)
        if past is not None and samples.shape[-2:] != shape[-2:]:
            raise UsageError(f"past of shape {samples.shape} must end in {shape[-2:]}")
        return EncodeState(spread(samples, shape, "past"), self._counter(batch_shape, frame))

    def decode_initial(self, batch_shape: Shape = (), frame: Any = 0) -> DecodeState:
        """Returns the state of a decoder before frame 0, or before a later frame.

        Args:
            batch_shape: axes in front of (frames, features).
            frame: number of the first frame to come, int or an array of batch_shape.

        Raises:
            UsageError: frame does not fit the batch_shape.
        """
        overlap = np.zeros((*batch_shape, self.channels, self.delay_samples))
        return DecodeState(overlap, self._counter(batch_shape, frame))

    def encode_step(self, signal: np.ndarray, state: EncodeState) -> tuple[np.ndarray, EncodeState]:
        """Returns the frames that the next samples complete, and the next state.

        Args:
            signal: (..., channels, samples), float; samples a multiple of hop_length.
            state: from `encode_initial` or the step before.

        Returns:
            float32 (..., samples // hop_length, features), and the state.

        Raises:
            UsageError: another number of channels, or samples that do not fill hops.
        """
        signal = checked_signal(signal, self.channels)
        count, rest = divmod(signal.shape[-1], self.hop_length)
        if rest:
            raise UsageError(
                f"a step of {signal.shape[-1]} samples must be a multiple of {self.hop_length} "
                "(hop_length); keep the rest for the next step"
            )
        frames = np.empty(
            (*signal.shape[:-2], count, self.channels, 2, self.n_fft // 2), np.float32
        )
        if count:
            heard = np.concatenate([state.past, signal], -1)
            for first, last in self._blocks(frames):
                span = slice(first * self.hop_length, (last - 1) * self.hop_length + self.n_fft)
                out = frames[..., first:last, :, :, :]
                self._analyse(self._turn(heard[..., span]), state.frame + first, out)
            state = EncodeState(
                heard[..., heard.shape[-1] - self.delay_samples :].copy(),
                self._counter(signal.shape[:-2], state.frame + count),
            )
        frames = frames.reshape(*frames.shape[:-3], self.features - self.labels)
        return labelled(frames, self.labels), state

    def decode_step(self, frames: np.ndarray, state: DecodeState) -> tuple[np.ndarray, DecodeState]:
        """Returns the samples that the next frames complete, and the next state.

        Args:
            frames: (..., frames, features), float.
            state: from `decode_initial` or the step before.

        Returns:
            float32 (..., channels, frames * hop_length), `delay_samples` late, and the state.

        Raises:
            UsageError: another number of features.
        """
        frames = checked_frames(frames, self.features)
        count = frames.shape[-2]
        frames = unlabelled(frames, self.channels)
        frames = frames.reshape(*frames.shape[:-1], self.channels, 2, self.n_fft // 2)
        hop, pieces = self.hop_length, -(-self.n_fft // self.hop_length)
        total = np.empty((*frames.shape[:-4], self.channels, count + pieces - 1, hop))
        flat = total.reshape(*total.shape[:-2], -1)
        flat[..., : self.delay_samples] = state.overlap
        flat[..., self.delay_samples :] = 0.0
        for first, last in self._blocks(frames):
            parts = self._synthesise(frames[..., first:last, :, :, :], state.frame + first)
            for piece in reversed(range(pieces)):  # oldest first, as the whole adds them up
                own = parts[..., piece * hop : (piece + 1) * hop]
                total[..., first + piece : last + piece, : own.shape[-1]] += own
        done = count * hop
        following = DecodeState(
            flat[..., done : done + self.delay_samples].copy(),
            self._counter(frames.shape[:-4], state.frame + count),
        )
        return self._turn(flat[..., :done]).astype(np.float32), following

    def encode(self, signal: np.ndarray) -> np.ndarray:
        """Returns the frames of a whole signal, followed by silence until every sample is covered.

        Args:
            signal: (..., channels, samples), float in [-1, 1].

        Returns:
            float32 (..., ceil((samples + n_fft - hop_length) / hop_length), features).

        Raises:
            UsageError: another number of channels.
        """
        signal = checked_signal(signal, self.channels)
        samples = signal.shape[-1]
        padding = -(samples + self.delay_samples) % self.hop_length + self.delay_samples
        signal = np.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, padding)])
        return self.encode_step(signal, self.encode_initial(signal.shape[:-2]))[0]

    def decode(self, frames: np.ndarray, samples: int | None = None) -> np.ndarray:
        """Returns the whole signal of frames, without the delay.

        Args:
            frames: (..., frames, features), float.
            samples: length to cut to, to undo the padding of `encode`; by default every sample
                that is complete, frames * hop_length - delay_samples.

        Returns:
            float32 (..., channels, samples).

        Raises:
            UsageError: another number of features, or more samples than the frames complete.
        """
        frames = checked_frames(frames, self.features)
        complete = max(0, frames.shape[-2] * self.hop_length - self.delay_samples)
        if samples is not None and not 0 <= samples <= complete:
            raise UsageError(
                f"samples={samples} must lie in 0 .. {complete}, what {frames.shape[-2]} frames "
                "complete; give more frames"
            )
        signal, _ = self.decode_step(frames, self.decode_initial(frames.shape[:-2]))
        length = complete if samples is None else samples
        return signal[..., self.delay_samples : self.delay_samples + length]

    def _counter(self, batch_shape: Shape, frame: Any) -> np.ndarray:
        return spread((np.asarray(frame) % self._cycle).astype(np.int32), batch_shape, "frame")

    def _blocks(self, frames: np.ndarray) -> Iterator[tuple[int, int]]:
        # Spans of frames small enough that their double-precision temporaries stay in the cache,
        # whatever the length of the signal. frames: (..., frames, channels, 2, n_fft/2)
        count = frames.shape[-4]
        size = max(1, count * BLOCK_REALS // max(1, frames.size))
        for first in range(0, count if frames.size else 0, size):
            yield first, min(first + size, count)

    def _rotation(self, frame: np.ndarray, count: int, inverse: bool = False) -> np.ndarray:
        # sqrt(2) exp(-2 pi i k hop t / n_fft), for k = 0 .. n_fft / 2: (..., frames, n_fft/2 + 1).
        numbers = (frame[..., None].astype(np.int64) + np.arange(count)) % self._cycle
        if self._kept:
            return self._kept[inverse][numbers]
        found, places = np.unique(numbers, return_inverse=True)
        return self._roots_of(found, inverse)[places.reshape(numbers.shape)]

    def _roots_of(self, numbers: np.ndarray, inverse: bool) -> np.ndarray:
        shifts = numbers * self.hop_length % self.n_fft
        coefficients = np.arange(self.n_fft // 2 + 1)
        rotation = self._roots[shifts[:, None] * coefficients % self.n_fft]
        rotation[:, [0, -1]] *= math.sqrt(0.5)  # DC and Nyquist have no mirror image
        return 1 / rotation if inverse else rotation

    def _analyse(self, signal: np.ndarray, frame: np.ndarray, out: np.ndarray) -> None:
        # In double precision, for a frame sums thousands of samples. (..., channels, frames, n_fft)
        windows = sliding_window_view(signal, self.n_fft, -1)[..., :: self.hop_length, :]
        spectrum = scipy.fft.rfft(windows * self.window, norm="ortho", overwrite_x=True)
        spectrum = np.swapaxes(spectrum, -2, -3)  # (..., frames, channels, n_fft/2 + 1)
        spectrum *= self._rotation(frame, out.shape[-4])[..., None, :]
        out[..., 0, :] = spectrum[..., :-1].real
        out[..., 1, :] = spectrum[..., :-1].imag
        out[..., 1, 0] = spectrum[..., -1].real

    def _synthesise(self, frames: np.ndarray, frame: np.ndarray) -> np.ndarray:
        # (..., frames, channels, 2, n_fft/2) to (..., channels, frames, n_fft)
        spectrum = np.empty((*frames.shape[:-2], self.n_fft // 2 + 1), np.complex128)
        spectrum[..., :-1].real = frames[..., 0, :]
        spectrum[..., :-1].imag = frames[..., 1, :]
        spectrum[..., -1] = frames[..., 1, 0]
        spectrum[..., 0] = frames[..., 0, 0]
        spectrum *= self._rotation(frame, frames.shape[-4], inverse=True)[..., None, :]
        spectrum = np.swapaxes(spectrum, -2, -3)  # (..., channels, frames, n_fft/2 + 1)
        parts = scipy.fft.irfft(spectrum, self.n_fft, norm="ortho", overwrite_x=True)
        parts *= self.window
        return parts
