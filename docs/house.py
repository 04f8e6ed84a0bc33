"""Draws the picture of the house in docs/how-it-works.md.

python docs/house.py   (needs matplotlib)

A floor stands on those below it: no module imports from a higher one, which a test checks.
"""

from __future__ import annotations

from pathlib import Path

from wavegen.cli.parse import COMMANDS

# From the roof down: what a floor is for, its modules and what each of them does.
FLOORS: list[tuple[str, dict[str, str]]] = [
    ("what you type", {"cli": ", ".join(COMMANDS)}),
    (
        "what is done",
        {
            "train": "learn, save,\ngo on",
            "sampling": "prime,\ndraw",
            "guard": "choose,\ndraw again",
            "rendering": "play what\nis told",
            "duet": "compose,\nrender",
            "report": "listen,\nlook, choose",
        },
    ),
    (
        "who draws,\nwho judges",
        {
            "engines": "the reference,\nthe compiled ones",
            "heldout": "likelihood\nbeside baselines",
            "climate": "what moments of\nthe music are like",
        },
    ),
    (
        "what learns",
        {
            "models": "WaveNet, spectral LSTM:\nstep(x, state)",
            "checkpoint": "a run, and a model\nin one safe file",
            "demo": "two models that\ncome with it",
        },
    ),
    (
        "what is\nlearned from",
        {
            "dataset": "recordings: training,\nheld-out parts",
            "survey": "what check\nfinds in them",
        },
    ),
    (
        "sound",
        {
            "audio": "files in and out,\nany WAV, safely",
            "codec": "samples to what a\nmodel sees, and back",
            "bands": "what a WaveNet\nis told to play",
        },
    ),
    (
        "the ground",
        {
            "streaming": "the law",
            "nest": "a state is\na value",
            "chance": "noise by\nnumber",
            "config": "sizes, checked",
            "errors": "one line each",
        },
    ),
]
# The way of a sound, from top to bottom, and which module has that step.
WAY = [
    ("seed.wav", ""),
    ("read, resample, mix", "audio"),
    ("encode: levels or frames", "codec"),
    ("prime: one long step", "engines"),
    ("draw: many short steps,\nfrom chance and state", "engines"),
    ("decode", "codec"),
    ("keep what is like the music", "take"),
    ("write, block by block", "audio"),
    ("generated/seed-...wav", ""),
]
COLOURS = ["#d9d9d9", "#fdd49e", "#fdbb84", "#c7e9c0", "#a1d99b", "#9ecae1", "#dadaeb"]


def draw(target: Path) -> None:
    """Draws the picture into a PNG file."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch, Polygon

    figure, axes = plt.subplots(figsize=(12, 7.2))
    axes.set(xlim=(0, 120), ylim=(0, 72))
    axes.axis("off")

    def box(left: float, bottom: float, width: float, height: float, colour: str) -> None:
        style = "round,pad=0,rounding_size=0.8"
        patch = FancyBboxPatch((left, bottom), width, height, style, fc=colour, ec="0.35", lw=0.8)
        axes.add_patch(patch)

    where = {}  # module to its colour
    left, right, height = 14.0, 82.0, 8.0
    axes.add_patch(Polygon([(12, 63.5), (48, 71.5), (84, 63.5)], fc="0.93", ec="0.35", lw=0.8))
    axes.text(48, 66.3, "python -m wavegen", ha="center", va="center", family="monospace", size=12)
    for number, (title, modules) in enumerate(FLOORS):
        bottom = 63.0 - (number + 1) * (height + 0.8)
        axes.text(12.5, bottom + height / 2, title, ha="right", va="center", size=10, color="0.25")
        width = (right - left - 1.0 * (len(modules) - 1)) / len(modules)
        for place, (name, words) in enumerate(modules.items()):
            at = left + place * (width + 1.0)
            box(at, bottom, width, height, COLOURS[number])
            where[name] = COLOURS[number]
            middle = at + width / 2
            axes.text(middle, bottom + height - 1.9, name, ha="center", va="center", weight="bold")
            axes.text(middle, bottom + 2.9, words, ha="center", va="center", size=8.5)
    axes.text(102, 69.5, "the way of a sound", ha="center", va="center", size=12)
    step = 7.0
    for number, (words, name) in enumerate(WAY):
        bottom = 61.5 - number * step
        box(89, bottom, 26, 5.0, where.get(name, "white"))
        axes.text(102, bottom + 2.5, words, ha="center", va="center", size=9)
        if number:
            axes.annotate(
                "",
                (102, bottom + 5.0),
                (102, bottom + step),
                arrowprops={"arrowstyle": "->", "color": "0.25"},
            )
    loop = {"arrowstyle": "->", "color": "0.25", "connectionstyle": "arc3,rad=0.8"}
    axes.annotate("", (115, 61.5 - 4 * step + 4), (115, 61.5 - 4 * step + 1), arrowprops=loop)
    figure.savefig(target, dpi=100, bbox_inches="tight", pad_inches=0.1)


if __name__ == "__main__":
    draw(Path(__file__).with_name("house.png"))
