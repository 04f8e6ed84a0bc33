import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import make_model, tune
from test_plots import decoded

from wavegen import audio, cli, dataset, heldout, models, plots
from wavegen.checkpoint import Run
from wavegen.codec import codec_of

pytest.importorskip("matplotlib")
VOID = {"meta", "img", "input", "br", "link"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
EVIL = "</script><script>alert(1)</script>\"'&\n.wav".replace("/", "\u2215")


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, and whether they are closed."""

    def __init__(self, path):
        super().__init__()
        self.found, self.open, self.script = [], [], ""
        self.whole = Path(path).read_text("utf-8")
        self.feed(self.whole)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.script += data

    def all(self, tag, name=None):
        return [
            attrs for found, attrs in self.found if found == tag and (not name or name in attrs)
        ]

    def cards(self):
        return self.all("article", "data-seconds")


def contents(url):
    kind, _, text = url.removeprefix("data:").partition(";base64,")
    return kind, base64.b64decode(text, validate=True)


def run(*arguments):
    """Returns the exit code of a command."""
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(params=["wavenet", "spectral_lstm"])
def place(request, recordings, tmp_path, monkeypatch):
    """A folder with a run of random weights that has a log, scores and listening samples."""
    return make_place(request.param, tmp_path, monkeypatch)


@pytest.fixture
def wavenet(recordings, tmp_path, monkeypatch):
    return make_place("wavenet", tmp_path, monkeypatch)


def make_place(family, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spectral = dict(n_fft=256, hop_length=128) if family == "spectral_lstm" else {}
    model = make_model(family, channels=1, **spectral)
    data = dataset.load("recordings", sample_rate=8000, channels=1, heldout=0.2, gap_seconds=0.1)
    yardsticks = heldout.Yardsticks.fit(codec_of(model.config), model.config, data)
    unit = yardsticks.unit
    scores = [{"name": n, "mean": m, "unit": unit} for n, m in (("model", 7.5), ("uniform", 16.0))]
    folder = Run.open("runs/a", create=True)
    facts = {"scores": scores, "verdict": "it has begun <to> learn", "step": 20}
    models.save(folder.model_path, model, yardsticks.to_arrays(), facts)
    for step in range(1, 21):
        folder.log({"event": "step", "step": step, "loss": 9 - step / 10})
    folder.log({"event": "validation", "step": 20, "scores": scores})
    music = 0.5 * tune(1.5, 8000)
    audio.write(folder.samples / "music.wav", music, 8000)
    for step in range(1, 15):
        sound = np.concatenate([music[:, :4000], -music[:, 4000:]], axis=1)
        audio.write(folder.samples / f"step-{step:06d}.wav", sound, 8000)
    soundfile.write("seed.wav", tune(1.0, 8000).T, 8000)
    return tmp_path


def check_alone(page):
    """Fails if a page wants anything that is not inside it."""
    bare = re.sub(r"data:[a-z]+/[a-z]+;base64,[A-Za-z0-9+/=]+", "", page.whole)
    for word in (
        "http:",
        "https:",
        "//",
        "url(",
        "@import",
        "fetch(",
        "import(",
        "XMLHttp",
        "WebSocket",
    ):
        assert word not in bare, word
    for tag, attrs in page.found:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        for name in attrs.keys() & {"src", "href", "action", "poster", "srcset", "data"}:
            assert attrs[name].startswith("data:") or attrs[name] == "#"
        assert not [name for name in attrs if name.startswith("on")]
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:;")


def test_a_runs_page_holds_what_came_of_it(place, capsys):
    assert run("sample", "seed.wav", "-t", "1", "-n", "2", "--seed", "7", "--no-report") == 0
    drawn = capsys.readouterr().out.split("\n")[:-1]
    audio.write("generated/other.wav", tune(0.5, 8000), 8000)  # not of this run
    assert run("report", "a") == 0
    out, err = capsys.readouterr()
    assert out.strip() == "runs/a/report.html" and "Traceback" not in err
    page = Page(out.strip())
    check_alone(page)
    cards = page.cards()
    assert len(cards) == 1 + 12 + 2
    assert [card["data-path"] for card in cards if "data-path" in card] == drawn
    assert [float(card["data-seconds"]) for card in cards] == [1.5] * 13 + [2.0] * 2
    players = [contents(player["src"]) for player in page.all("audio")]
    assert players[-2:] == [("audio/wav", Path(path).read_bytes()) for path in drawn]
    pictures = [contents(image["src"]) for image in page.all("img")]
    assert len(pictures) == 1 + len(cards)
    for kind, picture in pictures:
        assert kind == "image/png" and decoded(picture)[..., :3].std() > 0.1
    assert "it has begun &lt;to&gt; learn" in page.whole
    assert page.whole.count("after step ") == 12 and "after step 14<" in page.whole
    assert page.whole.count(" after the seed") == 14  # of samples and variations, not the music
    unit = "bits per sample" if "bits per sample" in page.whole else "nats per coefficient"
    assert page.whole.count(unit) >= len(cards)
    assert "seed 7, variation 1, temperature 1," in page.whole
    # The dashed line stands where the samples part from the music, a third into 1.5 s.
    picture = decoded(pictures[2][1])
    at = round((plots.SPAN[0] + (plots.SPAN[1] - plots.SPAN[0]) / 3) * picture.shape[1])
    columns = (picture[..., :3].min(axis=2) > 0.9)[10:140, at - 2 : at + 3].mean(axis=0)
    assert columns.max() > 0.4


def test_variations_end_in_a_page(place, capsys):
    command = ["sample", "seed.wav", "-t", "0.5", "--seed", "7"]
    assert run(*command, "-n", "3") == 0
    out, err = capsys.readouterr()
    assert len(out.split("\n")) == 4  # results are sounds
    assert "choose: generated/seed-a-7-report.html" in err
    page = Page("generated/seed-a-7-report.html")
    check_alone(page)
    assert [card["data-path"] for card in page.cards()] == out.split("\n")[:-1]
    assert run(*command, "--no-with-prime", "-o", "one") == 0  # one needs no page
    assert [p.name for p in (place / "one").iterdir()] == ["seed-a-7-0.wav"]
    assert run(*command, "--report", "--format", "flac", "-o", "one") == 0
    assert contents(Page("one/seed-a-7-report.html").all("audio")[0]["src"])[0] == "audio/flac"
    assert run(*command, "-n", "2", "--filename", "b{variation}", "-o", "two") == 0
    capsys.readouterr()
    (place / "two/b0.wav").unlink(), (place / "two/b1.wav").unlink()
    assert run(*command, "-n", "2", "--filename", "b{variation}", "-o", "two") == 3
    assert "breport.html: exists" in capsys.readouterr().err
    assert not (place / "two/b0.wav").exists()


def test_names_cannot_break_the_page(wavenet, capsys):
    (wavenet / "x").mkdir()
    audio.write(wavenet / "x" / EVIL, tune(0.5, 8000), 8000)
    assert run("report", "a", "x", "-o", "x/page.html") == 0
    page = Page("x/page.html")
    check_alone(page)
    assert len(page.all("script")) == 1
    assert [card["data-path"] for card in page.cards() if "data-path" in card] == [
        "x/" + EVIL.replace("\n", "\\n")
    ]


def test_mistakes_get_one_line_and_a_code(wavenet, capsys, monkeypatch):
    audio.write("good.wav", tune(0.5, 8000), 8000)
    (wavenet / "bad.wav").write_text("<!DOCTYPE html>")
    soundfile.write("long.wav", np.zeros(8000 * 601, "int16"), 8000)
    soundfile.write("odd.aiff", tune(0.5, 8000).T, 8000)
    assert run("report", "a", "good.wav", "bad.wav", "long.wav", "odd.aiff") == 2
    out, err = capsys.readouterr()
    assert out.strip() == "runs/a/report.html"  # with what could be shown
    for words in ("bad.wav: ", "long.wav: is longer than 10 minutes", "browsers do not play it"):
        assert words in err
    named = [card["data-path"] for card in Page(out.strip()).cards() if "data-path" in card]
    assert named == ["good.wav"]
    for arguments, code, words in (
        (["b"], 4, "no such run or model file, did you mean"),
        (["a", "none.wav"], 2, "no such file"),
        (["a", "-o", "good.wav"], 2, "end it in .html"),
        (["a", "-o", "good.wav/x.html"], 3, "is a file, not a folder"),
        (["a", "--engine", "nmba"], 2, "did you mean numba"),
    ):
        assert run("report", *arguments) == code
        err = capsys.readouterr().err
        assert err.count("wavegen: error:") == 1 and "Traceback" not in err
        assert words in err or code == 4
    (wavenet / "page.html").write_text("mine")
    assert run("report", "a", "-o", "page.html") == 3
    assert (wavenet / "page.html").read_text() == "mine"
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    capsys.readouterr()
    assert run("report", "a") == 2
    assert "pip install 'wavegen[plots]'" in capsys.readouterr().err
    assert run("sample", "seed.wav", "-t", "0.2", "--report") == 2
    assert not (wavenet / "generated").exists()


def test_a_run_without_samples_or_scores_has_a_page(wavenet, capsys):
    shutil.rmtree("runs/a/samples")
    (wavenet / "runs/a/log.jsonl").unlink()
    models.save(wavenet / "runs/a/model.safetensors", make_model("wavenet"), {}, {})
    audio.write("good.wav", tune(0.5, 8000), 8000)
    assert run("report", "a", "good.wav") == 0
    page = Page("runs/a/report.html")
    assert len(page.cards()) == 1 and len(page.all("img")) == 1


# -- the page at work ----------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("node"), reason="node runs the page's script")
def test_keys_and_clicks_keep_and_discard(wavenet):
    for name in ("one", "two", "three"):
        audio.write(f"{name}.wav", tune(0.5, 8000), 8000)
    assert run("report", "a", "one.wav", "two.wav", "three.wav") == 0
    page = Page("runs/a/report.html")
    body = page.all("body")[0]
    cards = [
        {name.removeprefix("data-"): value for name, value in card.items() if name != "class"}
        for card in page.cards()[-4:]  # a listening sample and what can be chosen
    ]
    assert "path" not in cards[0] and cards[1]["path"] == "one.wav"
    facts = {name.removeprefix("data-"): value for name, value in body.items()}
    code = (Path(__file__).parent / "page.js").read_text("utf-8").split("\n", 1)[1]
    code = code.replace("SCRIPT", page.script).replace("CARDS", json.dumps(cards))
    code = code.replace('"BODY", BODY', f'"BODY", {json.dumps(facts)}')
    said = subprocess.run(["node", "-"], input=code, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    seen = json.loads(said.stdout)
    assert seen[:2] == ["one.wav", "one.wav\ntwo.wav"]
    assert seen[2:4] == ["one.wav", True]  # k again takes it back, x discards
    assert seen[4] == "one.wav"  # not with Ctrl, nor while one types
    assert seen[5] and seen[6]  # hidden, and passed over
    assert seen[7] is False  # it plays
    assert seen[8:11] == [
        pytest.approx(0.75),
        True,
        pytest.approx(53),
    ]  # half of 1.5 s; the other one stops
    assert seen[11] == "one.wav"  # a listening sample is not chosen
    assert seen[12:15] == ["one.wav\nthree.wav", "2"] + [
        "data:text/plain;charset=utf-8,one.wav\nthree.wav\n"
    ]
    assert seen[15] == {"one.wav": "keep", "two.wav": "discard", "three.wav": "keep"}


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_the_page_works_in_a_browser(wavenet):
    for name in ("one", "two"):
        audio.write(f"{name}.wav", tune(0.5, 8000), 8000)
    assert run("report", "a", "one.wav", "two.wav") == 0
    deed = """<script>addEventListener("load", () => setTimeout(() => {
      const press = key => document.dispatchEvent(new KeyboardEvent("keydown", { key }));
      press("k"); press("ArrowRight"); document.querySelectorAll(".card.current button")[0].click();
      const players = Array.from(document.querySelectorAll("audio"));
      const images = Array.from(document.querySelectorAll("img"));
      document.body.dataset.heard = players.every(p => p.duration > 0.4 && !p.error);
      document.body.dataset.seen = images.every(i => i.naturalWidth > 100);
    }, 3000));</script></body>"""
    whole = Path("runs/a/report.html").read_text("utf-8").replace("</body>", deed)
    Path("tried.html").write_text(whole, "utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--user-data-dir=" + str(wavenet / "profile"), "--virtual-time-budget=20000"]
    command += ["--screenshot=" + str(wavenet / "page.png"), "--dump-dom"]
    said = subprocess.run(
        [*command, (wavenet / "tried.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    assert 'data-heard="true"' in said.stdout and 'data-seen="true"' in said.stdout, said.stderr
    assert re.search(r'<div id="kept">one\.wav\ntwo\.wav</div>', said.stdout)
