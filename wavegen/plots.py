"""The pictures of commands, reports and notebooks: one look, one scale, so that they compare.

Every function draws into axes that it is given; `figure` makes some where no notebook does.
matplotlib is imported only when something is drawn.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from wavegen import __version__
from wavegen.errors import UsageError, shown

RANGE_DB = (-100.0, -20.0)  # of every spectrogram; a full-scale sine is at 0
LOWEST_HZ = 40.0
BANDS_PER_OCTAVE = 24
TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
COLUMNS = 1600  # of a spectrogram at most: as many as a wide screen shows


def figure(
    heights: Sequence[float], width: float = 10.0, above: float = 0.3, left: float | None = None
) -> tuple[Any, list[Any]]:
    """Returns a figure and axes below each other, with room for labels at known places.

    Args:
        heights: of the axes, inches.
        width: of the figure, inches; the axes take `SPAN` of it, so that a click can be placed.
        above: room for a title, inches.
        left: where the axes begin, if not where `SPAN` does.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("pictures need matplotlib; pip install matplotlib") from error
    between, below = 0.06, 0.42
    total = above + sum(heights) + between * (len(heights) - 1) + below
    made, axes, top = Figure(figsize=(width, total)), [], total - above
    start = SPAN[0] if left is None else left
    for height in heights:
        box = (start, (top - height) / total, SPAN[1] - start, height / total)
        axes.append(made.add_axes(box))
        top -= height + between
    return made, axes


SPAN = (0.07, 0.99)  # of the width, where the axes of `figure` begin and end


@contextlib.contextmanager
def colours(dark: bool) -> Iterator[None]:
    """Draws what is drawn meanwhile on the ground of a page, light or dark."""
    from matplotlib import rc_context, style

    ground = {"figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none"}
    with rc_context((style.library["dark_background"] if dark else {}) | ground):
        yield


def png(made: Any, dpi: int = 80) -> bytes:
    """Returns a figure as a PNG file."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in letters without a font
        made.savefig(file, format="png", dpi=dpi, metadata={"Software": f"wavegen {__version__}"})
    return file.getvalue()


def pixels(values: np.ndarray, limits: tuple[float, float], colours: str) -> bytes:
    """Returns values as a PNG file without any labels, one pixel each, the first row on top.

    Args:
        values: `(rows, columns)`.
        limits: of the scale.
        colours: name of matplotlib's map of them.
    """
    from matplotlib import colormaps
    from PIL import Image

    share = (values - limits[0]) / (limits[1] - limits[0])
    image = Image.fromarray(np.uint8(np.clip(share, 0, 1) * 255.0 + 0.5), "P")
    image.putpalette(colormaps[colours](np.arange(256), bytes=True)[:, :3].tobytes())
    file = io.BytesIO()
    image.save(file, format="png")
    return file.getvalue()


def spectrum(sound: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a spectrogram even in octaves: dB `(bands, columns)` and the bands' Hz `(bands,)`.

    Frames are about 64 ms long and 75 % of one overlaps the next; a sound that is too long for
    `COLUMNS` shows the mean power of neighbouring frames. Below, where bands are closer than the
    frame's frequencies, the nearest is shown; above, a band is the loudest of its frequencies.

    Args:
        sound: `(channels, samples)`; the mean of the channels is looked at.
        sample_rate: Hz.
    """
    size = 2 ** round(np.log2(0.064 * sample_rate))
    mono = sound.mean(axis=0)
    mono = np.pad(mono, (size // 2, size // 2 + max(0, size - len(mono))))
    windows = np.lib.stride_tricks.sliding_window_view(mono, size)[:: size // 4]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    power = np.square(np.abs(np.fft.rfft(windows * window, axis=1)) * 2 / window.sum()).T
    together = -(-power.shape[1] // COLUMNS)
    if together > 1:
        whole = power[:, : power.shape[1] // together * together]
        power = whole.reshape(len(power), -1, together).mean(axis=2)
    octaves = np.log2(sample_rate / 2 / LOWEST_HZ)
    edges = LOWEST_HZ * 2 ** (np.arange(round(octaves * BANDS_PER_OCTAVE) + 1) / BANDS_PER_OCTAVE)
    bins = edges * size / sample_rate
    low = np.clip(np.round(bins[:-1]).astype(int), 0, size // 2)
    high = np.clip(np.round(bins[1:]).astype(int), low + 1, size // 2 + 1)
    rows = [power[a:b].max(axis=0) for a, b in zip(low, high, strict=True)]
    return 10 * np.log10(np.stack(rows) + 1e-12), np.sqrt(edges[:-1] * edges[1:])


def pitches(sample_rate: int) -> list[tuple[float, str]]:
    """Returns where between the rows of `spectrum` round frequencies lie, and their names in Hz."""
    ticks = [hz for hz in TICKS_HZ if LOWEST_HZ < hz < sample_rate / 2]
    names = [f"{hz / 1000:g} k" if hz >= 1000 else f"{hz}" for hz in ticks]
    places = [float(np.log2(hz / LOWEST_HZ) * BANDS_PER_OCTAVE) for hz in ticks]
    return list(zip(places, names, strict=True))


def spectrogram(
    axes: Any, sound: np.ndarray, sample_rate: int, *, split: float | None = None, title: str = ""
) -> Any:
    """Draws a sound's spectrogram, log frequency, always from -100 to -20 dB; returns the image.

    Args:
        axes: to draw into.
        sound: `(channels, samples)`.
        sample_rate: Hz.
        split: seconds at which a seed ends, for a dashed line.
        title: above it.
    """
    db, hertz = spectrum(sound, sample_rate)
    seconds = sound.shape[1] / sample_rate
    image = axes.imshow(
        db,
        origin="lower",
        aspect="auto",
        extent=(0.0, seconds, 0.0, len(hertz)),
        vmin=RANGE_DB[0],
        vmax=RANGE_DB[1],
        cmap="magma",
        interpolation="nearest",
    )
    axes.set_yticks(*zip(*pitches(sample_rate), strict=True))
    axes.set(xlim=(0.0, seconds), ylabel="Hz")
    axes.set_title(shown(title), parse_math=False)  # a file's name may hold anything
    if split is not None:
        axes.axvline(split, color="white", linestyle="--", linewidth=1)
    return image


def ribbon(
    axes: Any,
    costs: np.ndarray,
    seconds: float,
    *,
    limits: tuple[float, float],
    unit: str,
    split: float | None = None,
) -> None:
    """Draws the surprise over time: how many bits or nats each moment cost a model.

    Args:
        axes: to draw into.
        costs: of moments of equal length, `(moments,)`.
        seconds: that they fill.
        limits: of the scale, the same for what is to be compared.
        unit: of a cost.
        split: seconds at which a seed ends, for a dashed line.
    """
    image = np.clip(costs, *limits)[None]
    extent = (0.0, seconds, limits[0], limits[1])
    axes.imshow(image, aspect="auto", extent=extent, cmap="cividis", vmin=limits[0], vmax=limits[1])
    at = (np.arange(len(costs)) + 0.5) * seconds / max(1, len(costs))
    axes.plot(at, np.clip(costs, *limits), color="white", linewidth=0.8)
    axes.set(xlim=(0.0, seconds), ylim=limits, xlabel="s", ylabel=unit.split()[0])
    if split is not None:
        axes.axvline(split, color="white", linestyle="--", linewidth=1)


def losses(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draws the training loss of every step of a run's log, and its moving mean.

    Args:
        axes: to draw into.
        rows: of `checkpoint.Run.rows`; those of the event "step" have a loss.
    """
    steps = [(r["step"], r["loss"]) for r in rows if r.get("event") == "step" and r.get("loss")]
    if not steps:
        return
    at, loss = np.array(steps, float).T
    axes.plot(at, loss, color="0.5", alpha=0.5, linewidth=0.8)
    width = max(1, len(loss) // 50)
    smooth = np.convolve(loss, np.full(width, 1 / width), "valid")
    axes.plot(at[width - 1 :], smooth, color="tab:blue")
    settled = loss[len(loss) // 50 :]  # the first steps of all fall from far above
    low, high = settled.min(), settled.max()
    axes.set(ylabel="loss of a step", ylim=(low - 0.05 * (high - low), high + 0.05 * (high - low)))


def held_out(
    axes: Any, rows: Sequence[Mapping[str, Any]], baselines: Mapping[str, float], unit: str
) -> None:
    """Draws the held-out scores of a run's log over its steps, with the best baselines.

    Args:
        axes: to draw into.
        rows: of `checkpoint.Run.rows`; those of the event "validation" have scores.
        baselines: name to cost on the held-out part.
        unit: of a cost.
    """
    held = [
        (r["step"], r["scores"][0]["mean"])
        for r in rows
        if r.get("event") == "validation" and r.get("scores")
    ]
    if not held:
        return
    axes.plot(*np.array(held, float).T, "o-", color="tab:orange", markersize=3)
    for i, (name, cost) in enumerate(sorted(baselines.items(), key=lambda one: one[1])[:2]):
        axes.axhline(cost, color="0.5", linestyle="--", linewidth=1)
        axes.annotate(
            name,
            (1, cost),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 2 if i else -2),
            textcoords="offset points",
            ha="right",
            va="bottom" if i else "top",
            fontsize="small",
        )
    axes.margins(y=0.2)
    axes.set(xlabel="step", ylabel=f"held out, {unit.split()[0]}")
