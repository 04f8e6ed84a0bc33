"""A report: one HTML file to listen to, look at and choose from, that asks nothing of the network.

Sounds and pictures are inside the file, and its content policy forbids it to load anything. Every
sound stands with its spectrogram and, below it, the surprise: what each moment cost the model. All
have one scale, so that they compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from wavegen import plots
from wavegen.card import card
from wavegen.checkpoint import ModelFile, Run
from wavegen.critic import Critic, Judged
from wavegen.draft import Draft
from wavegen.errors import OutputError, shown
from wavegen.markup import data_of, table, text

LONGEST_SECONDS = 600.0  # of a sound that is put into a page


def write(
    path: Path,
    title: str,
    sections: Sequence[tuple[str, Sequence[Judged]]],
    critic: Critic,
    *,
    run: Run | None = None,
    file: ModelFile | None = None,
    note: str = "",
    force: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> Path:
    """Writes a report and returns its path.

    Args:
        path: of the HTML file.
        title: of the page.
        sections: heading and sounds of each, in their order.
        critic: that judged them.
        run: whose loss curve is shown.
        file: the model, whose facts and held-out scores are shown.
        note: a sentence below the verdict.
        force: replace a file that exists.
        progress: is told how far it is, 0 .. 1.

    Raises:
        UsageError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    judged = [one for _, part in sections for one in part]
    limits, parts, done = limits_of(judged), [], 0
    for heading, part in sections:
        cards = []
        for one in part:
            cards.append(card(one, critic, limits, done))
            done += 1
            progress(done / len(judged))
        kind = "" if any(one.sound.choosable for one in part) else " small-cards"
        if cards:
            parts.append(f'<section><h2>{text(heading)}</h2><div class="grid{kind}">')
            parts += [*cards, "</div></section>"]
    if file is not None:
        parts.append(overview(file, run))
    inside = {name: part_of_page(f"report.{name}") for name in ("html", "css", "js")}
    whole = Template(inside["html"]).substitute(
        style=inside["css"],
        script=inside["js"],
        title=text(title),
        verdict=text(file.extra.get("verdict", "") if file else ""),
        note=text(note),
        choosing="" if any(one.sound.choosable for one in judged) else "hidden",
        darkest=f"{limits[0]:.3g}",
        brightest=f"{limits[1]:.3g} {text(critic.unit)}",
        quietest=f"{plots.RANGE_DB[0]:.0f}",
        loudest=f"{plots.RANGE_DB[1]:.0f} dB",
        body="\n".join(parts),
    )
    return put(path, whole.encode("utf-8"), force)


def part_of_page(name: str) -> str:
    """Returns the text of a file beside this one."""
    return resources.files("wavegen").joinpath(name).read_text("utf-8")


def limits_of(judged: Sequence[Judged]) -> tuple[float, float]:
    """Returns the scale of surprise that suits all sounds together."""
    costs = np.concatenate([one.costs[1:] for one in judged] or [np.zeros(0)])
    costs = costs[np.isfinite(costs)]
    if not len(costs):
        return 0.0, 1.0
    low, high = np.quantile(costs, [0.01, 0.99])
    return float(low), float(max(high, low + 1.0))


def overview(file: ModelFile, run: Run | None) -> str:
    """Returns the HTML of a run's loss curve, its held-out scores and its model's facts."""
    scores = [s for s in file.extra.get("scores") or [] if isinstance(s, dict)]
    facts = [["model", shown(file.path)], ["family", file.family], ["sha256", file.sha256[:16]]]
    facts += [["steps", str(file.extra.get("step", "?"))]]
    facts += [["recordings", str(file.extra.get("recordings", "?"))]]
    rows = [[s["name"], f"{s['mean']:.3f}"] for s in scores if s.get("mean") is not None]
    parts = ['<section><h2>Learning</h2><div class="side">']
    log = run.rows() if run else []
    if any(row.get("event") == "step" for row in log):
        parts.append(curves(log, scores))
    parts.append("<div>")
    if rows:
        unit = text(scores[0].get("unit", ""))
        parts.append(f'<p class="small">held out, {unit}; less is better</p>{table(rows)}')
    return "".join([*parts, f'<div class="facts">{table(facts)}</div></div></div></section>'])


def curves(log: list[dict], scores: list[dict]) -> str:
    """Returns the HTML of a run's losses, drawn for a light page and for a dark one."""
    unit = scores[0].get("unit", "?") if scores else "?"
    others = {s["name"]: s["mean"] for s in scores[1:] if s.get("mean") is not None}
    drawn = []
    for dark in (False, True):
        with plots.colours(dark):
            made, (above, below) = plots.figure([1.7, 1.7], width=7.0, above=0.06, left=0.12)
            plots.losses(above, log)
            above.tick_params(labelbottom=False)
            plots.held_out(below, log, others, unit)
            ends = [*above.get_xlim(), *below.get_xlim()]
            for axes in (above, below):
                axes.set_xlim(min(ends), max(ends))
            drawn.append(data_of("image/png", plots.png(made, 160)))
    return (
        f'<picture><source srcset="{drawn[1]}" media="(prefers-color-scheme: dark)">'
        f'<img src="{drawn[0]}" alt="The loss of every step, and the held-out score"></picture>'
    )


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
