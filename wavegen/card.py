"""One sound of a report as HTML: its player, its spectrogram, its surprise and its scores.

Pictures are bare pixels and curves that the page stretches to any width; labels are text of the
page, so that they can be read on a telephone, too.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import soundfile

from wavegen import audio, pcm, plots
from wavegen.critic import Critic, Judged
from wavegen.markup import data_of, table, text
from wavegen.writer import MAX_RATE

KINDS = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}
POINTS = 600  # of a curve of surprise at most
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)  # seconds between labels
LABELS = 8  # of the time, about


def card(one: Judged, critic: Critic, limits: tuple[float, float], number: int) -> str:
    """Returns the HTML of one sound.

    Args:
        one: the sound with its costs and scores.
        critic: that judged it.
        limits: of the scale of surprise, the same on the whole page.
        number: of the card on its page.
    """
    sound, rate = one.sound, critic.config.sample_rate
    seconds, name = one.signal.shape[1] / rate, text(sound.path.name)
    title = text(sound.title) or name
    kind, content, native = playable(sound.path)
    known = f'data-seconds="{seconds:.6f}" data-split="{sound.split:.6f}"'
    known += f' data-cost="{one.scores[0].mean:.6f}" data-number="{number}"'
    if sound.choosable:
        key = hashlib.sha256(sound.path.read_bytes()).hexdigest()[:16]
        known += f' data-path="{text(str(sound.path))}" data-key="{key}"'
    buttons = "".join(
        f'<button type="button" data-choice="{choice}" aria-pressed="false" '
        f'aria-label="{choice} {title}">{choice}</button> '
        for choice in (("keep", "discard") if sound.choosable else ())
    )
    rows = [[s.name, f"{s.mean:.3f}", f"{s.low:.3f} .. {s.high:.3f}"] for s in one.scores]
    cost = f"{one.scores[0].mean:.3f} {critic.unit}" + (" after the seed" if sound.split else "")
    caption = " &middot; ".join(filter(None, [name if sound.title else "", text(sound.caption)]))
    return (
        f'<article class="card" tabindex="-1" aria-labelledby="name-{number}" {known}>'
        f'<h3 id="name-{number}">{title} <span class="small">{spoken(seconds)}</span></h3>'
        f"{picture(one, rate, limits, name)}"
        f'<audio controls preload="metadata" aria-label="{title}" data-rate="{native}" '
        f'data-source="{data_of(kind, content)}"></audio>'
        f'<p class="row">{buttons}<span>{cost}</span></p>'
        f'<p class="small">{caption}</p><details class="small"><summary>beside baselines</summary>'
        f"{table(rows)}</details></article>"
    )


def picture(one: Judged, rate: int, limits: tuple[float, float], name: str) -> str:
    """Returns the HTML of a spectrogram with the surprise below it, on one axis of time."""
    seconds, split = one.signal.shape[1] / rate, one.sound.split
    db, hertz = plots.spectrum(one.signal, rate)
    whole = data_of("image/png", plots.pixels(db[::-1], plots.RANGE_DB, "magma"))
    pitches = "".join(
        f'<span style="bottom:{100 * place / len(hertz):.2f}%">{label}</span>'
        for place, label in plots.pitches(rate)
    )
    step = next((step for step in STEPS if seconds / step <= LABELS), STEPS[-1])
    times = "".join(
        f'<span style="left:{100 * at / seconds:.2f}%">{at:g}</span>'
        for at in np.arange(0, seconds * 0.96, step)
    )
    dashed = f'<i class="split" style="left:{100 * split / seconds:.3f}%"></i>' if split else ""
    return (
        f'<div class="picture"><div class="spectrogram"><div class="hertz" aria-hidden="true">'
        f'{pitches}</div><img src="{whole}" alt="Spectrogram of {name}"></div>'
        f'<div class="ribbon">{ribbon(one.costs, limits, name)}</div>{dashed}'
        f'<i class="head"></i></div><div class="times" aria-hidden="true">{times}'
        "<span>s</span></div>"
    )


def ribbon(costs: np.ndarray, limits: tuple[float, float], name: str) -> str:
    """Returns the HTML of the surprise: a strip of colours and a curve over it."""
    if len(costs) > POINTS:
        costs = np.array([part.mean() for part in np.array_split(costs, POINTS)])
    share = np.clip((costs - limits[0]) / (limits[1] - limits[0]), 0, 1)
    at = (np.arange(len(costs)) + 0.5) / len(costs)
    points = " ".join(f"{1000 * x:.0f},{96 - 92 * y:.0f}" for x, y in zip(at, share, strict=True))
    strip = data_of("image/png", plots.pixels(costs[None], limits, "cividis"))
    return (
        f'<img src="{strip}" alt="Surprise of {name}"><svg viewBox="0 0 1000 100" '
        f'preserveAspectRatio="none" aria-hidden="true"><polyline points="{points}"/></svg>'
    )


def playable(path: Path) -> tuple[str, bytes, int]:
    """Returns a sound for a page: its kind, its bytes and its rate in Hz.

    A WAV becomes FLAC: of 16 bits nothing is lost, in a quarter to a half of the room. Of more than
    two channels a page has two, and of more bits sixteen.
    """
    info, kind = audio.info(path), path.suffix.lower()
    if kind != ".wav" or info.sample_rate > MAX_RATE[".flac"]:
        return KINDS[kind], path.read_bytes(), info.sample_rate
    file, channels = io.BytesIO(), min(info.channels, 2)
    form = (info.sample_rate, channels, "PCM_16")
    with soundfile.SoundFile(file, "w", *form, format="FLAC") as flac:
        for block in audio.blocks(path, channels=channels):
            flac.write(pcm.encode(block, "PCM_16")[0])
    return KINDS[".flac"], file.getvalue(), info.sample_rate


def spoken(seconds: float) -> str:
    """Returns "14.0 s" or "2:05"."""
    whole = round(seconds)
    return f"{seconds:.1f} s" if seconds < 60 else f"{whole // 60}:{whole % 60:02}"
