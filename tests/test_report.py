import base64
import io
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import FOUND, Browser
from conftest import make_model, tune
from test_plots import decoded

from wavegen import audio, cli, dataset, heldout, models
from wavegen.checkpoint import Run
from wavegen.codec import codec_of

pytest.importorskip("matplotlib")
VOID = {"meta", "img", "input", "br", "link", "source", "polyline"}
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

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

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
            assert attrs[name].startswith(("data:", "#"))
        assert not [name for name in attrs if name.startswith("on")]
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:; media-src data: blob:;")


@pytest.mark.slow
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
    assert [float(card["data-seconds"]) for card in cards] == [2.0] * 2 + [1.5] * 13
    for player, path in zip(page.all("audio"), drawn, strict=False):  # nothing is lost
        kind, sound = contents(player["data-source"])
        heard, rate = soundfile.read(io.BytesIO(sound), dtype="int16")
        assert kind == "audio/flac" and rate == 8000
        assert np.array_equal(heard, soundfile.read(path, dtype="int16")[0])
    pictures = [decoded(contents(image["src"])[1]) for image in page.all("img")]
    assert len(pictures) == 2 * len(cards) + 1
    for whole, strip in zip(pictures[:-1:2], pictures[1:-1:2], strict=True):
        assert whole[..., :3].std() > 0.1 and strip.shape[0] == 1 and strip.shape[1] > 20
    assert pictures[-1].std() > 0.05  # the learning curves; another for a dark page
    assert len(page.all("source")) == 1 and len(page.all("polyline")) == len(cards)
    assert "it has begun &lt;to&gt; learn" in page.whole
    assert (
        len(re.findall(">after step [0-9]+ <", page.whole)) == 12
        and ">after step 14 <" in page.whole
    )
    assert page.whole.count(" after the seed") == 14  # of samples and variations, not the music
    unit = "bits per sample" if "bits per sample" in page.whole else "nats per coefficient"
    assert page.whole.count(unit) >= len(cards)
    assert "seed 7, variation 1, temperature 1," in page.whole
    # The dashed line stands where the samples part from the music, a third into 1.5 s.
    splits = [float(card["data-split"]) for card in cards]
    assert splits == [1.0] * 2 + [0.0] + [0.5] * 12
    lines = [i["style"] for i in page.all("i", "style") if i["class"] == "split"]
    assert lines == ["left:50.000%"] * 2 + ["left:33.333%"] * 12


@pytest.mark.slow
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
    assert {p.name for p in (place / "one").iterdir()} == {"seed-a-7-0.wav", "seed-a-7-0.png"}
    assert run(*command, "--report", "--no-picture", "--format", "flac", "-o", "one") == 0
    assert (
        contents(Page("one/seed-a-7-report.html").all("audio")[0]["data-source"])[0] == "audio/flac"
    )
    assert run(*command, "-n", "2", "--filename", "b{variation}", "-o", "two") == 0
    capsys.readouterr()
    (place / "two/b0.wav").unlink(), (place / "two/b1.wav").unlink()
    assert run(*command, "-n", "2", "--filename", "b{variation}", "-o", "two") == 3
    assert "breport.html: exists" in capsys.readouterr().err
    assert not (place / "two/b0.wav").exists()


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert "pip install matplotlib" in capsys.readouterr().err
    assert run("sample", "seed.wav", "-t", "0.2", "--report") == 2
    assert not (wavenet / "generated").exists()


def test_a_page_that_is_not_ours_is_kept(wavenet, capsys):
    page = wavenet / "runs/a/report.html"
    page.write_text("mine")
    for force in ([], ["--force"]):
        assert run("report", "a", *force) == 3
        assert "report.html: was not drawn by wavegen, so it is kept; choose another -o" in (
            capsys.readouterr().err
        )
    assert page.read_text() == "mine"


def test_a_run_without_samples_or_scores_has_a_page(wavenet, capsys):
    shutil.rmtree("runs/a/samples")
    (wavenet / "runs/a/log.jsonl").unlink()
    models.save(wavenet / "runs/a/model.safetensors", make_model("wavenet"), {}, {})
    audio.write("good.wav", tune(0.5, 8000), 8000)
    assert run("report", "a", "good.wav") == 0
    page = Page("runs/a/report.html")
    assert len(page.cards()) == 1 and len(page.all("img")) == 2
    assert run("report", "a") == 0  # nothing has been drawn
    assert "sample SEED.wav -n 4 -m a" in Page("runs/a/report.html").whole


# -- the page at work ----------------------------------------------------------------------------

NEEDED = "needs Chromium: apt-get install chromium"
KEPT = "document.getElementById('kept').textContent"
PLAYING = """Array.from(document.querySelectorAll(".card")).filter(
  card => !card.querySelector("audio").paused).map(card => card.dataset.path)"""
TIME = "document.querySelector('.current audio').currentTime"
KEEP_BLOBS = """const make = URL.createObjectURL, blobs = {};
URL.createObjectURL = blob => { const url = make(blob); blobs[url] = blob; return url; };"""
CONTENT = """blobs[document.querySelector(".current audio").src].arrayBuffer().then(
  content => Array.from(new Uint8Array(content)))"""
NAMES = ("one", "two", "three")


@pytest.fixture
def page(wavenet):
    """The address of a report with three sounds of 2 s to choose from."""
    for seed, name in enumerate(NAMES):
        audio.write(f"{name}.wav", tune(2.0, 8000, seed=seed), 8000)
    assert run("report", "a", *(f"{name}.wav" for name in NAMES)) == 0
    return (wavenet / "runs/a/report.html").as_uri()


@pytest.mark.slow
@pytest.mark.skipif(not FOUND, reason=NEEDED)
def test_a_browser_plays_keeps_and_remembers(page, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.send("Page.addScriptToEvaluateOnNewDocument", source=KEEP_BLOBS)
        browser.open(page)
        for image in ("document.images", "document.querySelectorAll('picture img')"):
            assert browser.run(f"Array.from({image}).every(image => image.naturalWidth > 20)")
        browser.press(" ")
        browser.until(f"{TIME} > 0.2")
        assert browser.run(PLAYING) == ["one.wav"]
        before = browser.run(TIME)
        time.sleep(0.3)
        assert 0.1 < browser.run(TIME) - before < 1.5
        assert browser.run("document.querySelector('.current audio').duration") == 2.0
        (whole,) = browser.run(f"Promise.all([{CONTENT}])")
        heard = soundfile.read(io.BytesIO(bytes(whole)), dtype="int16")[0]
        assert np.array_equal(heard, soundfile.read("one.wav", dtype="int16")[0])
        browser.press(" ")
        assert browser.run(PLAYING) == []
        # Keys: keep, and the next; the same again takes it back; discard.
        browser.press("k")
        browser.press("ArrowRight")
        browser.press("K")
        assert browser.run(KEPT) == "one.wav\ntwo.wav"
        browser.press("k")
        assert browser.run(KEPT) == "one.wav"
        browser.press("x")
        assert browser.run("document.querySelectorAll('.discarded').length") == 1
        browser.run("document.getElementById('only').click()")
        browser.press("ArrowLeft")
        browser.press("ArrowRight")  # passes over what is hidden
        assert browser.run("document.activeElement.dataset.path") == "three.wav"
        # A click into the picture plays from there; the other one stops.
        at = browser.run("""(() => { const box = document.querySelector(".current .picture")
          .getBoundingClientRect(); return [box.left + box.width / 2, box.top + 20]; })()""")
        browser.run("document.querySelector('audio').play()")
        browser.until(f"({PLAYING}).join() === 'one.wav'")
        browser.click(*at)
        browser.until(f"{TIME} > 1.05")
        assert browser.run(TIME) < 1.9 and browser.run(PLAYING) == ["three.wav"]
        left = browser.run("parseFloat(document.querySelector('.current .head').style.left)")
        assert 50 <= left < 100
        for share in (0.3, 0.97, 0.999, 0.5):  # where Chromium finds no place in a FLAC
            browser.run(f"document.querySelector('.current audio').currentTime = {2 * share}")
            browser.until("!document.querySelector('.current audio').seeking")
            assert browser.run("document.querySelector('.current audio').error") is None
        # A click on a button leaves the space bar to the player.
        at = browser.run("""(() => { const box = document.querySelector(".current button")
          .getBoundingClientRect(); return [box.left + 5, box.top + 5]; })()""")
        browser.click(*at)
        assert browser.run(KEPT) == "one.wav\nthree.wav"
        browser.until("document.querySelector('.current audio').paused")  # at its end
        browser.press(" ")
        assert browser.run(PLAYING) == ["three.wav"]
        saved = browser.run("document.getElementById('save').href")
        assert saved == "data:text/plain;charset=utf-8,one.wav%0Athree.wav%0A"
        assert "again one.wav --seconds 60" in browser.run("document.body.innerText")
        browser.open(page + "?again")  # another page with the same sounds
        assert browser.run(KEPT) == "one.wav\nthree.wav"
        assert browser.run("document.getElementById('count').textContent") == "2"
        asked = browser.requests()
        assert asked and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
        assert browser.complaints() == []
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)  # the browser was closed meanwhile
        assert browser.run(KEPT) == "one.wav\nthree.wav"


@pytest.mark.slow
@pytest.mark.skipif(not FOUND, reason=NEEDED)
def test_a_browser_goes_on_by_itself_and_sorts(page, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        browser.run("document.getElementById('on').click()")
        browser.press(" ")
        browser.press("k")  # decided: the next one plays
        browser.until(f"({PLAYING}).join() === 'two.wav'")
        browser.run("document.querySelector('.current audio').currentTime = 1.8")
        browser.until(f"({PLAYING}).join() === 'three.wav'")
        browser.run("""(() => { const order = document.getElementById("order");
          order.value = "-cost"; order.dispatchEvent(new Event("change")); })()""")
        costs = "Array.from(document.querySelectorAll('[data-key]')).map(c => +c.dataset.cost)"
        assert browser.run(costs) == sorted(browser.run(costs), reverse=True)
        assert browser.run(PLAYING) == ["three.wav"]  # moved, not stopped
        for width in (1400, 800, 400):  # nothing sticks out
            browser.size(width, 800)
            assert browser.run("document.documentElement.scrollWidth <= innerWidth")
