"""`wavegen report`: what came of a run, as one page to listen to, look at and choose from."""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wavegen import audio, card, checkpoint, engines, listing, plots, recipe, report
from wavegen.cli import naming
from wavegen.cli.compiling import show_compiling
from wavegen.cli.display import Console
from wavegen.critic import Critic, Judged, Sound
from wavegen.demo import DEMOS
from wavegen.errors import AudioError, Error, UsageError, shown
from wavegen.modelfile import judge_of

MOST_STEPS = 12  # listening samples shown
MOST_DRAWN = 48  # the newest of what was drawn
NOTHING = "Nothing has been drawn yet: python -m wavegen sample SEED.wav -n 4 -m {}"


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Writes the page of a run; returns 0 only if every sound named could be shown."""
    plots.figure([1.0])  # says now if matplotlib is missing
    path = checkpoint.find_model(arguments.run, arguments.runs)
    engines.check_names(arguments.engine, None)
    file, folder = checkpoint.read_model(path), checkpoint.Run(path.parent)
    page = Path(arguments.out) if arguments.out else own_page(path, Path(arguments.generated))
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{shown(page)}: is no name for a page; end it in .html")
    force = arguments.force or not arguments.out  # the run's own page is made anew each time
    naming.refuse(page, None, force)
    if arguments.files:
        drawn = [described(name) for name in listing.list_audio(arguments.files).files]
    else:
        drawn = drawn_by(file, Path(arguments.generated))
    critic = critic_of(file, arguments.engine, console)
    sections = [("Variations", drawn), ("The same moment through training", listened(folder))]
    judged, skipped = judge(critic, sections, console)
    name = folder.folder.resolve().name if path.name == "model.safetensors" else path.stem
    with console.live("drawing pictures") as live:
        report.write(
            page, f"wavegen: {name}", judged, critic, run=folder, file=file, force=force,
            note="" if drawn else NOTHING.format(name),
            progress=lambda share: live.update(share, "pictures"),
        )  # fmt: skip
    console.result(str(page))
    if arguments.open:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    return AudioError.exit_code if skipped and arguments.files else 0


def own_page(model: Path, generated: Path) -> Path:
    """Returns where the page of a run goes, or of a model that comes with wavegen."""
    if model in DEMOS.values():
        return generated / f"{model.stem}.html"
    return model.parent / "report.html"


def wanted(arguments: argparse.Namespace) -> bool:
    """Returns whether `sample` should end with a page."""
    if arguments.report is not None:
        return arguments.report
    short = arguments.seconds + arguments.prime <= report.LONGEST_SECONDS
    return arguments.count > 1 and short and importlib.util.find_spec("matplotlib") is not None


def of_variations(
    page: Path,
    paths: Sequence[Path],
    file: checkpoint.ModelFile,
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Writes the page of what `sample` has just drawn."""
    critic = critic_of(file, arguments.engine, console)
    judged, _ = judge(critic, [("Variations", [described(path) for path in paths])], console)
    report.write(page, page.stem, judged, critic, force=arguments.force)
    console.note(f"to listen, look and choose: {shown(page)}")


def critic_of(file: checkpoint.ModelFile, engine: str | None, console: Console) -> Critic:
    """Returns who judges: the model as it learned, however long it listens while drawing."""
    file = judge_of(file)
    judge = engines.make(file, engine)
    show_compiling(judge.warm_up, console)
    return Critic(file, judge)


def judge(
    critic: Critic, sections: Sequence[tuple[str, Sequence[Sound]]], console: Console
) -> tuple[list[tuple[str, list[Judged]]], int]:
    """Returns the sections judged, and how many sounds were left out, each with a warning."""
    total, done, skipped = sum(len(sounds) for _, sounds in sections), 0, 0
    found: list[tuple[str, list[Judged]]] = []
    with console.live("judging") as live:
        for heading, sounds in sections:
            part: list[Judged] = []
            for sound in sounds:
                try:
                    showable(sound.path)
                    part.append(critic(sound))
                except AudioError as error:
                    console.warning(f"left out: {error}")
                    skipped += 1
                done += 1
                live.update(done / total, f"{done} of {total} sounds")
            found.append((heading, part))
    return found, skipped


def showable(path: Path) -> None:
    """Raises AudioError for a sound that does not belong into a page."""
    if path.suffix.lower() not in card.KINDS:
        kinds = ", ".join(card.KINDS)
        raise AudioError(f"{shown(path)}: browsers do not play it; convert it to one of {kinds}")
    info = audio.info(path)
    if info.frames > report.LONGEST_SECONDS * info.sample_rate:
        raise AudioError(
            f"{shown(path)}: is longer than {report.LONGEST_SECONDS / 60:g} minutes; cut a part out"
        )


def listened(folder: checkpoint.Run) -> list[Sound]:
    """Returns a run's listening samples: the music, then early to late, evenly thinned out."""
    steps = sorted(folder.samples.glob("step-*.wav")) if folder.samples.is_dir() else []
    chosen = sorted({round(i * (len(steps) - 1) / (MOST_STEPS - 1)) for i in range(MOST_STEPS)})
    sounds = [steps[i] for i in chosen] if len(steps) > MOST_STEPS else steps
    music, found = folder.samples / "music.wav", []
    if steps and music.is_file():
        found.append(Sound(music, title="the music itself", choosable=False))
    for path in sounds:
        step = int(re.sub(r"\D", "", path.stem) or 0)
        split = parting(path, music)
        found.append(Sound(path, "", split, choosable=False, title=f"after step {step}"))
    return found


def parting(path: Path, music: Path) -> float:
    """Returns the seconds for which a listening sample is the music that it goes on from."""
    try:
        (ours, rate), (theirs, _) = audio.read(path), audio.read(music)
    except AudioError:
        return 0.0  # judging it will say what is wrong
    length = min(ours.shape[1], theirs.shape[1])
    same = np.all(ours[:, :length] == theirs[:, :length], axis=0)
    return float(np.argmin(same)) / rate


def drawn_by(file: checkpoint.ModelFile, folder: Path) -> list[Sound]:
    """Returns the newest of what a model, or an earlier state of it, drew into a folder."""
    found = []
    for path in listing.list_audio([folder]).files if folder.is_dir() else []:
        try:
            made = recipe.read(path)
        except Error:
            continue
        same = Path(made.model_path).absolute() == file.path.absolute()
        if made.model == file.sha256 or same:
            found.append(path)
    newest = set(sorted(found, key=lambda path: path.stat().st_mtime)[-MOST_DRAWN:])
    return [described(path) for path in found if path in newest]


def described(path: Path) -> Sound:
    """Returns a sound with what its recipe says, if it carries one."""
    try:
        made = recipe.read(path)
        rate = audio.info(path).sample_rate
    except Error:
        return Sound(path)
    controls = ", ".join(f"{k.replace('_', '-')} {v:g}" for k, v in made.controls.items())
    caption = f"seed {made.seed}, variation {made.variation}, {controls}, after "
    caption += f"{made.after or 'silence'}; model {made.model[:12]}"
    prime = min(made.prime, made.position / rate) if made.after else made.prime
    return Sound(path, caption, prime if made.with_prime else 0.0)
