"""The codebook: some hundreds of typical frames, found by k-means in those of recordings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np

FITTED = 24000  # frames that the codes are fitted on, at most
ROUNDS = 15  # of k-means
EXAMPLES = 64  # frames to each code, at least; with fewer an LSTM learns their order by heart
TRACED = 512  # frames that what is fitted is described in, or a multiple


def gathered(pieces: Iterable[np.ndarray], described: Callable) -> np.ndarray | None:
    """Returns what codes are of `(frames, width)`, evenly of all recordings; None of no frame.

    Args:
        pieces: float32 `(frames, channels * n_fft + 1)` of contiguous frames each.
        described: from `(1, frames, ...)` to what codes are of, `(1, frames, width)`.
    """
    found, stride = list[np.ndarray](), 1
    for number, piece in enumerate(pieces):
        if number % stride == 0 and len(piece):
            # Of few lengths, as it is traced for each; what follows a frame does not change it.
            filled = np.pad(piece, [(0, -len(piece) % TRACED), (0, 0)])
            found.append(np.asarray(described(filled[None]))[0, : len(piece)])
        if sum(map(len, found)) > 2 * FITTED:  # ten hours must fit as well
            found, stride = found[::2], 2 * stride
    return np.concatenate(found) if found else None


def fitted(every: np.ndarray, codes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the codes `(codes, width)`; mean and deviation of what they are of, `(width,)`.

    Args:
        every: of frames, `(frames, width)`.
        codes: how many; of little sound there are fewer, over and over, of which the first count.
    """
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(0)
    chosen = every[rng.permutation(len(every))[:FITTED]]
    own = min(codes, max(2, len(every) // EXAMPLES))
    start = np.resize(chosen, (own, chosen.shape[1]))
    start = start + 1e-3 * rng.standard_normal(start.shape)  # no two are the same
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a code that nothing is like stays as is
        book, _ = kmeans2(chosen.astype("float64"), start, iter=ROUNDS, minit="matrix")
    book = np.resize(book.astype("float32"), (codes, book.shape[1]))
    return book, chosen.mean(axis=0), chosen.std(axis=0) + 1e-2
