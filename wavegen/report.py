"""A report: one HTML file to listen to, look at and choose from, that asks nothing of the network.

Sounds and pictures are inside the file, and its content policy forbids it to load anything. Every
sound stands with its spectrogram and, below it, the surprise: what each moment cost the model. All
have one scale, so that they compare.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from wavegen import plots
from wavegen.checkpoint import ModelFile, Run
from wavegen.critic import Critic, Judged
from wavegen.draft import Draft
from wavegen.errors import OutputError, shown

LONGEST_SECONDS = 600.0  # of a sound that is put into a page
KINDS = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}


def write(
    path: Path,
    title: str,
    sections: Sequence[tuple[str, Sequence[Judged]]],
    critic: Critic,
    *,
    run: Run | None = None,
    file: ModelFile | None = None,
    force: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> Path:
    """Writes a report and returns its path.

    Args:
        path: of the HTML file.
        title: of the page.
        sections: heading and sounds of each.
        critic: that judged them.
        run: whose loss curve is shown.
        file: the model, whose facts and held-out scores are shown.
        force: replace a file that exists.
        progress: is told how far it is, 0 .. 1.

    Raises:
        UsageError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    judged = [one for _, part in sections for one in part]
    limits, parts, done = limits_of(judged), [], 0
    if file is not None:
        parts.append(overview(file, run))
    for heading, part in sections:
        cards = []
        for one in part:
            cards.append(card(one, critic, limits))
            done += 1
            progress(done / len(judged))
        if cards:
            parts.append(f'<section><h2>{text(heading)}</h2><div class="grid">')
            parts += [*cards, "</div></section>"]
    names = "\n".join(str(one.sound.path) for one in judged)
    page = Template(resources.files("wavegen").joinpath("report.html").read_text("utf-8"))
    whole = page.substitute(
        title=text(title),
        verdict=text(file.extra.get("verdict", "") if file else ""),
        id=hashlib.sha256(f"{path}\n{names}".encode("utf-8", "replace")).hexdigest()[:16],
        left=plots.SPAN[0],
        right=plots.SPAN[1],
        body="\n".join(parts),
    )
    return put(path, whole.encode("utf-8"), force)


def limits_of(judged: Sequence[Judged]) -> tuple[float, float]:
    """Returns the scale of surprise that suits all sounds together."""
    costs = np.concatenate([one.costs[1:] for one in judged] or [np.zeros(0)])
    costs = costs[np.isfinite(costs)]
    if not len(costs):
        return 0.0, 1.0
    low, high = np.quantile(costs, [0.01, 0.99])
    return float(low), float(max(high, low + 1.0))


def card(one: Judged, critic: Critic, limits: tuple[float, float]) -> str:
    """Returns the HTML of one sound."""
    sound, rate = one.sound, critic.config.sample_rate
    seconds, split = one.signal.shape[1] / rate, sound.split or None
    made, (above, below) = plots.figure([1.9, 0.45], above=0.06)
    plots.spectrogram(above, one.signal, rate, split=split)
    above.tick_params(labelbottom=False)
    plots.ribbon(below, one.costs, seconds, limits=limits, unit=critic.unit, split=split)
    name = text(sound.path.name)
    rows = [[s.name, f"{s.mean:.3f}", f"{s.low:.3f} .. {s.high:.3f}"] for s in one.scores]
    path = f' data-path="{text(str(sound.path))}"' if sound.choosable else ""
    buttons = "".join(
        f'<button data-choice="{choice}" aria-pressed="false">{choice}</button> '
        for choice in (("keep", "discard") if sound.choosable else ())
    )
    player = data_of(KINDS[sound.path.suffix.lower()], sound.path.read_bytes())
    picture = data_of("image/png", plots.png(made))
    cost = f"{one.scores[0].mean:.3f} {critic.unit}" + (" after the seed" if split else "")
    return (
        f'<article class="card" data-seconds="{seconds:.6f}"{path}><h3>{name}</h3>'
        f'<div class="picture"><img src="{picture}" alt="Spectrogram and surprise of {name}">'
        f'<i class="head"></i></div><audio controls preload="metadata" src="{player}"></audio>'
        f'<p>{buttons}{cost}</p><p class="small">{text(sound.caption)}</p>'
        f'<details class="small"><summary>beside baselines</summary>{table(rows)}</details>'
        "</article>"
    )


def overview(file: ModelFile, run: Run | None) -> str:
    """Returns the HTML of a model's facts, its held-out scores and its loss curve."""
    scores = [s for s in file.extra.get("scores") or [] if isinstance(s, dict)]
    facts = [["model", shown(file.path)], ["family", file.family], ["sha256", file.sha256[:16]]]
    facts += [["steps", str(file.extra.get("step", "?"))]]
    facts += [["recordings", str(file.extra.get("recordings", "?"))]]
    rows = [[s["name"], f"{s['mean']:.3f}"] for s in scores if s.get("mean") is not None]
    parts = [f'<section><div class="side"><div class="facts">{table(facts)}</div>']
    if rows:
        unit = text(scores[0].get("unit", ""))
        parts.append(f'<div><p class="small">held out, {unit}</p>{table(rows)}</div>')
    parts.append("</div>")
    log = run.rows() if run else []
    if any(row.get("event") == "step" for row in log):
        made, (above, below) = plots.figure([1.5, 1.5], above=0.06)
        plots.losses(above, log)
        above.tick_params(labelbottom=False)
        others = {s["name"]: s["mean"] for s in scores[1:] if s.get("mean") is not None}
        plots.held_out(below, log, others, scores[0].get("unit", "?") if scores else "?")
        ends = [*above.get_xlim(), *below.get_xlim()]
        for axes in (above, below):
            axes.set_xlim(min(ends), max(ends))
        curve = data_of("image/png", plots.png(made, 100))
        parts.append(f'<h2>Learning</h2><div class="side"><img src="{curve}" alt="Loss curve">')
        parts.append("</div>")
    return "".join([*parts, "</section>"])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Returns an HTML table of texts."""
    cells = ["".join(f"<td>{text(cell)}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def text(words: str) -> str:
    """Returns words as they may stand in HTML, in quotes or out of them."""
    return html.escape(shown(words))


def data_of(kind: str, content: bytes) -> str:
    """Returns a data URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def put(path: Path, content: bytes, force: bool) -> Path:
    """Writes a file whole or not at all and returns its path; raises OutputError."""
    try:
        draft = Draft(path, force)
        try:
            draft.put(content, 0)
            draft.commit()
        finally:
            draft.discard()
    except OSError as error:
        raise OutputError(
            f"{shown(path)}: cannot be written ({error.strerror}); free some space or choose "
            "another folder"
        ) from error
    return path
