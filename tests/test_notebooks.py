"""Every notebook runs from the first cell to the last, and is the same in both of its forms."""

import os
from pathlib import Path

import pytest

from wavegen import audio
from wavegen.listing import list_audio

jupytext = pytest.importorskip("jupytext")
nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
SECONDS = 9.0  # of each shipped recording


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What a notebook looks for: a folder with recordings, in which it keeps its runs."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in list_audio([ROOT / "recordings"]).files:
        sound, rate = audio.read(path)
        audio.write(
            folder / "recordings" / f"{path.stem}.wav", sound[:, : round(SECONDS * rate)], rate
        )
    return folder


def test_notebooks_are_numbered_without_a_gap():
    assert [path.name.split("_")[0] for path in SOURCES] == [str(n) for n in range(len(SOURCES))]
    assert len(SOURCES) == 6


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_source_and_notebook_say_the_same(source):
    notebook = jupytext.read(source.with_suffix(".ipynb"))
    assert cells(notebook) == cells(jupytext.read(source)), (
        "run: jupytext --to ipynb notebooks/*.py"
    )
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.fixture(scope="module")
def kernel(checkout):
    """A kernel for all of them, one after the other: half of what they take is importing."""
    from jupyter_client.manager import KernelManager

    place = {"WAVEGEN_FAST": "1", "WAVEGEN_CACHE": str(checkout / "cache")}
    place |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    manager = KernelManager()
    manager.start_kernel(cwd=str(checkout), env=os.environ | place)
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebooks_run(source, kernel):
    notebook = jupytext.read(source)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # no name of the one before
    client = nbclient.NotebookClient(notebook, km=kernel, timeout=600)
    try:
        client.execute()  # raises what a cell raises
    finally:
        client.kc.stop_channels()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures
