import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import tune

from wavegen import plots
from wavegen.errors import UsageError

RATE = 16000


def tone(hertz, seconds=2.0, level_db=0.0):
    at = np.arange(round(seconds * RATE)) / RATE
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * at))[None].astype("float32")


@pytest.mark.parametrize("hertz", [60, 110, 440, 1234, 5000, 7600])
@pytest.mark.parametrize("level_db", [0.0, -30.0])
def test_a_tone_stands_at_its_place_and_level(hertz, level_db):
    db, hz = plots.spectrum(tone(hertz, level_db=level_db), RATE)
    middle = db[:, 10:-10].mean(axis=1)
    loudest = np.exp(np.mean(np.log(hz[middle > middle.max() - 0.1])))
    assert abs(np.log2(loudest / hertz)) < max(1 / 24, 8 / hertz)
    assert middle.max() == pytest.approx(level_db, abs=1.5)
    assert middle[np.abs(np.log2(hz / hertz)) > 1.5].max() < level_db - 60


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.001, 0.5, 30.0, 300.0])
def test_any_length_fits_and_stays_in_time(seconds):
    sound = np.zeros((2, max(1, round(seconds * RATE))), "float32")
    half = sound.shape[1] // 2
    sound[:, half:] = tone(1000, seconds)[:, : sound.shape[1] - half]
    db, hz = plots.spectrum(sound, RATE)
    assert 1 <= db.shape[1] <= plots.COLUMNS and np.isfinite(db).all()
    if seconds > 0.1:
        level = db.max(axis=0) > -20
        assert abs(np.argmax(level) / len(level) - 0.5) < 0.1 and level[-3]


def decoded(data):
    """Returns the picture `(rows, columns, 4)` in a PNG file."""
    import io

    from matplotlib.image import imread

    return imread(io.BytesIO(data))


def test_pictures_show_what_they_are_given():
    pytest.importorskip("matplotlib")
    sound = np.concatenate([tune(1.0, RATE), np.zeros((1, RATE), "float32")], axis=1)
    made, (top, below) = plots.figure([2.0, 0.5])
    image = plots.spectrogram(top, sound, RATE, split=0.5, title="a tune")
    plots.ribbon(below, np.arange(20.0), 2.0, limits=(0.0, 10.0), unit="bits per sample", split=0.5)
    assert image.get_clim() == plots.RANGE_DB and top.get_title() == "a tune"
    assert [label.get_text() for label in top.get_yticklabels()][-1] == "5 k"
    line = below.get_lines()[0].get_ydata()
    assert line.max() == 10.0 and list(line[:5]) == [0, 1, 2, 3, 4]
    picture = decoded(plots.png(made))
    height, width = picture.shape[:2]
    assert width == 800
    row = picture[height // 3, :, :3].sum(axis=1)
    left, right = (round(share * width) for share in plots.SPAN)
    middle = (left + right) // 2
    assert row[left + 5 : middle].mean() > row[middle + 5 : right - 5].mean() + 0.3  # silence
    dash = picture[:, left + (right - left) // 4, :3]
    assert (dash.min(axis=1) > 0.9).mean() > 0.2  # the seed's end


def test_curves_show_the_log():
    pytest.importorskip("matplotlib")
    rows = [{"event": "step", "step": s, "loss": 5 - s / 100} for s in range(1, 101)]
    rows += [{"event": "validation", "step": s, "scores": [{"mean": 4.0}]} for s in (50, 100)]
    rows += [{"event": "validation", "step": 1, "scores": []}, {"event": "note"}]
    _, (top, below) = plots.figure([1.0, 1.0])
    plots.losses(top, rows)
    plots.held_out(below, rows, {"uniform": 16.0, "good": 5.0, "better": 4.5}, "bits per sample")
    assert [len(line.get_xdata()) for line in top.get_lines()] == [100, 99]
    assert list(below.get_lines()[0].get_xdata()) == [50, 100]
    assert [text.get_text() for text in below.texts] == ["better", "good"]
    plots.losses(top, [])
    plots.held_out(below, [], {}, "bits per sample")


def test_matplotlib_is_asked_for_in_one_line_and_not_before(monkeypatch):
    code = "import sys, wavegen.plots; print('matplotlib' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match="pip install matplotlib"):
        plots.figure([1.0])


@pytest.mark.parametrize(
    "name", [r"$\frac$.wav", os.fsdecode(b"caf\xe9.wav"), "音楽.wav", "a\nb.wav"]
)
def test_any_name_can_stand_above_a_picture(name):
    made, (axes,) = plots.figure([1.0])
    plots.spectrogram(axes, tune(0.5, 8000), 8000, title=name)
    assert plots.png(made).startswith(b"\x89PNG")
    assert "\n" not in axes.get_title()
