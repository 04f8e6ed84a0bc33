"""The parser: flags of the commands."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from wavegen import __version__
from wavegen.cli.settings import add_fields
from wavegen.cli.values import (
    candidates,
    duration,
    factor,
    folder,
    fraction,
    lasting,
    positive,
    seconds,
    seed_number,
    share,
    sustain,
    variations,
)
from wavegen.config import GIVEN_FOLLOW, UNASKED
from wavegen.fields import nearest
from wavegen.presets import PRESETS

COMMANDS = {
    "check": "what is in the recordings, what training would leave out, and what to expect",
    "train": "learn from recordings, or continue to",
    "sample": "continue a seed",
    "render": "play a sound on the instrument that a model has learned",
    "again": "make a drawn file again, bit for bit, or play it on",
    "score": "how likely sound is under a model, beside honest baselines",
    "report": "one page to listen to, look at and choose from",
    "runs": "list the runs",
    "info": "what a model or a recording is, and which presets there are",
    "doctor": "what this machine has for wavegen, how fast it draws, and what to mend",
}

USAGE = {  # of those with so many flags that argparse's own would hide what matters
    "train": "wavegen train [recordings ...] [options]",
    "sample": "wavegen sample [seed.wav ...] [options]",
}

EPILOG = {
    "sample": "Two models come with wavegen, to hear something at once: demo-lstm and "
    "demo-wavenet; -m plays them by name. They have learned nothing but recordings/shipped, "
    "for 28 and 25 minutes of a core each; recordings/README.md has the commands."
}


FOLLOW = f"share of the sound's own wave; at 0 only its bands are played ({GIVEN_FOLLOW})"


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line, exit 2, and name the nearest flag."""

    def error(self, message: str) -> Any:
        """Prints one line and exits with 2."""
        if "required: COMMAND" in message:
            self.print_help(sys.stderr)
            self.exit(2)
        wrong = re.search(r"argument COMMAND: invalid choice: '(.*?)'", message)
        if wrong:
            message = f"{wrong[1]!r} is no command{nearest(wrong[1], COMMANDS)}"
        self.exit(2, f"wavegen: error: {message}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses, and refuses a flag that a command has not; its own are named."""
        parsed, unknown = super().parse_known_args(args, namespace)
        flags = [name.split("=")[0] for name in unknown if name.startswith("--")]
        if flags:
            known = [name for action in self._actions for name in action.option_strings]
            self.error(f"{flags[0]} is not a flag{nearest(flags[0], known)}")
        return parsed, unknown


def parser() -> argparse.ArgumentParser:
    """Returns the whole command line."""
    top = Parser(
        prog="wavegen",
        description="Learns from your own recordings and plays on.",
        epilog="Put WAVs into recordings/, then: wavegen check; wavegen train; wavegen sample "
        "seed.wav. What a command takes: wavegen COMMAND --help",
    )
    top.add_argument("--version", action="version", version=f"wavegen {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            usage=USAGE.get(name),
            epilog=EPILOG.get(name),
        )
        command.add_argument("-q", "--quiet", action="store_true", help="only results and errors")
        command.add_argument("-v", "--verbose", action="store_true", help="tracebacks too")
        FLAGS[name](command)
    return top


def check_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `check` takes."""
    add = command.add_argument
    add("recordings", nargs="*", default=["recordings"], help="files and folders (recordings/)")
    add("--arch", help=f"family of the model: lstm or wavenet ({UNASKED})")
    add("--preset", help=f"size of the model: {', '.join(PRESETS['wavenet'])} (small)")
    add("--fix", metavar="DIR", help="write copies with offset, phase, range and silence put right")
    add("--strict", action="store_true", help="a recording that cannot be used is an error")
    add("--repair", action="store_true", help="values that are no sound (NaN) become zeros, told")
    add("--json", action="store_true", help="print JSON, see docs/check.schema.json")


def train_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `train` takes."""
    add = command.add_argument
    add("recordings", nargs="*", default=["recordings"], help="files and folders (recordings/)")
    add("--name", help="of the run, runs/NAME (the family's name)")
    text = f"family of the model: lstm, wavenet, or duet, an LSTM that a WaveNet plays ({UNASKED})"
    add("--arch", help=text)
    add("--preset", help=f"size of the model: {', '.join(PRESETS['wavenet'])} (small)")
    add("--for", dest="seconds", type=duration, help="time for the whole run: 45m, 1h30m (20m)")
    add("--steps", type=positive, help="training steps for the whole run")
    add("--fresh", action="store_true", help="begin anew; the old run is moved aside")
    add("--strict", action="store_true", help="a recording that cannot be used is an error")
    add("--repair", action="store_true", help="values that are no sound (NaN) become zeros, told")
    add("--dry-run", action="store_true", help="try one step, say speed and size, keep nothing")
    add("--sample-seconds", type=seconds, default=4.0, help="length of listening samples, s (4)")
    add("--runs", default="runs", help="folder of the runs (runs)")
    add("--tensorboard", action="store_true", help="also log for TensorBoard (an extra)")
    add("--backend", choices=["tensorflow", "jax"], help="of Keras (tensorflow)")
    text = "any setting below; the preset has their defaults"
    add("--set", action="append", default=[], metavar="KEY=VALUE", help=text)
    add_fields(command)


def sample_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `sample` takes."""
    add = command.add_argument
    add("seeds", nargs="*", metavar="seed.wav", help="sound to continue; none: begins from nothing")
    text = "run name, run folder or model file (the newest run; without any, demo-lstm)"
    add("-m", "--model", help=text)
    add("-t", "--seconds", type=lasting, default=10.0, help="length of the continuation, s (10)")
    add("-n", "--count", type=variations, default=1, help="variations of each seed, 1 .. 200 (1)")
    add(
        "--temperature",
        nargs="+",
        help="of what happens next: 0 the likeliest, 1 as learned; one, several, or 0.8:1.2 (1)",
    )
    add("--top-p", type=share, help="leave out the least likely levels beyond this share (1)")
    add(
        "--noisiness",
        type=factor,
        help="how much an LSTM's sound wavers: 1 as learned (0.4 to begin with)",
    )
    add("--memory", type=fraction, help="how much an LSTM lets strokes come again, 0 .. 1 (1)")
    add("--seed", type=seed_number, help="number that decides all chance (a new one, printed)")
    add("--prime", type=lasting, default=4.0, help="how much of the seed's end to use, s (4)")
    add("--at", type=seconds, help="place in the seed to go on from, 83 or 1m23s (its last sound)")
    add(
        "--guard",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="choose what is like the recordings, hold the seed's level, and draw again what runs "
        "away or falls silent",
    )
    text = "how long a WaveNet's tones ring: 1 as when it learned (2.5; an older file's 3)"
    add("--sustain", type=sustain, help=text)
    add(
        "--candidates",
        type=candidates,
        help="ways to go on, of which one is kept (2 .. 8); 1: no choice",
    )
    add("--rank", action="store_true", help="list the variations likeliest first")
    text = "end in a page to listen, look and choose (where there are several variations)"
    add("--report", action=argparse.BooleanOptionalAction, default=None, help=text)
    text = "draw its spectrogram beside it, a PNG (where there is one variation)"
    add("--picture", action=argparse.BooleanOptionalAction, default=None, help=text)
    text = "write the seed's end, too, before what is drawn (yes)"
    add("--with-prime", action=argparse.BooleanOptionalAction, default=True, help=text)
    add("-o", "--out", type=folder, default="generated", help="folder for the results (generated)")
    pattern = "{seed_name}-{model}-{seed}-{variation}"
    add("--filename", default=pattern, help=f"pattern of the names ({pattern})")
    add("--format", choices=["wav", "flac"], default="wav", help="of the files (wav)")
    add("--int24", dest="subtype", action="store_const", const="PCM_24", help="24 bits, not 16")
    add("--float32", dest="subtype", action="store_const", const="FLOAT", help="32-bit float")
    add("--play", action="store_true", help="play while drawing (the extra wavegen[play])")
    add("--engine", help="what draws: numba or reference, Keras (the fastest for the model)")
    add("--precision", help="of the weights: float32, bfloat16 or int8 (the engine's default)")
    add("--force", action="store_true", help="replace results that exist")
    add("--yes", action="store_true", help="do not ask about very long results")
    add("--runs", default="runs", help="folder of the runs (runs)")
    add("--backend", choices=["tensorflow", "jax"], help="of Keras (tensorflow)")


def render_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `render` takes."""
    add = command.add_argument
    add("sounds", nargs="+", metavar="SOUND", help="what is to be played")
    add("-m", "--model", help="a duet, or a WaveNet with --condition-bands (the newest run)")
    add("--temperature", type=factor, default=1.0, help="how widely it draws: 1 as learned (1)")
    add("--follow", type=fraction, default=GIVEN_FOLLOW, help=FOLLOW)
    add("--seed", type=seed_number, help="number that decides all chance (a new one, printed)")
    add("-o", "--out", type=folder, default="generated", help="folder for the results (generated)")
    add("--filename", default="{seed_name}-{model}-{seed}", help="pattern of the names")
    add("--format", choices=["wav", "flac"], default="wav", help="of the files (wav)")
    add("--int24", dest="subtype", action="store_const", const="PCM_24", help="24 bits, not 16")
    add("--float32", dest="subtype", action="store_const", const="FLOAT", help="32-bit float")
    add("--engine", help="what draws: numba or reference, Keras (the fastest)")
    add("--precision", help="of the weights: float32, bfloat16 or int8 (the engine's default)")
    add("--force", action="store_true", help="replace results that exist")
    add("--runs", default="runs", help="folder of the runs (runs)")
    add("--backend", choices=["tensorflow", "jax"], help="of Keras (tensorflow)")


def again_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `again` takes."""
    add = command.add_argument
    add("files", nargs="+", metavar="FILE", help="what `sample`, `render` or `again` wrote")
    add("-t", "--seconds", type=lasting, help="length of the continuation; longer plays it on, s")
    add("-m", "--model", help="the model that drew it, if it is not where it was")
    add(
        "--after",
        metavar="SOUND",
        help="the sound that it follows or plays, if it is not where it was",
    )
    add("-o", "--out", type=folder, default="generated", help="folder for the results (generated)")
    add("--force", action="store_true", help="replace results that exist")
    add("--runs", default="runs", help="folder of the runs (runs)")
    add("--backend", choices=["tensorflow", "jax"], help="of Keras (tensorflow)")


def score_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `score` takes."""
    add = command.add_argument
    add("files", nargs="+", metavar="FILE", help="sound files or folders")
    add("-m", "--model", help="run name, run folder or model file (the newest run)")
    add("--engine", help="what judges: reference or numba (reference)")
    add("--precision", nargs="+", help="also what bfloat16 or int8 cost (the numba engine's)")
    add("--json", action="store_true", help="print JSON")
    add("--runs", default="runs", help="folder of the runs (runs)")
    add("--backend", choices=["tensorflow", "jax"], help="of Keras (tensorflow)")


def report_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `report` takes."""
    add = command.add_argument
    add("run", nargs="?", metavar="RUN", help="run name, run folder or model file (the newest run)")
    text = "sounds to judge and choose from (what the run drew into generated/)"
    add("files", nargs="*", metavar="FILE", help=text)
    add("--generated", default="generated", help="folder of what was drawn (generated)")
    add("-o", "--out", help="the page (RUN/report.html)")
    add("--force", action="store_true", help="replace a page named with -o that wavegen wrote")
    add("--open", action="store_true", help="show it in the browser")
    add("--engine", help="what judges: numba or reference (the fastest for the model)")
    add("--runs", default="runs", help="folder of the runs (runs)")
    add("--backend", choices=["tensorflow", "jax"], help="of Keras (tensorflow)")


def runs_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `runs` takes."""
    command.add_argument("--runs", default="runs", help="folder of the runs (runs)")
    command.add_argument("--json", action="store_true", help="print JSON")


def info_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `info` takes."""
    command.add_argument("what", nargs="*", metavar="WHAT", help="runs, model files, recordings")
    command.add_argument("--presets", action="store_true", help="the table of presets")
    command.add_argument("--runs", default="runs", help="folder of the runs (runs)")
    command.add_argument("--json", action="store_true", help="print JSON")


def doctor_flags(command: argparse.ArgumentParser) -> None:
    """Adds what `doctor` takes."""
    command.add_argument(
        "--self-test",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="draw for some seconds; the first time the engines are compiled",
    )
    command.add_argument("--json", action="store_true", help="print JSON")


FLAGS = {
    "check": check_flags,
    "train": train_flags,
    "sample": sample_flags,
    "render": render_flags,
    "again": again_flags,
    "score": score_flags,
    "report": report_flags,
    "runs": runs_flags,
    "info": info_flags,
    "doctor": doctor_flags,
}
