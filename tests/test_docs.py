"""What the pages say is true: their links, commands, flags, snippets, messages and figures."""

import ast
import inspect
import re
import runpy
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from wavegen import advice, cli, findings, likeness, score
from wavegen.cli.parse import parser
from wavegen.climate import Climate
from wavegen.findings import Findings

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
OTHERS = ["README.md", "SECURITY.md", "recordings/README.md", "benchmarks/README.md"]
PAGES = [*(ROOT / name for name in OTHERS), *DOCS]
CHEAP = ("check", "info", "runs", "doctor")  # commands that are run, not only parsed
WRONG = (ROOT / "docs/when-it-sounds-wrong.md").read_text("utf-8")

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT)).replace("/", "-")
)


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def prose(page):
    """Returns a page without its blocks of code."""
    return re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)


def spans(page):
    """Returns what stands in backquotes in a line or two, blocks left out."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def commands(page):
    """Returns wavegen's commands of a page as lists of words."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += re.findall(r"^    (python -m wavegen .*)$", page.read_text("utf-8"), re.MULTILINE)
    found = [re.findall(r"python -m wavegen ([^#&\[]+)", code) for code in [*lines, *spans(page)]]
    return [shlex.split(command) for each in found for command in each]


def headings(page):
    """Returns the anchors that GitHub gives a page's headings."""
    found = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_page_is_linked_from_the_readme():
    readme = PAGES[0].read_text("utf-8")
    assert len(DOCS) >= 4
    for page in DOCS:
        assert f"(docs/{page.name})" in readme, page.name


@every_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        assert there.exists(), target
        assert not anchor or anchor in headings(there), target


@every_page
def test_commands_can_be_typed(page, capsys):
    for command in commands(page):
        try:
            parser().parse_args(command)
        except SystemExit:
            pytest.fail(f"{shlex.join(command)}: {capsys.readouterr().err}")


def test_the_pages_have_commands():
    without = {page.stem for page in DOCS if not commands(page)}
    assert without <= {"how-it-works"} and len(commands(PAGES[0])) >= 10


@every_page
def test_flags_named_are_flags(page):
    commands = parser()._subparsers._group_actions[0].choices.values()
    known = {flag for each in (parser(), *commands) for flag in each._option_string_actions}
    scripts = [*(ROOT / "benchmarks").glob("*.py")]
    known |= {flag for path in scripts for flag in re.findall(r'"(--[\w-]+)"', path.read_text())}
    for span in spans(page):
        for flag in re.findall(r"(?:^|\s)(--[a-z][\w-]*)", span):
            assert flag in known, span


@every_page
def test_scripts_named_are_there(page):
    for script in re.findall(r"python ((?:benchmarks|docs|recordings)/\w+\.py)", page.read_text()):
        assert (ROOT / script).is_file(), script
    for path in spans(page):
        if re.fullmatch(r"(notebooks|tests|benchmarks|docs)/[\w./]+\.\w+", path):
            assert (ROOT / path).is_file(), path


def test_commands_that_cost_little_do_what_they_say(recordings, monkeypatch, capsys):
    monkeypatch.chdir(recordings.parent)
    for name in ("seed", "take", "other"):
        shutil.copy(recordings / "one.wav", f"{name}.wav")
    ran = set()
    for command in [command for page in PAGES for command in commands(page)]:
        if command[0] not in CHEAP or tuple(command) in ran:
            continue
        ran.add(tuple(command))
        more = ["--no-self-test"] if command[0] == "doctor" else []
        assert cli.main([*command, *more]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out or command[0] in ("runs", "doctor")
    assert {command[0] for command in ran} == set(CHEAP)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_snippets_run(page):
    for snippet in blocks(page, "python"):
        exec(snippet, {})


# -- messages ------------------------------------------------------------------------------------


def plain(text):
    """Returns text in which every number is N and every space one."""
    return " ".join(re.sub(r"\d+(\.\d+)?", "N", text).split())


def test_every_verdict_has_its_line():
    rng = np.random.default_rng(0)
    shared = 0.1 * rng.standard_normal(2000)
    baselines = {"uniform": 8 + shared, "histogram": 6 + shared, score.PREDICTORS[0]: 4 + shared}
    said = set()
    for cost in (9.0, 5.0, 4.0, 3.9, 3.7, 3.0):
        words = score.verdict({"model": cost + shared}, baselines, 10)
        said.add(words.rpartition(": ")[2])
    assert len(said) == 6
    for words in said:
        assert f"| {words} |" in WRONG, words


def test_everything_that_the_guard_and_the_ear_say_has_its_line():
    guard = re.findall(r'return "(\w+)"', inspect.getsource(Climate.complaint)) + [Climate.DEAD]
    assert len(guard) == 4
    ear = re.findall(r'"([a-z][a-z ]+)"\]?\)?\n', inspect.getsource(score.collapse))
    assert {"it is silent", "it is noise", "one constant tone"} <= set(ear)
    for words in [*guard, *ear]:
        assert f"| {words} |" in WRONG, words
    assert "clipped |" in WRONG and "dB louder than the music" in WRONG


def test_every_measure_has_its_line():
    for name in likeness.LIMITS:
        word = name.removesuffix("_db").removesuffix("_seconds").replace("_", " ")
        assert f"| {word} |" in WRONG, word


def test_everything_that_check_doubts_has_its_line():
    bad = dict(sample_rate=44100, channels=2, seconds=60.0, swing=1.3, rms=0.1, clipped=0.2)
    bad |= dict(dc_offset=(0.05, 0.0), silent=0.5, silent_start=3.0, silent_end=0.0)
    bad |= dict(bandwidth_hz=16000.0, cut=True, correlation=-0.9, fingerprint=np.zeros(0))
    remarks = findings.remarks(Findings(peak=1.3, **bad)) | findings.remarks(
        Findings(peak=0.005, **bad)
    )
    assert len(remarks) == 8
    for remark in remarks.values():
        assert " ".join(plain(remark).split()[:3]) in plain(WRONG), remark


def test_expectations_are_those_of_check():
    page = (ROOT / "docs/your-recordings.md").read_text("utf-8")
    for _, words in advice.EXPECTATIONS:
        assert words in page, words


# -- figures and the picture ---------------------------------------------------------------------


def test_figures_of_speed_are_those_of_the_measurements():
    told = (ROOT / "docs/speed.md").read_text("utf-8")
    measured = " ".join((ROOT / name).read_text("utf-8") for name in ("README.md", OTHERS[-1]))
    figures = re.findall(r"\d+(?: \d{3})+|\d+\.\d+|\b\d{2,}(?= [x%|])", told)
    assert len(figures) > 15
    for figure in figures:
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", measured), figure


def test_a_floor_of_the_house_stands_on_those_below():
    floors = runpy.run_path(str(ROOT / "docs/house.py"))["FLOORS"]
    height = {name: -row for row, (_, modules) in enumerate(floors) for name in modules}
    package = ROOT / "wavegen"
    for name in height:
        module = package / f"{name}.py"
        files = [module] if module.is_file() else sorted((package / name).rglob("*.py"))
        assert files, name
        for node in [node for file in files for node in ast.walk(ast.parse(file.read_text()))]:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wavegen"):
                parts = node.module.split(".")
                for other in parts[1:2] or [alias.name for alias in node.names]:
                    assert height.get(other, -99) <= height[name], f"{name} imports {other}"
